"""The tables and figures of KL vs MSE as files: every row is there, and one that can be run is a run."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfdistill.commands import command_line
from tfdistill.commands.tabling import given
from tfdistill.commands.tabling.overrides import Overrides
from tfdistill.commands.tabling.planner import Planner
from tfdistill.data import load
from tfdistill.runs.data import RunData
from tfdistill.tables import read_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TABLES = {path.stem: read_table(path) for path in sorted(CONFIGS.glob("kl_vs_mse_*.toml"))}
STUDENTS = ("16_2", "16_4", "28_2", "28_4", "40_6")
FEATURES = ("fitnets", "at", "jacobian", "ft", "ab", "overhaul")
# By the ends of their rows' titles.
ON_MAPS = {"FitNets": "fitnet", "AT": "at", "Jacobian": "jacobian", "FT": "ft", "AB": "ab", "Overhaul": "od"}
LARGE = ("kl_vs_mse_table2", "ce_wide_resnet_28_4")
# How many rows the paper has, and how many more are teachers alone.
COUNTS = {
    "table2": (5 * 7, 0),
    "table3": (3 * 9, 0),
    "table4": (7, 1),
    "table5": (4, 1),
    "table6": (1 + 4 * 3, 0),
    "ensemble": (2, 0),
    "table7_8": (5 * 10, 0),
    "figure6": (4 * (2 + 9), 0),
    "figure7a": (50, 0),
    "figure7b": (50, 1),
    "figure7c": (50, 0),
    "figure7d": (50, 1),
    "figure8": (4, 0),
}


def rows_of(name):
    return TABLES[f"kl_vs_mse_{name}"].rows


def config_of(table, row):
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={TABLES[table].path}:{row}"])
    return command_line.run_config(values)


def figures(name, label, nets=("16_2",)):
    return [rows_of(name)[f"{label}_wide_resnet_{net}"].paper.networks for net in nets]


def test_every_table_and_figure_has_its_rows():
    assert {name.removeprefix("kl_vs_mse_"): len(one.rows) for name, one in TABLES.items()} == {
        name: sum(count) for name, count in COUNTS.items()
    }
    assert all("IJCAI 2021" in one.source and one.metric == "accuracy" and one.notes for one in TABLES.values())


@pytest.mark.parametrize("name", TABLES)
def test_every_row_that_can_be_run_is_a_run_with_its_teacher(name):
    grid = TABLES[name].grid
    first = [axis.labels[0] for axis in grid.axes] if grid else []
    for row in TABLES[name].rows.values():
        # Of a grid, every value beside the other axis' first: a cell's flags are those of its two values.
        if not row.needs and (not row.cell or set(first) & set(row.cell.values())):
            config = config_of(name, row.name)
            taught = config.method == "distillation"
            assert bool(row.teachers) == taught and config.method in ("distillation", "supervised"), row.name
            link = row.title.rpartition("→")[2]  # of a chain, the last
            loss = "mse" if "MSE" in link else "kd_limit" if "∞" in link else ON_MAPS.get(link.split(", ")[-1], "kd")
            assert len(config.networks) == 1 and config.also == ((loss,) if taught else ()), row.name


def test_what_cannot_be_run_is_calibration():
    waiting = {name: row for table in TABLES.values() for name, row in table.rows.items() if row.needs}
    assert waiting.keys() == rows_of("figure8").keys()


@pytest.mark.parametrize(
    ("row", "also", "told"),
    [
        ("klinf_wide_resnet_28_2", "kd_limit", {"kd_limit.temperature": "infinite", "kd_limit.weight": 1}),
        ("mse_wide_resnet_28_2", "mse", {"mse.reduction": "mean", "mse.weight": 1}),
    ],
)
def test_the_limit_and_the_mse_learn_from_the_teacher_alone(row, also, told):
    config = config_of("kl_vs_mse_table2", row)
    assert (config.method, config.also, config.networks) == ("distillation", (also,), ("wide_resnet_28_2",))
    chosen = config.to_dict()["hyperparameters"]
    assert chosen["label_weight"] == 0 and {name: chosen[name] for name in told} == told
    alike = config_of("kl_vs_mse_table2", "kl3_wide_resnet_28_2")
    assert config.chosen_protocol() == alike.chosen_protocol() and config.normalization == alike.normalization


def test_the_training_is_the_authors():
    protocol = config_of("kl_vs_mse_table2", "kl3_wide_resnet_16_2").chosen_protocol()
    settings = protocol.settings
    assert (protocol.epochs, protocol.batch_size, settings.milestones) == (200, 128, (100, 150))
    assert (settings.learning_rate, settings.factor, settings.weight_decay) == (0.1, 0.1, 5e-4)
    assert settings.nesterov and settings.decay_on == "matrices"
    imagenet = config_of("kl_vs_mse_table5", "ce_resnet50").chosen_protocol()
    assert (imagenet.epochs, imagenet.batch_size, imagenet.settings.milestones) == (100, 256, (30, 60, 90))


def test_table_2():
    assert figures("table2", "mse", STUDENTS) == [(75.54,), (79.03,), (77.28,), (79.79,), (80.25,)]
    assert figures("table2", "ce", STUDENTS) == [(72.68,), (77.28,), (75.12,), (78.88,), (79.11,)]
    rows = rows_of("table2")
    assert all(row.teachers == (() if name.startswith("ce_") else (LARGE,)) for name, row in rows.items())
    assert all(row.baseline == (f"ce_{name.partition('_')[2]}",) for name, row in rows.items() if name[:2] != "ce")
    config = config_of("kl_vs_mse_table2", "kl20_wide_resnet_40_6").to_dict()
    told = {"label_weight": 0, "kd.temperature": 20, "kd.weight": 1}
    assert {name: config["hyperparameters"][name] for name in told} == told


def test_the_mse_is_best_for_every_student_but_one_that_ties_as_the_paper_says():
    for net in STUDENTS:
        labels = ("ce", "kl1", "kl3", "kl5", "kl20", "klinf", "mse")
        *others, mse = [figures("table2", label, [net])[0] for label in labels]
        assert mse >= max(others), net


def test_table_3_has_every_method():
    names = ("ce", "skd", *FEATURES, "mse")
    assert rows_of("table3").keys() == {f"{one}_wide_resnet_{net}" for one in names for net in STUDENTS[:3]}
    assert [figures("table3", one)[0][0] for one in names[1:8]] == [73.53, 73.70, 73.44, 73.29, 74.09, 73.98, 75.59]
    told = config_of("kl_vs_mse_table3", "skd_wide_resnet_16_2").to_dict()["hyperparameters"]
    assert (told["label_weight"], told["kd.weight"], told["kd.temperature"]) == (0.9, 0.1, 5)
    assert figures("table3", "mse", STUDENTS[:3]) == figures("table2", "mse", STUDENTS[:3])


def test_tables_4_and_5():
    labels = ("kl0.1", "kl0.5", "kl1", "kl5", "kl20", "klinf", "mse")
    assert [figures("table4", one)[0][0] for one in labels] == [51.64, 52.07, 51.36, 50.11, 49.69, 49.46, 49.20]
    assert rows_of("table4")["teacher"].paper.training == (53.77,)
    assert config_of("kl_vs_mse_table4", "teacher").steps == 10 * (50_000 // 128)
    told = {name: row.paper.networks for name, row in rows_of("table5").items()}
    assert told.pop("teacher") == () and list(told.values()) == [(76.28,), (77.15,), (77.52,), (75.84,)]


def test_table_6_is_a_chain_of_rows():
    rows = rows_of("table6")
    assert rows["kl20_after_kl3"].teachers == (("kl_vs_mse_table2", "kl3_wide_resnet_16_4"),)
    for loss in ("kl3", "kl20", "mse"):
        assert rows[f"{loss}_after_mse"].teachers == (("kl_vs_mse_table2", "mse_wide_resnet_16_4"),)
    assert rows["mse_after_kl3"].paper.networks == (75.78,) and rows["kl3_after_mse"].paper.networks == ()
    middle = [rows[f"{one}_from_16_4"].paper.networks[0] for one in ("kl3", "kl20", "mse")]
    assert middle == [74.84, 75.42, 75.58]
    assert all(
        rows[f"{one}_from_28_4"].place == ("kl_vs_mse_table2", f"{one}_wide_resnet_16_2") for one in ("kl3", "mse")
    )
    assert rows_of("ensemble")["three_teachers"].paper.networks == (75.6,)
    assert len(rows_of("ensemble")["three_teachers"].teachers) == 3


def test_tables_7_and_8_are_a_grid_whose_last_column_is_table_2s():
    rows, grid = rows_of("table7_8"), TABLES["kl_vs_mse_table7_8"].grid
    assert [len(axis.labels) for axis in grid.axes] == [5, 10] and grid.axes[1].values[-1] == 1.0
    for temperature in (1, 3, 5, 20, "inf"):
        whole = rows[f"temperature{temperature}_alpha1.0"]
        assert whole.paper.networks == figures("table2", f"kl{temperature}")[0]
        assert whole.teachers == (LARGE,)
    cell = rows["temperature5_alpha0.7"]
    assert (cell.paper.networks, cell.paper.training) == ((75.17,), (96.18,))
    told = config_of("kl_vs_mse_table7_8", cell.name).to_dict()["hyperparameters"]
    assert (told["label_weight"], told["kd.weight"], told["kd.temperature"]) == (0.3, 0.7, 5)
    told = config_of("kl_vs_mse_table7_8", "temperatureinf_alpha0.7").to_dict()["hyperparameters"]
    assert (told["label_weight"], told["kd_limit.weight"], told["kd_limit.temperature"]) == (0.3, 0.7, "infinite")
    # As the paper says: with the teacher alone, the error falls as the temperature rises.
    last = [rows[f"temperature{one}_alpha1.0"].paper.networks[0] for one in (1, 3, 5, 20, "inf")]
    assert last == sorted(last)


@pytest.mark.parametrize(("letter", "net"), [("a", "16_4"), ("b", "16_6"), ("c", "28_2"), ("d", "40_2")])
def test_figure_7_has_a_grid_per_pair_without_figures(letter, net):
    table = TABLES[f"kl_vs_mse_figure7{letter}"]
    cells = [table.rows[name] for name in table.grid.rows.values()]
    assert len(cells) == 50 and all(one.paper == type(one.paper)() for one in cells)
    assert {one.teachers[0][1] for one in cells} == {f"ce_wide_resnet_{net}"}
    for name, weight in (("temperature3_alpha0.1", "kd.weight"), ("temperatureinf_alpha0.1", "kd_limit.weight")):
        config = config_of(table.name, name)
        told = config.to_dict()["hyperparameters"]
        assert (config.networks, told["label_weight"], told[weight]) == (("wide_resnet_16_2",), 0.9, 0.1)


def test_figure_6_has_teachers_that_learned_the_same_wrong_labels():
    table = TABLES["kl_vs_mse_figure6"]
    for (level, loss), name in table.grid.rows.items():
        row = table.rows[name]
        assert row.teachers == (("kl_vs_mse_figure6", f"ce_wide_resnet_28_4_noise{level}"),)
        assert row.baseline == (f"ce_wide_resnet_16_2_noise{level}",) and row.paper.networks == ()
        teacher = config_of(table.name, row.teachers[0][1])
        config = config_of(table.name, name)
        assert config.label_noise == teacher.label_noise == float(level)
        if config.also == ("kd",):
            assert config.to_dict()["hyperparameters"]["kd.rescaled"] == loss.startswith("rescaled")


def test_teacher_student_and_baseline_of_a_row_of_figure_6_see_the_same_wrong_labels():
    digits = load("digits")

    def labels(config):
        config = dataclasses.replace(config, dataset="digits", normalization="")
        data = RunData(config, digits)
        np.testing.assert_array_equal(data.monitors["test"].labels, digits.test.labels)
        return data.train.labels

    table, student = TABLES["kl_vs_mse_figure6"], "label_noise0.4_lossMSE"
    rows = [student, "ce_wide_resnet_16_2_noise0.4"]
    plan = Planner(Overrides(), "runs").plan([given.shown_table(table, rows)], [rows], [1, 2])
    assert len(plan.runs) == 6
    seen = {}
    for run in plan.runs.values():
        seen.setdefault(run.config.seed, []).append(labels(run.config))
        assert bool(run.teachers) == (run.row == student)
    for first, *others in seen.values():
        assert len(others) == 2 and (first != digits.train.labels).sum() == round(0.4 * len(digits.train))
        assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(seen[1][0], seen[2][0])
    # The student learns nothing from them: its labels have no weight.
    config = config_of(table.name, student)
    assert (config.method, config.arguments()["label_weight"]) == ("distillation", 0.0)


def test_figure_8_has_calibration_errors_of_runs_of_table_2():
    rows = rows_of("figure8")
    assert [row.paper.others["expected_calibration_error"] for row in rows.values()] == [8.44, 10.33, 14.38, 10.46]
    assert all(row.place == ("kl_vs_mse_table2", name) and "calibration" in row.needs for name, row in rows.items())
