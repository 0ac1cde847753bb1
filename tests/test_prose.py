"""Prose that users read: help begins with its subject, and no docstring begins with what it belongs to."""

import ast
import dataclasses
from pathlib import Path

import pytest

from tfdistill.methods import METHODS
from tfdistill.runs.config import RunConfig
from tfdistill.runs.hyperparameters import hyperparameters, hyperparameters_of_transfer
from tfdistill.transfers import TRANSFERS

PACKAGE = Path(__file__).resolve().parents[1] / "tfdistill"


def begins_badly(text: str) -> bool:
    return text.lower().startswith(("of ", "what ", "it ", "they ", "which "))


def help_texts() -> dict[str, str]:
    texts = {one.name: one.metadata["help"] for one in dataclasses.fields(RunConfig) if "help" in one.metadata}
    told = {**{name: hyperparameters(name) for name in METHODS}}
    told |= {name: hyperparameters_of_transfer(name) for name in TRANSFERS}
    return texts | {f"{owner}.{name}": one.text for owner, found in told.items() for name, one in found.items()}


def test_help_begins_with_its_subject():
    texts = help_texts()
    assert len(texts) > 80
    assert [name for name, text in texts.items() if begins_badly(text)] == []


def test_a_fronted_genitive_is_found():
    assert begins_badly("Of a part, the other half.") and not begins_badly("Officially none.")


@pytest.mark.parametrize("room", sorted({path.parent for path in PACKAGE.rglob("*.py")}), ids=lambda one: one.name)
def test_no_docstring_begins_with_its_owner(room):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in room.glob("*.py")}
    nodes = [(name, one) for name, tree in trees.items() for one in ast.walk(tree) if isinstance(one, kinds)]
    texts = [(name, ast.get_docstring(one) or "") for name, one in nodes]
    assert [(name, text) for name, text in texts if text.startswith("Of ")] == []
