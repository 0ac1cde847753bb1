"""A command by the name that the user has called it by: `train.py`, `tfdistill train`, `python -m tfdistill train`."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = "tfdistill"
PREDICT = "predict"


def program(command: str) -> str:
    """What error messages and help call a command.

    Args:
        command: its name, such as "train".
    """
    return " ".join(words(command)[-2:]) if _is_console() else _of_package(command) or f"{command}.py"


def words(command: str) -> list[str]:
    """The first words of a command line that calls `command` as this process was called.

    Args:
        command: the name of any command, such as "export".
    """
    if _is_console():
        return [PACKAGE, command]
    if module := _of_package(command):
        return module.split(" ")
    script = Path(sys.argv[0])
    folder = script.parent if script.parent.name == "launch" else Path("launch")
    return ["python", str(folder / f"{command}.py")]


def _is_console() -> bool:
    return Path(sys.argv[0]).stem == PACKAGE


def _of_package(command: str) -> str:
    script = Path(sys.argv[0])
    is_module = script.name == "__main__.py" and script.parent.name == PACKAGE
    return f"python -m {PACKAGE} {command}" if is_module else ""
