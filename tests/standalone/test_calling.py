"""A command is called as the user has called it."""

import sys

import pytest

from tfdistill.standalone.calling import program, words


@pytest.mark.parametrize(
    ("first", "named", "called"),
    [
        ("launch/train.py", "train.py", ["python", "launch/export.py"]),
        ("../clone/launch/train.py", "train.py", ["python", "../clone/launch/export.py"]),
        ("/usr/bin/tfdistill", "tfdistill train", ["tfdistill", "export"]),
        ("C/tfdistill.exe", "tfdistill train", ["tfdistill", "export"]),
        ("/lib/tfdistill/__main__.py", "python -m tfdistill train", ["python", "-m", "tfdistill", "export"]),
        ("/bin/pytest", "train.py", ["python", "launch/export.py"]),
        ("/lib/pytest/__main__.py", "train.py", ["python", "launch/export.py"]),
        ("", "train.py", ["python", "launch/export.py"]),
    ],
)
def test_messages_and_hints_name_the_program_as_it_was_called(first, named, called, monkeypatch):
    monkeypatch.setattr(sys, "argv", [first, "anything"])
    assert (program("train"), words("export")) == (named, called)
