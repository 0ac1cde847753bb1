"""Bad command lines that the flags alone are enough to refuse: one line each that names the flag, before anything else.

`python tests/campaigns/bad_commands.py` runs these and those that take data, networks and files.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from tfdistill.commands import training
from tfdistill.commands.tabling import work
from tfdistill.runs.data import RunData

SPECIFICATION = importlib.util.spec_from_file_location("bad_commands", Path(__file__).with_name("bad_commands.py"))
bad_commands = importlib.util.module_from_spec(SPECIFICATION)


@pytest.fixture(scope="module", autouse=True)
def loaded():
    sys.modules["bad_commands"] = bad_commands
    SPECIFICATION.loader.exec_module(bad_commands)
    yield
    del sys.modules["bad_commands"]


def test_every_one_is_refused_in_a_line_that_names_the_flag(tmp_path, monkeypatch):
    def got_through(*_):
        raise AssertionError("the flags were accepted")

    monkeypatch.setattr(training, "Run", got_through)
    monkeypatch.setattr(work, "Campaign", got_through)
    monkeypatch.setattr(RunData, "read", got_through)
    bad_commands.make_flagfiles(tmp_path)
    # Of the many that are wrong values of one kind after another, a part; the script takes all.
    cases = [case for case in bad_commands.cases(tmp_path) if case.quick][::3]
    assert len(cases) > 150
    found = []
    monkeypatch.chdir(tmp_path)
    for case in cases:
        status, _, error = bad_commands.call(case.program, case.arguments, tmp_path)
        outcome = bad_commands.outcome(case, status, error)
        if outcome != bad_commands.OUTCOMES[0]:
            found.append(f"{outcome}: {case}: {error[-300:]}")
    assert not found, "\n".join(found)
