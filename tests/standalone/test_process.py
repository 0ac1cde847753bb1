"""What a command does about SIGTERM and Ctrl-C, with a package in TensorFlow's place that takes no time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "tfdistill"
KILL = "import os, signal\nos.kill(os.getpid(), signal.{signal})\n"


def run(folder: Path, tensorflow: str, program: str) -> subprocess.CompletedProcess:
    """A program that has the folder `standalone` and nothing else, and another package by TensorFlow's name."""
    (folder / "tensorflow.py").write_text(tensorflow)
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{FOLDER}"}
    begin = "import sys\nfrom standalone import process\nprocess.begin('any')\n"
    command = [sys.executable, "-c", f"{begin}{program}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("signal", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_during_the_imports_is_one_line(tmp_path, signal, status):
    program = "print('notice', file=sys.stderr)\nwith process.quiet_imports('any'):\n    import tensorflow\nprint('on')"
    done = run(tmp_path, "import sys\nprint('held back', file=sys.stderr)\n" + KILL.format(signal=signal), program)
    assert done.returncode == status
    assert done.stderr.split() == f"notice any.py: stopped by {signal}".split() and done.stdout == ""


def test_what_libraries_print_is_held_back_unless_the_import_fails(tmp_path):
    program = "with process.quiet_imports('any'):\n    import tensorflow"
    text = "import os\nos.write(2, b'held back')\n"
    assert run(tmp_path, text, program).stderr == ""
    failed = run(tmp_path, f"{text}1 / 0", program).stderr
    assert failed.startswith("held back") and "ZeroDivisionError" in failed


@pytest.mark.parametrize(("signal", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_a_command_with_one_line_after_it_has_cleaned_up(tmp_path, signal, status):
    program = f"""
def main(arguments):
    try:
        with process.quiet_imports('any'):
            import tensorflow
        {KILL.format(signal=signal).replace(chr(10), "; ").rstrip("; ")}
    except Exception:
        print("taken for a failure")
    finally:
        print("cleaned up", *arguments)
sys.exit(process.run('any', main, ['after', 'all']))"""
    done = run(tmp_path, "", program)
    assert done.returncode == status, done.stderr
    assert done.stderr.strip() == f"any.py: stopped by {signal}"
    assert done.stdout == "cleaned up after all\n"


@pytest.mark.parametrize("lines", [1, 100_000], ids=["buffered", "written"])
def test_an_output_that_nobody_reads_any_more_ends_a_command_without_a_word(tmp_path, lines):
    program = f"""
import os
def main(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    print("line\\n" * {lines})
    return 0
sys.exit(process.run('any', main, []))"""
    done = run(tmp_path, "", program)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_second_signal_ends_a_command_at_once(tmp_path):
    program = """
import os, signal
def main(arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("still here")
process.run('any', main, [])"""
    done = run(tmp_path, "", program)
    assert done.returncode == -15 and "still here" not in done.stdout
