"""Which task a network answers."""

from __future__ import annotations

from typing import Any

from tfdistill.tasks import TASKS
from tfdistill.tasks.task import Task


def task_of(model: Any) -> Task | None:
    """The task of which a network's taps have the answer; None where they have none, or it gives no taps."""
    outputs = getattr(model, "output", None)
    found = (TASKS[name]() for name in TASKS)
    return next((one for one in found if isinstance(outputs, dict) and one.output in outputs), None)
