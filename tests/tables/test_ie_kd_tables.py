"""The tables of IE-KD's paper and supplement as files: every row is there, and one that can be run is a run."""

from pathlib import Path

import pytest

from tfdistill.commands import command_line
from tfdistill.tables import read_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TABLES = {path.stem: read_table(path) for path in sorted(CONFIGS.glob("ie_kd_*.toml"))}
NETWORKS = ("resnet20", "resnet56", *(f"wide_resnet_{size}" for size in ("40_1", "46_4", "16_2", "16_1")), "vgg13")
SMALLER = (
    *("resnet56_resnet20", "wide_resnet_40_1_resnet20", "wide_resnet_46_4_vgg13", "wide_resnet_16_2_wide_resnet_16_1"),
)
LARGER = (
    *("resnet20_resnet56", "resnet20_wide_resnet_40_1", "vgg13_wide_resnet_46_4", "wide_resnet_16_1_wide_resnet_16_2"),
)
METHODS = ("kd", "at", "ft", "od", "tf_kd", "crd", "ie_at", "ie_ft", "ie_od")
MORE = (*METHODS, "fitnet", "sp", "cc", "vid", "rkd", "pkt", "ab", "nst")
PAIRS = ("resnet110", "wide_resnet_28_10", "mobilenet", "resnet32")


def config_of(table, row):
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={CONFIGS / table}.toml:{row}"])
    return command_line.run_config(values)


def test_table_4_has_every_pair_by_every_method_and_all_can_be_run():
    table = TABLES["ie_kd_table4"]
    assert table.rows.keys() == {f"{one}_resnet32_{pair}" for one in ("independent", "dml", "ie_dml") for pair in PAIRS}
    assert table.metric == "error" and not any(row.needs for row in table.rows.values())
    assert all(len(row.paper.networks) == 2 for row in table.rows.values())
    assert table.rows["ie_dml_resnet32_wide_resnet_28_10"].paper.networks == (28.06, 20.63)


@pytest.mark.parametrize("pair", PAIRS)
def test_table_4_gains_by_ie_dml_over_dml_and_by_dml_over_independent_training(pair):
    rows = TABLES["ie_kd_table4"].rows
    alone, dml, ie_dml = (rows[f"{one}_resnet32_{pair}"].paper.networks for one in ("independent", "dml", "ie_dml"))
    assert all(third < second < first for first, second, third in zip(alone, dml, ie_dml, strict=True))


@pytest.mark.parametrize("row", TABLES["ie_kd_table4"].rows)
def test_a_row_of_table_4_is_its_method_on_its_networks(row):
    config = config_of("ie_kd_table4", row)
    label, _, peer = row.partition("_resnet32_")
    assert config.method == {"independent": "supervised"}.get(label, label)
    assert config.protocol == ("ie_cifar" if label == "ie_dml" else "dml_original")
    names = [name.removesuffix("_ie_kd").removesuffix("_a").removesuffix("_b") for name in config.networks]
    assert (names, config.dataset, config.normalization) == (["resnet32", peer], "cifar100", "c100")


def names(methods, pairs, alone):
    return {*alone, *(f"{method}_{pair}" for method in methods for pair in pairs)}


def figures(table, method, pairs):
    return [TABLES[table].rows[f"{method}_{pair}"].paper.networks[0] for pair in pairs]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("ie_kd_table1", names(METHODS, SMALLER, NETWORKS)),
        ("ie_kd_table2", names(METHODS, ["resnet34_resnet18"], ["resnet34", "resnet18"])),
        ("ie_kd_table3", {"teacher", "student", "at", "ft", "od", "crd", "ie_at", "ie_ft", "ie_od"}),
        ("ie_kd_table6a", {"resnet110", "resnet32", "l1", "l2", "cos", "partial_l2", "l1_cka"}),
        ("ie_kd_supplement_table1", names(MORE, SMALLER, NETWORKS)),
        ("ie_kd_supplement_table2", names(MORE, LARGER, NETWORKS)),
        ("ie_kd_supplement_table4", names(MORE, ["resnet18_resnet34"], ["resnet34", "resnet18"])),
    ],
)
def test_a_table_has_every_method_by_every_pair(table, expected):
    assert TABLES[table].rows.keys() == expected
    assert "CVPR 2021" in TABLES[table].source and TABLES[table].metric == ("mAP" if "table3" in table else "error")


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"ie_kd_table4"}))
def test_a_row_that_is_built_is_a_run_and_every_other_says_what_it_needs(name):
    for row in TABLES[name].rows.values():
        if row.needs:
            assert not row.name.startswith(("kd_", "tf_kd_")), row.name
        elif row.place[0] == name:
            config = config_of(name, row.name)
            assert (config.method, bool(row.teachers)) in (("distillation", True), ("supervised", False)), row.name
            known = {"imagenet2012": "dcm_imagenet", "voc": "ssd_voc"}
            assert config.protocol == known.get(config.dataset, "ie_cifar")


@pytest.mark.parametrize("transfer", ["at", "fitnet", "sp", "cc", "vid", "rkd", "pkt", "nst", "crd"])
def test_a_transfer_with_numbers_of_its_own_is_taken_as_it_comes_beside_the_labels(transfer):
    for table in TABLES.values():
        for row in table.rows.values():
            if row.name.startswith(f"{transfer}_") and row.place[0] == table.name and "table3" not in table.name:
                config = config_of(table.name, row.name)
                assert (config.also, config.arguments(), config.arguments(transfer)) == ((transfer,), {}, {}), row.name


def test_ab_learns_from_the_teacher_alone():
    rows = [(one.name, row) for one in TABLES.values() for row in one.rows.values() if row.name.startswith("ab_")]
    for table, row in rows:
        config = config_of(table, row.name)
        assert (config.also, config.arguments(), config.arguments("ab")) == (("ab",), {"label_weight": 0}, {}), row.name
        expected = (130, (30, 60, 90)) if config.dataset == "imagenet2012" else (190, (80, 120))
        protocol = config.chosen_protocol()
        assert (protocol.epochs, protocol.settings.milestones) == expected, "30 epochs go before"
    assert len(rows) == 9


def test_od_has_the_weight_of_its_authors_on_cifar_and_on_imagenet():
    weights = {}
    for table in TABLES.values():
        for row in table.rows.values():
            if row.name.startswith("od_") and row.place[0] == table.name and "table3" not in table.name:
                config = config_of(table.name, row.name)
                assert (config.also, config.arguments()) == (("od",), {}), row.name
                weights.setdefault(config.dataset, []).append(config.arguments("od").get("weight"))
    assert weights == {"cifar10": [None] * 8, "imagenet2012": [1e-4] * 2}


def test_a_students_teacher_and_baseline_are_its_own():
    for name in ("ie_kd_table1", "ie_kd_supplement_table1", "ie_kd_supplement_table2"):
        alone = {net: TABLES[name].rows[net].paper.networks[0] for net in NETWORKS}
        for row in TABLES[name].rows.values():
            if row.name not in NETWORKS:
                teacher, student = row.teachers[0][1], row.baseline[0]
                if row.name.startswith("tf_kd_"):  # its own trained copy
                    assert teacher == student and row.name.endswith(f"_{student}")
                else:
                    assert row.name.endswith(f"_{teacher}_{student}")
                assert row.paper.teacher == alone[teacher]


def test_tables_1_to_3():
    assert figures("ie_kd_table1", "kd", SMALLER) == [7.37, 7.46, 5.59, 8.22]
    assert figures("ie_kd_table1", "ie_od", SMALLER) == [6.53, 6.49, 4.65, 7.26]
    for variant, plain in (("ie_at", "at"), ("ie_ft", "ft"), ("ie_od", "od")):  # the paper: consistently
        pairs = zip(figures("ie_kd_table1", variant, SMALLER), figures("ie_kd_table1", plain, SMALLER), strict=True)
        assert all(one < other for one, other in pairs), variant
    best = TABLES["ie_kd_table2"].rows["ie_od_resnet34_resnet18"].paper
    assert (best.networks, best.top5, best.teacher) == ((28.19,), (9.33,), 26.73)
    detection = TABLES["ie_kd_table3"].rows
    assert (detection["student"].paper.networks, detection["ie_od"].paper.networks) == ((71.61,), (73.51,))
    assert not any(row.needs for row in detection.values())


@pytest.mark.parametrize("row", TABLES["ie_kd_table3"].rows)
def test_a_row_of_table_3_is_ssd300_and_its_student_has_120_000_steps(row):
    """Transfers act on the backbone's last map; what a preparation takes comes before the steps."""
    config, prepared = config_of("ie_kd_table3", row), row in ("ft", "ie_at", "ie_ft", "ie_od")
    is_teacher, taught = row == "teacher", row not in ("teacher", "student")
    (network,) = config.networks
    assert network == ("ssd300_resnet50:imagenet" if is_teacher else "ssd300_resnet18:resnet18.safetensors")
    assert (config.dataset, config.image_size, config.also) == ("voc", 300, (row,) if taught else ())
    protocol = config.chosen_protocol()
    own = protocol.epochs - 30 * prepared
    settings, steps = protocol.settings.stretched(own / protocol.epochs), 16_551 // 32
    assert own * steps == pytest.approx(120_000, rel=1e-3) and protocol.batch_size == 32
    assert [one * steps for one in settings.milestones] == pytest.approx([80_000, 100_000])
    assert (settings.learning_rate, settings.weight_decay, settings.decay_on) == (1e-3, 5e-4, "matrices")
    if row.startswith("ie_"):
        assert config.arguments(row) == dict.fromkeys(("inheritance_weight", "exploration_weight"), 100.0)
        assert config.to_dict()["hyperparameters"][f"{row}.preparation_epochs"] == 30
    if row in ("at", "od"):
        assert config.arguments(row)["taps"] == "stage3"


def test_kd_of_table_1_is_the_flagfile_of_kd():
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={CONFIGS / 'kd.flags'}"])
    expected = command_line.run_config(values)
    assert config_of("ie_kd_table1", "kd_resnet56_resnet20") == expected


def test_tf_kd_is_kd_from_the_networks_own_copy():
    config, kd = (config_of("ie_kd_table1", f"{one}_resnet56_resnet20") for one in ("tf_kd", "kd"))
    assert config == kd  # but for the teacher
    taught = TABLES["ie_kd_supplement_table4"].rows["tf_kd_resnet18_resnet34"]
    assert (taught.teachers[0][1], taught.paper.teacher) == ("resnet34", 26.73)


def test_the_supplements_figures_stand_beside_those_of_table_1_where_they_differ():
    differ = {}
    for name, row in TABLES["ie_kd_supplement_table1"].rows.items():
        main = TABLES["ie_kd_table1"].rows.get(name)
        if main:
            assert row.place == ("ie_kd_table1", name)
            if main.paper.networks != row.paper.networks:
                differ[name] = (main.paper.networks[0], row.paper.networks[0])
                assert f"{main.paper.networks[0]:.2f}" in row.note
    assert {name.split("_resnet")[0].split("_wide")[0] for name in differ} == {"crd", "ie_at", "ie_ft", "ie_od"}
    assert differ["ie_ft_resnet56_resnet20"] == (6.57, 6.37) and differ["crd_wide_resnet_46_4_vgg13"] == (4.81, 4.71)
    assert differ["ie_at_wide_resnet_46_4_vgg13"] == (4.75, 4.55)


def test_the_supplements_other_figures():
    assert figures("ie_kd_supplement_table1", "nst", SMALLER) == [6.87, 6.90, 5.06, 7.79]
    assert figures("ie_kd_supplement_table2", "ie_ft", LARGER) == [5.65, 6.90, 4.31, 5.62]
    assert figures("ie_kd_supplement_table2", "vid", LARGER) == [5.91, 6.99, 4.86, 5.89]
    row = TABLES["ie_kd_supplement_table4"].rows["fitnet_resnet18_resnet34"].paper
    assert (row.networks, row.top5) == ((27.17,), (8.99,))


def test_table_5_is_a_grid_whose_half_is_other_tables():
    table = TABLES["ie_kd_table5"]
    (pairs, shares), rows = table.grid.axes, table.grid.rows
    assert (len(pairs.labels), shares.labels) == (3, ("0.0", "0.3", "0.5", "0.7", "1.0"))
    half = [table.rows[rows[pair, "0.5"]].paper.networks for pair in pairs.labels]
    others = (("table1", "ie_od_resnet56_resnet20"), ("table6a", "l1"), ("table2", "ie_od_resnet34_resnet18"))
    assert half == [TABLES[f"ie_kd_{name}"].rows[row].paper.networks for name, row in others]
    assert table.rows[rows[pairs.labels[1], "1.0"]].paper.networks == (27.49,)
    assert all(table.rows[name].teachers for name in rows.values())


FACTORS = ("ft", "ie_at", "ie_ft", "ie_od")


@pytest.mark.parametrize("transfer", FACTORS)
def test_a_transfer_of_factors_has_30_epochs_before_the_students(transfer):
    found = 0
    for table in TABLES.values():
        for row in table.rows.values():
            if row.name.startswith(f"{transfer}_") and row.place[0] == table.name and not row.needs:
                config, found = config_of(table.name, row.name), found + 1
                imagenet = config.dataset == "imagenet2012"
                length, drops = (130, (30, 60, 90)) if imagenet else (190, (80, 120))
                protocol = config.chosen_protocol()
                assert (protocol.epochs, protocol.settings.milestones) == (length, drops), row.name
                said = {"coders": "normalized", "preparation_epochs": 30} if transfer == "ft" else {}
                if imagenet and transfer != "ft":
                    said = dict.fromkeys(("inheritance_weight", "exploration_weight"), 100.0)
                assert (config.also, config.arguments(), config.arguments(transfer)) == ((transfer,), {}, said), (
                    row.name
                )
    assert found == 10


def test_tables_5_and_6_say_shares_metrics_and_weights():
    grid = TABLES["ie_kd_table5"].grid
    shares = []
    for place, row in grid.rows.items():
        (transfer,) = (config := config_of("ie_kd_table5", row)).also
        assert transfer == ("ie_ft" if "100" in place[0] else "ie_od")
        shares.append(config.to_dict()["hyperparameters"][f"{transfer}.inheritance_share"])
    assert shares == [0.0, 0.3, 0.5, 0.7, 1.0] * 3
    metrics = {name: config_of("ie_kd_table6a", name).arguments("ie_ft") for name in ("l1", "cos", "l1_cka")}
    assert metrics == {"l1": {}, "cos": {"metric": "cosine"}, "l1_cka": {"metric": "l1_cka"}}
    weights = config_of("ie_kd_table6b", "inheritance500_exploration50").arguments("ie_ft")
    assert weights == {"inheritance_weight": 500.0, "exploration_weight": 50.0}


def test_tables_6_have_one_baseline_and_one_best():
    metrics, weights = TABLES["ie_kd_table6a"].rows, TABLES["ie_kd_table6b"].rows
    told = {name: row.paper.networks[0] for name, row in weights.items() if name != "resnet32"}
    assert list(told.values()) == [29.84, 25.67, 27.77, 26.69, 26.33]
    assert weights["inheritance50_exploration50"].place == metrics["l1"].place
    assert weights["resnet32"].paper.networks == metrics["resnet32"].paper.networks == (31.01,)
    assert metrics["l1_cka"].paper.networks == (26.60,) and metrics["partial_l2"].paper.networks == (26.71,)
