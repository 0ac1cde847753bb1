"""What the tests of data share."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest


def _peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


@pytest.fixture
def peak_growth() -> Callable[[Callable[[], object]], int]:
    """Calls a function; says by how many bytes the memory in use has grown at most meanwhile.

    The peak is reset before, as one of an earlier test would hide any that is lower.
    """

    def measured(action: Callable[[], object]) -> int:
        Path("/proc/self/clear_refs").write_text("5")
        before = _peak()
        action()
        return _peak() - before

    return measured
