"""The console command: what there is, what it runs, and what it refuses."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tfdistill.commands import main as console

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


@pytest.fixture
def ran(monkeypatch) -> list[tuple[str, list[str]]]:
    """The commands that were run, with their arguments."""
    ran = []

    def run(name, arguments):
        ran.append((name, list(arguments)))
        return 7

    monkeypatch.setattr(console, "run", run)
    return ran


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("train --flagfile=quickstart --epochs=2", ("train", ["--flagfile=quickstart", "--epochs=2"])),
        ("evaluate --run=one", ("evaluate", ["--run=one"])),
        ("export --help", ("export", ["--help"])),
        ("predict saved cat.png", ("predict", ["saved", "cat.png"])),
        ("table afd_table3 --jobs=2", ("table", ["afd_table3", "--jobs=2"])),
        ("preview --count=2", ("preview", ["--count=2"])),
        ("explain dml --dml.temperature=2", ("explain", ["--explain=dml", "--dml.temperature=2"])),
        ("explain --networks=resnet8 dml", ("explain", ["--explain=dml", "--networks=resnet8"])),
        ("explain --flagfile=dml", ("explain", ["--flagfile=dml"])),
        ("explain", ("explain", [])),
    ],
)
def test_a_command_gets_its_arguments(arguments, expected, ran):
    assert console.main(arguments.split()) == 7
    assert ran == [expected]


@pytest.mark.parametrize("script", sorted(set(console.COMMANDS) - {"explain", "predict"}))
def test_each_script_runs_its_command(script, ran, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--some=flag"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(LAUNCH / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 7 and ran == [(script, ["--some=flag"])]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_it_says_what_there_is_with_a_line_each(arguments, ran, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tfdistill", *arguments])
    assert console.main() == 0 and not ran
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: tfdistill COMMAND [--flag=value ...]" and max(map(len, lines)) < 100
    said = {line.split()[0] for line in lines if line.startswith("  ") and line.endswith(".")}
    assert said == set(console.COMMANDS)


def test_an_unknown_command_is_told_the_nearest(ran, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tfdistill"])
    assert console.main(["trian", "--epochs=2"]) == 2 and not ran
    names = "train, evaluate, analyze, export, table, predict, preview, explain"
    assert capsys.readouterr() == ("", f"tfdistill: error: 'trian' is none of {names}; nearest: train\n")


def test_the_module_runs_as_a_program_and_imports_nothing_heavy(tmp_path):
    watched = (
        "import runpy, sys\nsys.argv[1:] = ['--help']\ntry:\n    runpy.run_module('tfdistill', run_name='__main__', "
    )
    watched += "alter_sys=True)\nexcept SystemExit as ended:\n    print(ended.code, {'tensorflow', 'keras', 'numpy'} & "
    watched += "set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(LAUNCH.parent), "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [sys.executable, "-c", watched], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: python -m tfdistill COMMAND") and done.stderr == ""
    assert done.stdout.endswith("\n0 set()\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "--spilt=test"], "evaluate: error: spilt: is no flag; nearest: split"),
        (["explain", "dlm"], "explain: error: explain: 'dlm' is none of "),
    ],
)
def test_a_refusal_names_the_program_as_it_was_called(arguments, said, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(LAUNCH.parent)}
    command = [sys.executable, "-m", "tfdistill", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"python -m tfdistill {said}") and done.stderr.count("\n") == 1
