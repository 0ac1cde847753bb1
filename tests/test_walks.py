"""The walks of the page on architecture: every file and function that a step names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WALKS = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Four walks")[2].partition("\n## ")[0]
STEPS = re.findall(r"^\d+\. (.+)$", WALKS, re.MULTILINE)


def defined(file: Path) -> set[str]:
    """Functions, classes, their methods as `Class.method`, and what is assigned at the top."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        if isinstance(node, ast.Assign):
            found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return found


def missing(step: str) -> list[str]:
    """Names behind a file, `file.py` `name`, that the file does not define."""
    named = re.findall(r"`([\w/]+\.py)` `([\w.]+)`", step)
    return [f"{file}: {name}" for file, name in named if name not in defined(ROOT / "tfdistill" / file)]


def test_every_step_names_a_place():
    assert len(STEPS) > 30 and all(re.match(r"`[\w/]+\.py` `[\w.]+`", step) for step in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(re.findall(r"`(.+?)`", step)[:2]))
def test_what_a_step_names_is_there(step):
    assert not missing(step)


def test_a_name_that_is_not_there_is_found():
    assert missing("`bounds.py` `choose`, then `bounds.py` `chose`") == ["bounds.py: chose"]
