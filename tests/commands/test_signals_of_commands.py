"""What the scripts of `launch/` do about SIGTERM and Ctrl-C, with packages in TensorFlow's place that take no time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
KILL = "import os, signal\nos.kill(os.getpid(), signal.{signal})\n"


def run(folder: Path, tensorflow: str, program: str) -> subprocess.CompletedProcess:
    """A program beside the scripts, that finds other packages by the names of TensorFlow and Keras."""
    (folder / "tensorflow.py").write_text(tensorflow)
    (folder / "keras.py").write_text("class config:\n    set_image_data_format = set_floatx = set_epsilon = print\n")
    environment = {**os.environ, "PYTHONPATH": f"{LAUNCH}{os.pathsep}{folder}"}
    command = [sys.executable, "-c", f"import sys\nsys.argv[0] = 'any.py'\n{program}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("signal", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_during_the_imports_is_one_line(tmp_path, signal, status):
    done = run(tmp_path, KILL.format(signal=signal), "import quietly\nprint('on')")
    assert done.returncode == status
    assert done.stderr.strip() == f"any.py: stopped by {signal}" and done.stdout == ""


@pytest.mark.parametrize(("signal", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_a_command_with_one_line_after_it_has_cleaned_up(tmp_path, signal, status):
    program = f"""
import quietly
def main(arguments):
    try:
        {KILL.format(signal=signal).replace(chr(10), "; ").rstrip("; ")}
    except Exception:
        print("taken for a failure")
    finally:
        print("cleaned up")
sys.exit(quietly.run(main))"""
    done = run(tmp_path, "", program)
    assert done.returncode == status, done.stderr
    assert done.stderr.strip() == f"any.py: stopped by {signal}"
    assert done.stdout.splitlines()[-1] == "cleaned up" and "failure" not in done.stdout


def test_the_second_signal_ends_a_command_at_once(tmp_path):
    program = """
import os, quietly, signal
def main(arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("still here")
quietly.run(main)"""
    done = run(tmp_path, "", program)
    assert done.returncode == -15 and "still here" not in done.stdout
