"""A row is the very run of the flagfile that it replaces."""

from pathlib import Path

import pytest

from tfdistill.commands import command_line

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FLAGFILES = sorted(CONFIGS.glob("*_table*/*.flags"))


def effective(flagfile):
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={flagfile}"])
    return command_line.run_config(values).to_dict()


def test_there_are_159_of_them():
    assert len(FLAGFILES) == 159


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_row_has_the_effective_flags_of_its_flagfile(path):
    assert effective(f"{path.parent}.toml:{path.stem}") == effective(path)
