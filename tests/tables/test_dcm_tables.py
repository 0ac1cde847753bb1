"""DCM's tables as files: every row of the paper is there, the row is that run, and figures agree with each other."""

from pathlib import Path

import pytest

from tfdistill.runs.hyperparameters import hyperparameters
from tfdistill.tables import read_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TABLES = {number: read_table(CONFIGS / f"dcm_table{number}.toml") for number in range(1, 8)}
BACKBONES = ("resnet164", "wide_resnet_28_10", "densenet_40_12", "wide_resnet_28_10_dropout")
PAIRS = [
    *(f"{one}_{one}" for one in BACKBONES),
    *(f"wide_resnet_28_10_{one}" for one in ("resnet110", "wide_resnet_28_4", "mobilenet")),
]
IMAGENET = ("resnet18", "mobilenet_v2", "resnet50")
IMAGENET_PAIRS = ["resnet18_resnet18", "mobilenet_v2_mobilenet_v2", "resnet50_resnet18"]


def cells(*columns):
    """Names of rows, of (methods, networks) columns."""
    return {f"{method}_{networks}" for methods, rows in columns for method in methods for networks in rows}


KD = "kd_wide_resnet_28_10_resnet110"  # from the text of section 4.3
ROWS = {
    1: cells(
        (["independent"], (*BACKBONES, "resnet110", "wide_resnet_28_4", "mobilenet")),
        (("dml", "dcm"), PAIRS),
    )
    | {KD},
    2: cells((["independent"], IMAGENET), (("dml", "dcm"), IMAGENET_PAIRS)),
    3: {"independent", "dcm_c4", "dcm_c3", "dcm_c2", "dcm_c2_c3", "dcm_c2_c3_c4"},
    4: cells((("dcm_pooled", "dcm_narrow", "dcm_default"), ("densenet_40_12", "wide_resnet_28_10"))),
    5: {"independent", "dml", "dml_ds", "dcm_1", "dcm_2", "dcm"},
    6: cells((("independent", "ds", "dcm"), BACKBONES)),
    7: cells((("independent", "dml", "dcm"), ("noise_20", "noise_50", "noise_80"))),
}
# What differs from Table 1's DCM, by a part of the row's name.
ABLATIONS = {
    3: {"c4": ("heads", "C4"), "c3": ("heads", "C3"), "c2": ("heads", "C2"), "c2_c3_c4": ("heads", "C2,C3,C4")},
    4: {kind: ("head_kind", kind) for kind in ("pooled", "narrow")},
    5: {"ds": ("pairs", "final"), "1": ("pairs", "same"), "2": ("pairs", "cross")},
    6: {"ds": ("pairs", "none")},
}


def defaults_of(method):
    """The hyper-parameters that a method has when nobody says any."""
    return {name: one.default for name, one in hyperparameters(method).items()}


def runs_of(number, config_of):
    """The table's own runs of networks that learn together or alone, by row."""
    table = TABLES[number]
    own = [row for row in table.rows.values() if row.place[0] == table.name and not row.teachers]
    return {row.name: config_of(f"{table.path}:{row.name}") for row in own}


@pytest.mark.parametrize("number", TABLES)
def test_a_table_has_every_row_of_the_paper(number):
    table = TABLES[number]
    assert table.rows.keys() == ROWS[number] and table.metric == "error"
    assert table.paper_runs == (None if number == 2 else 5)
    assert not any(row.needs for row in table.rows.values())
    taught = {row.name: row.teachers for row in table.rows.values() if row.teachers}
    assert taught == ({KD: (("dcm_table1", "independent_wide_resnet_28_10"),)} if number == 1 else {})
    for row in table.rows.values():
        assert row.paper.networks, row.name
        deviations = 0 if number == 2 or row.name == KD else len(row.paper.networks)
        assert len(row.paper.networks_std) == deviations, row.name


@pytest.mark.parametrize("number", [1, 2, 7])
def test_the_methods_are_trained_alike(number, config_of):
    for name, config in runs_of(number, config_of).items():
        label = name.split("_")[0]
        assert config.method == {"independent": "supervised"}.get(label, label), name
        assert config.to_dict()["hyperparameters"] == defaults_of(config.method), name
        alone = name.removeprefix("independent_")
        larger = config.networks[0].removesuffix("_dcm") if len(config.networks) > 1 else alone
        densenet = "densenet" in larger or number == 7
        protocol = "dcm_imagenet" if number == 2 else "dcm_densenet" if densenet else "dcm_wide_resnet"
        assert config.protocol == ("dcm_resnet" if larger == "resnet164" else protocol), name
        if number == 7:
            assert config.dataset == "cifar10" and config.label_noise == int(name.split("_")[-1]) / 100
        else:
            assert all(one.endswith("_dcm") for one in config.networks if "wide_resnet" in one or one == "mobilenet")
            names = "_".join(config.networks).replace("imagenet_", "").replace("_dcm", "").replace("110_a", "110")
            assert (f"{label}_{names}", config.dataset) == (name, "imagenet2012" if number == 2 else "cifar100")


@pytest.mark.parametrize("number", ABLATIONS)
def test_ablations_differ_from_table_1_in_one_thing(number, config_of):
    runs = runs_of(number, config_of)
    assert len(runs) == {3: 4, 4: 4, 5: 3, 6: 4}[number]
    for name, config in runs.items():
        found = next(one for one in sorted(ABLATIONS[number], key=len, reverse=True) if one in name)
        argument, value = ABLATIONS[number][found]
        assert config.to_dict()["hyperparameters"] == {**defaults_of("dcm"), argument: value}, name
        assert len(config.networks) == (1 if number == 6 else 2) and len(set(config.networks)) == 1
        backbone = config.networks[0].removesuffix("_dcm")
        assert ("wide_resnet" in backbone) == config.networks[0].endswith("_dcm")
        whole = config_of(CONFIGS / f"dcm_table1.toml:dcm_{backbone}_{backbone}")
        assert (config.method, config.protocol, config.normalization) == (whole.method, whole.protocol, "c10wrn")
        assert number not in (4, 6) or name.endswith(f"_{backbone}")
        assert number not in (3, 5) or backbone == {3: "wide_resnet_28_10", 5: "densenet_40_12"}[number]


def test_rows_of_other_tables_are_those_of_table_1():
    rows = TABLES[1].rows
    for number in (3, 4, 5, 6):
        others = [row for row in TABLES[number].rows.values() if row.place[0] != TABLES[number].name]
        assert len(others) == {3: 2, 4: 2, 5: 3, 6: 8}[number]
        for row in others:
            table, name = row.place
            own = rows[name].paper
            # Where the paper gives one figure for a pair, the first network's.
            assert table == "dcm_table1" and row.paper.networks == own.networks[: len(row.paper.networks)], row.name
            assert row.paper.networks_std == own.networks_std[: len(row.paper.networks_std)], row.name


# DML less DCM, as Tables 1 and 2 print it: net 1, net 2 (of Table 2, top-1 and top-5 of each).
MARGINS = {
    "resnet164_resnet164": (1.12, 1.13),
    "wide_resnet_28_10_wide_resnet_28_10": (1.28, 1.30),
    "densenet_40_12_densenet_40_12": (0.83, 0.74),
    "wide_resnet_28_10_resnet110": (0.17, 1.43),
    "wide_resnet_28_10_wide_resnet_28_4": (0.96, 1.45),
    "wide_resnet_28_10_mobilenet": (0.41, 2.48),
    "wide_resnet_28_10_dropout_wide_resnet_28_10_dropout": (1.05, 1.02),
    "resnet18_resnet18": (0.46, 0.18, 0.51, 0.26),
    "mobilenet_v2_mobilenet_v2": (0.99, 0.69, 1.04, 0.76),
    "resnet50_resnet18": (0.32, 0.14, 0.72, 0.30),
}


@pytest.mark.parametrize("pair", MARGINS)
def test_figures_have_the_margins_that_the_paper_prints(pair):
    rows = TABLES[2 if pair in IMAGENET_PAIRS else 1].rows
    dml, dcm = (printed(rows[f"{method}_{pair}"].paper) for method in ("dml", "dcm"))
    margins = [one - other for one, other in zip(dml, dcm, strict=True)]
    assert margins == pytest.approx(MARGINS[pair], abs=1e-6)


def printed(paper):
    """Figures in the order in which Tables 1 and 2 have them."""
    if not paper.top5:
        return paper.networks
    return [one for both in zip(paper.networks, paper.top5, strict=True) for one in both]


def test_a_pair_is_compared_with_each_of_its_networks_alone():
    rows = TABLES[1].rows
    assert rows["dcm_resnet164_resnet164"].baseline == ("independent_resnet164",)
    alone = ("independent_wide_resnet_28_10", "independent_resnet110")
    assert rows["dcm_wide_resnet_28_10_resnet110"].baseline == alone
    assert TABLES[4].rows["dcm_narrow_wide_resnet_28_10"].baseline == ("dcm_default_wide_resnet_28_10",)


def test_kd_is_the_pairs_smaller_network_and_its_training(config_of):
    config, pair = (config_of(CONFIGS / f"dcm_table1.toml:{one}") for one in (KD, KD.replace("kd", "dcm")))
    assert (config.method, config.also, config.networks) == ("distillation", ("kd",), pair.networks[1:])
    assert (config.protocol, config.normalization, config.dataset) == (pair.protocol, "c10wrn", "cifar100")
    chosen = config.to_dict()["hyperparameters"]
    assert (chosen["label_weight"], chosen["kd.weight"], chosen["kd.temperature"]) == (1, 1, 1)


def test_protocols(config_of):
    wide = config_of(CONFIGS / "dcm.flags")
    assert (wide.method, wide.networks, wide.dataset) == ("dcm", ("wide_resnet_28_10_dcm",) * 2, "cifar100")
    protocol = wide.chosen_protocol()
    assert (protocol.epochs, protocol.batch_size, protocol.settings.milestones) == (200, 128, (59, 119, 159))
    settings = protocol.settings
    assert (settings.learning_rate, settings.factor, settings.weight_decay) == (0.1, 0.2, 5e-4)
    assert settings.restart_momentum and not settings.nesterov
    mobile = config_of(CONFIGS / "dcm_table2.toml:dcm_mobilenet_v2_mobilenet_v2").chosen_protocol()
    assert (mobile.epochs, mobile.batch_size, mobile.settings.schedule) == (150, 256, "cosine")
    assert (mobile.settings.learning_rate, mobile.settings.weight_decay) == (0.05, 4e-5)


def test_imagenet_is_read_as_the_paper_says(config_of):
    runs = runs_of(2, config_of)
    assert len(runs) == 9 and {config.reading for config in runs.values()} == {"resize_crop"}
