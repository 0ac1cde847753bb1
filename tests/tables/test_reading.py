"""A table file becomes rows with their flags, and whatever is wrong in one is a line with the file and the row."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tfdistill.tables import read_table
from tfdistill.tables.values import ROW_KEYS, TABLE_KEYS, TableError

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
title = "Two methods"
baseline = "alone"
seeds = [1, 2]
[flags]
epochs = 3
flagfile = "base.flags"
[rows.alone]
flags = { method = "supervised" }
[rows.dml]
title = "DML"
flags = { method = "dml", dml.temperature = 3, networks = ["resnet8", "resnet14"], xla = "off", export = false }
paper = { networks = [70.1, 71], mean = 70.55, ensemble = 72, teacher = 75, others = { l1 = 0.5 } }
"""
GRID = """
baseline = "temperature1_also-"
[flags]
method = "distillation"
[grid]
kd.temperature = [1, 2.5]
loss = [{ label = "KL", flags = { also = "kd" } }, { label = "∞", flags = { also = "kd" }, needs = "the limit" }]
[grid_titles]
kd.temperature = "τ"
[grid_paper]
test = [[70, 71], [72, 73]]
"""


def written(folder, text):
    path = folder / "made.toml"
    path.write_text(text)
    return path


def test_a_row_has_the_tables_flags_and_its_own_a_flagfile_first(tmp_path):
    table = read_table(written(tmp_path, GOOD))
    dml = table.rows["dml"]
    own = ("--method=dml", "--dml.temperature=3", "--networks=resnet8,resnet14", "--xla=off", "--export=false")
    assert dml.arguments == ("--flagfile=base.flags", "--epochs=3", *own)
    assert (dml.paper.networks, dml.paper.mean, dml.paper.ensemble) == ((70.1, 71.0), 70.55, 72.0)
    assert (dml.paper.teacher, dml.paper.others) == (75.0, {"l1": 0.5})
    assert (dml.title, dml.baseline, dml.place, table.seeds) == ("DML", ("alone",), ("made", "dml"), (1, 2))
    assert table.rows["alone"].title == "alone"


def test_a_grid_is_a_row_for_every_combination(tmp_path):
    table = read_table(written(tmp_path, GRID.replace('baseline = "temperature1_also-"\n', "")))
    assert list(table.rows) == [f"temperature{value}_loss{loss}" for value in ("1", "2.5") for loss in ("KL", "inf")]
    last = table.rows["temperature2.5_lossinf"]
    assert last.arguments == ("--method=distillation", "--kd.temperature=2.5", "--also=kd")
    assert (last.paper.networks, last.needs, last.title) == ((73.0,), "the limit", "τ 2.5, loss ∞")
    assert last.cell == {"kd.temperature": "2.5", "loss": "∞"}
    assert table.grid.rows["1", "KL"] == "temperature1_lossKL"
    assert table.grid.axes[0].values == (1.0, 2.5) and table.grid.axes[1].values == ()


def test_a_value_renames_the_owner_of_the_other_values_flags(tmp_path):
    limit = 'renames = { kd = "limit" }, flags = { also = "limit", kd.name = "x" }'
    text = GRID.replace('baseline = "temperature1_also-"\n', "").replace(
        'flags = { also = "kd" }, needs = "the limit"', limit
    )
    rows = read_table(written(tmp_path, text)).rows
    own = ("--also=limit", "--kd.name=x")
    assert rows["temperature1_lossinf"].arguments == ("--method=distillation", "--limit.temperature=1", *own)
    assert rows["temperature1_lossKL"].arguments == ("--method=distillation", "--kd.temperature=1", "--also=kd")


def test_a_row_may_be_anothers_runs_with_figures_of_its_own(tmp_path):
    written(tmp_path, GOOD).rename(tmp_path / "first.toml")
    path = written(tmp_path, '[rows.again]\nsame_as = "first:dml"\ntitle = "once more"\npaper = { mean = 5 }')
    row = read_table(path).rows["again"]
    assert row.arguments == read_table(tmp_path / "first.toml").rows["dml"].arguments
    assert (row.name, row.title, row.place, row.paper.mean) == ("again", "once more", ("first", "dml"), 5.0)
    assert not row.needs
    path.write_text('needs = "a ruler"\n' + path.read_text())
    assert read_table(path).rows["again"].needs == "a ruler"


CHAIN = """
teacher = "large"
[rows.large]
teacher = ""
[rows.middle]
[rows.small]
teacher = ["middle", "large"]
"""


def test_a_rows_teachers_are_rows_of_this_table_or_another(tmp_path):
    (tmp_path / "first.toml").write_text(CHAIN.replace("[rows.middle]", '[rows.middle]\nneeds = "the limit"'))
    first = read_table(tmp_path / "first.toml").rows
    assert first["large"].teachers == () and first["middle"].teachers == (("first", "large"),)
    assert first["small"].teachers == (("first", "middle"), ("first", "large"))
    assert (first["large"].needs, first["small"].needs) == ("", "its teacher, middle: the limit")
    text = '[rows.big]\nsame_as = "first:large"\n[rows.a]\nteacher = "first:small"\n[rows.b]\nteacher = "big"'
    rows = read_table(written(tmp_path, text)).rows
    assert rows["a"].teachers == (("first", "small"),) and rows["b"].teachers == (("first", "large"),)
    assert rows["a"].needs == "its teacher, small: its teacher, middle: the limit"


def test_a_teacher_may_be_an_epoch_that_its_run_keeps(tmp_path):
    text = '[rows.big]\n[rows.a]\nteacher = ["big@10", "big"]\n[rows.b]\nteacher = "first:big@2"\n'
    (tmp_path / "first.toml").write_text("[rows.big]\nflags.keep_epochs = [2]\n")
    rows = read_table(written(tmp_path, text)).rows
    assert (rows["a"].teachers, rows["a"].teacher_epochs) == ((("made", "big"),) * 2, (10, None))
    assert (rows["b"].teachers, rows["b"].teacher_epochs) == ((("first", "big"),), (2,))
    assert rows["a"].at_epochs(["runs/one", "runs/two"]) == ("runs/one@10", "runs/two")
    for epoch in ("0", "", "ten", "1.5"):
        path = written(tmp_path, f'[rows.big]\n[rows.a]\nteacher = "big@{epoch}"')
        with pytest.raises(TableError, match=rf"row a: teacher: must be ROW, TABLE:ROW, .*, not big@{epoch}$"):
            read_table(path)


def test_a_grids_value_has_a_teacher_and_a_baseline_of_its_own(tmp_path):
    told = '[{ label = "0.2", teacher = "a", baseline = "b", flags = { label_noise = 0.2 } }, { label = "0.4" }]'
    path = written(tmp_path, f'teacher = "b"\n[rows]\na.teacher = ""\nb.teacher = ""\n[grid]\nnoise = {told}')
    table = read_table(path)
    first, second = table.rows["noise0.2"], table.rows["noise0.4"]
    assert (first.teachers, first.baseline) == ((("made", "a"),), ("b",))
    assert (second.teachers, second.baseline) == ((("made", "b"),), ())
    assert table.grid.axes[0].values == (0.2, 0.4)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('teacher = ""', 'teacher = "small"', "row middle: teacher: large would teach itself"),
        ('teacher = ""', 'teacher = "large"', "row large: teacher: large would teach itself"),
        ('"middle", ', '"midle", ', "row small: teacher: midle is no row of the table; nearest: middle"),
        ('"middle", ', '"nix:middle", ', "row small: teacher: "),
        ('"middle", ', "5, ", "row small: teacher: must be a text or a list of texts"),
        ("[rows.middle]", '[rows.middle]\nsame_as = "x:y"\nteacher = "large"', "teacher: the row has those of same_as"),
    ],
)
def test_a_teacher_that_is_no_row_or_its_own_is_one_line(tmp_path, before, after, said):
    assert before in CHAIN
    with pytest.raises(TableError) as caught:
        read_table(written(tmp_path, CHAIN.replace(before, after, 1)))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("seeds = [1, 2]", "seeds = [1, 1]", "seeds: must be different whole numbers from 0"),
        ("[rows.alone]", "[rows.alone]\nseed = -1", "row alone: seed: must be a whole number from 0, not -1"),
        ("seeds = [1, 2]", 'metric = "acuracy"', "metric: must be one of accuracy, error, mAP, not acuracy"),
        (
            'baseline = "alone"',
            'baseline = "alnoe"',
            "alone: baseline: alnoe is no row of the table; nearest: alone",
        ),
        ("mean = 70.55", 'mean = "70.55"', "row dml: paper.mean: must be a number in 0..100, not '70.55'"),
        ("mean = 70.55", "mean_std = 0.1", "row dml: paper.mean_std: is there without paper.mean; give both"),
        ("mean = 70.55", "networks_std = [1]", "paper.networks_std: must be 2, one for each of paper.networks, not 1"),
        ("mean = 70.55", "mean = nan", "row dml: paper.mean: must be a number in 0..100, not nan"),
        ("mean = 70.55", "men = 70.55", "row dml: paper: 'men' is no figure; nearest: mean"),
        (
            'title = "DML"',
            'title = "D\\nML"',
            "row dml: title: must be one line without control characters, not 'D\\nML'",
        ),
        ('title = "Two methods"', 'notes = ["a\\u001b"]', "made.toml: notes: must be one line without control"),
        ('title = "Two methods"', "paper_runs = 0", "made.toml: paper_runs: must be a whole number from 1, not 0"),
        (
            'title = "Two methods"',
            "grid_paper.test = [1]",
            "made.toml: grid_paper: belongs to a [grid], and there is none",
        ),
        ('title = "DML"', "title = 5", "row dml: title: must be text, not 5"),
        ('title = "DML"', 'titel = "DML"', "row dml: titel: is no key here; nearest: title"),
        ("[rows.dml]", "[rows.alone]", "is no TOML: Cannot declare ('rows', 'alone') twice"),
        ("[rows.alone]", '[rows."a b"]', "rows: a name has letters, digits"),
        ("epochs = 3", "seed = 3", "flags.seed: is the command's to say"),
        ("epochs = 3", "epochs = inf", "flags.epochs: must be text, a number, true, false or a list, not inf"),
        ("[rows.dml]", '[rows.dml]\nsame_as = "made:alone"', "row dml: flags: the row has those of same_as"),
        ("[rows.dml]", '[rows.x]\nsame_as = "made:alone"\n[rows.dml]', "row x: same_as: must be TABLE:ROW of another"),
        (
            "[rows.dml]",
            '[rows.x]\nsame_as = "../made:alone"\n[rows.dml]',
            "row x: same_as: must be TABLE:ROW of another",
        ),
        ("l1 = 0.5", "l1 = 101", "row dml: paper.others.l1: must be a number in 0..100, not 101"),
        ("others = { l1 = 0.5 }", "others = 3", "row dml: paper.others: must be figures by name, not 3"),
        ("[rows.dml]", '[rows.x]\nsame_as = "nix:alone"\n[rows.dml]', "nix.toml: cannot be read: No such file"),
        ('title = "Two methods"', "title = ", "is no TOML: Invalid value (at line 2, column 9)"),
    ],
)
def test_what_no_table_can_have_is_one_line_with_file_and_row(tmp_path, before, after, said):
    assert before in GOOD
    path = written(tmp_path, GOOD.replace(before, after))
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(path) in str(caught.value) and said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[[70, 71], [72, 73]]", "[[70, 71]]", "grid_paper: test: must have 2 figures along kd.temperature"),
        ("[[70, 71], [72, 73]]", '[[70, 71], [72, "x"]]', "grid_paper: paper.networks: must be a number in 0..100"),
        ("[1, 2.5]", "[1, 1]", "grid: kd.temperature: has a value twice in 1, 1"),
        ("[1, 2.5]", "[]", "grid: kd.temperature: must be a list of values"),
        ("[1, 2.5]", "[1]\nx = [1]", "grid: must have one axis or two, not 3"),
        ('needs = "the limit"', "renames = { kd = 1 }", "grid: loss: renames must be a table of texts, such as {"),
        ('label = "KL", ', "", "grid: loss: a value of several flags needs a label"),
        ('kd.temperature = "τ"', 'kd.temprature = "τ"', "grid_titles: 'kd.temprature' is no axis"),
    ],
)
def test_a_wrong_grid_is_one_line(tmp_path, before, after, said):
    text = GRID.replace('baseline = "temperature1_also-"\n', "")
    assert before in text
    with pytest.raises(TableError) as caught:
        read_table(written(tmp_path, text.replace(before, after)))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_examples_of_the_page_are_tables(tmp_path):
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "tables.md").read_text(), re.DOTALL | re.MULTILINE)
    shutil.copy(ROOT / "configs" / "ie_kd_table4.toml", tmp_path)
    table, grid = (read_table(written(tmp_path, block)) for block in blocks)
    assert table.rows["both"].place == ("ie_kd_table4", "ie_dml_resnet32_resnet32")
    assert set(ROW_KEYS) <= {key for row in tomllib.loads(blocks[0])["rows"].values() for key in row}
    assert grid.rows["alpha1_temperature20"].paper.networks == (75.15,)
    assert set(TABLE_KEYS) - {"baseline", "needs", "teacher"} == {
        key for block in blocks for key in tomllib.loads(block)
    }
