"""Names of metrics, of a network's answer and of an ensemble stand in tasks: other rooms take them from there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tfdistill
from tfdistill.tasks import Classification, Task

PACKAGE = Path(tfdistill.__file__).parent
# Networks, losses, transfers, methods, helpers and exports read the tap "logits" of classifiers; tasks own the rest.
ROOMS = ("engine", "runs", "commands", "devices")
WORDS = re.compile(r"\b(accurac(y|ies)|top-?[15]|cross[_-]entropy|ensemble|logits)\b")


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text of a source, with its line, but for documentation."""
    told = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for one in ast.walk(tree):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in told:
            yield one.lineno, one.value


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_but_tasks_spells_a_metric_an_answer_or_an_ensemble(room):
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text[:60]!r}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for line, text in texts(ast.parse(path.read_text()))
        if WORDS.search(text)
    ]
    assert found == []


def test_the_rule_sees_texts_and_leaves_documentation_alone():
    source = 'def f():\n    """The accuracy."""\n    return f"val_{f}/accuracy", "logits", "logits_of"\n'
    assert [text for _, text in texts(ast.parse(source)) if WORDS.search(text)] == ["logits", "/accuracy"]


def test_classification_is_a_task():
    task = Classification()
    members = {name for name in vars(Task) if not name.startswith("_")}
    assert members <= {name for name in dir(task) if not name.startswith("_")}
    assert task.headline in task.rising and set(task.rising) <= set(task.metric_names) == set(task.titles)
    assert task.loss_name in task.metric_names
    assert (task.shown("accuracy", 0.93104), task.shown("cross_entropy", 0.25)) == ("93.10%", "0.2500")
