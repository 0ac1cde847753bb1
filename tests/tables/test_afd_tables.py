"""AFD's tables as files: every cell of the paper has its row, that is its run, and figures agree with each other."""

import re
from pathlib import Path
from statistics import mean

import pytest

from tfdistill.commands import command_line
from tfdistill.commands.flagfiles import row_flags
from tfdistill.tables import read_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TABLES = {number: read_table(CONFIGS / f"afd_table{number}.toml") for number in range(1, 8)}
WRN_PAIR = "wide_resnet_16_2_wide_resnet_28_2"
ALONE = ("resnet20", "resnet32", "resnet56", *(f"wide_resnet_{size}" for size in ("16_2", "16_4", "28_2", "28_4")))
DIFFERENT = (
    *("resnet32_resnet56", "resnet32_wide_resnet_16_4", "resnet56_wide_resnet_28_4", "resnet20_wide_resnet_28_10"),
    *("wide_resnet_16_2_wide_resnet_16_4", WRN_PAIR, "wide_resnet_16_2_wide_resnet_28_4"),
)
THREE = ("resnet32", "resnet56", "wide_resnet_16_2", "wide_resnet_28_2")


def copies(names, count):
    return ["_".join([name] * count) for name in names]


def cells(*columns):
    """Names of rows, of (methods, networks) columns."""
    return {f"{method}_{networks}" for methods, rows in columns for method in methods for networks in rows}


FIRST_PAIRS = [*copies(("resnet32", "wide_resnet_16_2"), 2), WRN_PAIR]
ROWS = {
    1: cells(
        (["vanilla"], ("resnet32", "wide_resnet_16_2", "wide_resnet_28_2")),
        (("l1", "l1_kd", "l1_kd_offline", "afd"), FIRST_PAIRS),
    ),
    2: cells((("adversarial_only", "logits_only", "decay_only", "afd"), FIRST_PAIRS)),
    3: cells((["vanilla"], ALONE), (("dml", "one", "afd"), copies(ALONE, 2))),
    4: cells((("kd", "dml", "afd"), DIFFERENT)),
    5: cells((["vanilla"], THREE), (("dml", "one", "afd"), copies(THREE, 3))),
    6: cells((["vanilla"], ("resnet18", "resnet34")), (("dml", "afd"), ["resnet18_resnet34"])),
    7: cells((("l1_kd", "dml", "afd"), FIRST_PAIRS)),
}
METHODS = {
    "vanilla": ("supervised", {}),
    "l1": ("alignment", {"logit_weight": 0.0}),
    "l1_kd": ("alignment", {"logit_weight": 1.0, "temperature": 3.0}),
    "l1_kd_offline": ("distillation", {"label_weight": 1.0, "kd.temperature": 3.0, "map_distance.distance": "l1"}),
    "adversarial_only": ("afd", {"logit_weight": 0.0}),
    "logits_only": ("afd", {"adversarial": "off", "temperature": 3.0}),
    "decay_only": ("afd", {"adversarial": "decay_only", "temperature": 3.0}),
    "afd": ("afd", {"logit_weight": 1.0, "temperature": 3.0}),
    "dml": ("dml", {"temperature": 3.0, "update": "alternating"}),
    "one": ("one", {"temperature": 3.0}),
    "kd": ("ensemble_kd", {"weight": 1.0, "temperature": 3.0}),
}


def run_of(table, row):
    """The run of a row, also of one that the command refuses as long as something is missing."""
    values = command_line.run_flags()
    command_line.parse(values, [one.argument for one in row_flags(table, row)])
    return command_line.run_config(values)


@pytest.mark.parametrize("number", TABLES)
def test_a_table_has_a_row_per_cell_and_each_is_that_cell(number):
    table = TABLES[number]
    assert table.rows.keys() == ROWS[number] and table.metric == "accuracy"
    for name, row in table.rows.items():
        config, label = run_of(table, row), name[: re.search("_(wide_)?resnet", name).start()]
        method, arguments = METHODS[label]
        assert config.method == method, name
        chosen = config.to_dict()["hyperparameters"]
        assert {key: chosen[key] for key in arguments} == arguments, name
        names = "_".join(config.networks).replace("imagenet_", "").replace("resnet56_one", "resnet56")
        # A student's row names its teacher too.
        assert f"{label}_{names}" == name if "offline" not in label else name.startswith(f"{label}_{names}_")
        data, protocol = ("imagenet2012", "afd_imagenet") if number == 6 else ("cifar100", "afd")
        assert (config.dataset, config.protocol) == (data, protocol), name
    assert table.paper_runs == (None if number in (6, 7) else 5)


def test_what_cannot_be_run_is_what_measures_maps():
    waiting = {(number, name) for number, table in TABLES.items() for name, row in table.rows.items() if row.needs}
    assert waiting == {(7, name) for name in ROWS[7]}
    taught = {name: row.teachers for table in TABLES.values() for name, row in table.rows.items() if row.teachers}
    larger = dict(zip(FIRST_PAIRS, ("resnet32", "wide_resnet_16_2", "wide_resnet_28_2"), strict=True))
    assert taught == {f"l1_kd_offline_{pair}": (("afd_table1", f"vanilla_{one}"),) for pair, one in larger.items()}


@pytest.mark.parametrize("number", [1, 3, 5, 6])
def test_rows_of_pairs_are_compared_with_their_networks_alone(number):
    for name, row in TABLES[number].rows.items():
        if name.startswith("vanilla"):
            assert not row.baseline
        else:
            names = re.findall(r"(?:wide_)?resnet_?\d+(?:_\d+)?", name.partition("offline_")[2] or name)
            different = list(dict.fromkeys(names))
            if "offline" in name:
                different = different[:1]
            assert row.baseline == tuple(f"vanilla_{one}" for one in different), name


# The gains over the network alone that Table 3 prints beside the mean of two, by method.
GAINS = {
    "dml": (3.42, 4.02, 1.64, 3.61, 2.79, 3.52, 2.56),
    "one": (3.08, 3.23, 2.61, 2.78, 1.94, 3.17, 2.65),
    "afd": (4.24, 4.65, 3.41, 4.26, 3.17, 3.72, 2.86),
}


@pytest.mark.parametrize("method", GAINS)
def test_figures_of_table_3_have_the_gains_that_it_prints(method):
    rows = TABLES[3].rows
    pairs = [(rows[f"{method}_{name}_{name}"].paper, rows[f"vanilla_{name}"].paper) for name in ALONE]
    assert [both.mean - alone.networks[0] for both, alone in pairs] == pytest.approx(GAINS[method], abs=1e-6)
    assert all(both.ensemble > both.mean for both, _ in pairs)


# The last row of Table 4: net 1, net 2 and ensemble over the seven pairs, which the table's notes have.
AVERAGES = {"kd": (73.63, 77.52, 77.31), "dml": (74.14, 77.59, 77.25), "afd": (75.29, 77.84, 77.92)}


@pytest.mark.parametrize("method", AVERAGES)
def test_figures_of_table_4_have_the_averages_that_it_prints(method):
    papers = [TABLES[4].rows[f"{method}_{pair}"].paper for pair in DIFFERENT]
    columns = zip(*((*one.networks, one.ensemble) for one in papers), strict=True)
    assert [mean(column) for column in columns] == pytest.approx(AVERAGES[method], abs=0.0051)
    first, second, third = AVERAGES[method]
    assert f"{first}, {second} and {third}" in " ".join(TABLES[4].notes)


def test_a_cell_that_two_tables_print_is_one_run_with_one_figure():
    seen = {}
    for number in range(1, 7):
        for row in TABLES[number].rows.values():
            assert seen.setdefault(row.place, row.paper) == row.paper, row.name
    assert TABLES[2].rows["afd_resnet32_resnet32"].place == ("afd_table1", "afd_resnet32_resnet32")
    assert TABLES[4].rows[f"afd_{WRN_PAIR}"].place == ("afd_table1", f"afd_{WRN_PAIR}")


def test_the_texts_figures_are_the_tables():
    offline = TABLES[1].rows["l1_kd_offline_resnet32_resnet32"].paper
    assert (offline.networks, offline.teacher, offline.ensemble) == ((71.91,), 69.79, 72.07)  # §4.1: the teacher's
    rows = TABLES[2].rows
    drops = [
        rows[f"afd_{pair}"].paper.mean - rows[f"logits_only_{pair}"].paper.mean
        for pair in copies(("resnet32", "wide_resnet_16_2"), 2)
    ]
    assert drops == pytest.approx([0.65, 0.52])  # §4.2
    kept = TABLES[7].rows["afd_resnet32_resnet32"].paper
    assert kept.others == {"l1": 1.4113, "l2": 6.931, "cosine": 0.255} and kept.mean is None
