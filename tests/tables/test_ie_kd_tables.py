"""The tables of IE-KD's paper and supplement as files: every row is there, and one that can be run is a run."""

from pathlib import Path

import pytest

from tfdistill.commands import command_line
from tfdistill.tables import read_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PAIRS = ("resnet110", "wide_resnet_28_10", "mobilenet", "resnet32")


def config_of(table, row):
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={CONFIGS / table}.toml:{row}"])
    return command_line.run_config(values)


def test_table_4_has_every_pair_by_every_method_and_all_can_be_run():
    table = read_table(CONFIGS / "ie_kd_table4.toml")
    assert table.rows.keys() == {f"{one}_resnet32_{pair}" for one in ("independent", "dml", "ie_dml") for pair in PAIRS}
    assert table.metric == "error" and not any(row.needs for row in table.rows.values())
    assert all(len(row.paper.networks) == 2 for row in table.rows.values())
    assert table.rows["ie_dml_resnet32_wide_resnet_28_10"].paper.networks == (28.06, 20.63)


@pytest.mark.parametrize("pair", PAIRS)
def test_table_4_gains_by_ie_dml_over_dml_and_by_dml_over_independent_training(pair):
    rows = read_table(CONFIGS / "ie_kd_table4.toml").rows
    alone, dml, ie_dml = (rows[f"{one}_resnet32_{pair}"].paper.networks for one in ("independent", "dml", "ie_dml"))
    assert all(third < second < first for first, second, third in zip(alone, dml, ie_dml, strict=True))


@pytest.mark.parametrize("row", read_table(CONFIGS / "ie_kd_table4.toml").rows)
def test_a_row_of_table_4_is_its_method_on_its_networks(row):
    config = config_of("ie_kd_table4", row)
    label, _, peer = row.partition("_resnet32_")
    assert config.method == {"independent": "supervised"}.get(label, label)
    assert config.protocol == ("ie_cifar" if label == "ie_dml" else "dml_original")
    names = [name.removesuffix("_ie_kd").removesuffix("_a").removesuffix("_b") for name in config.networks]
    assert (names, config.dataset, config.normalization) == (["resnet32", peer], "cifar100", "c100")
