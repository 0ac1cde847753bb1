"""One small table with runs of every state, as the terminal, Markdown and CSV have it; a grid as matrices."""

import csv

import pytest

from tfdistill.tables import Outcome, Scores, read_table
from tfdistill.tables.comma_separated import comma_separated_text
from tfdistill.tables.rendering import markdown_text, terminal_text, write_markdown
from tfdistill.tables.summary import summarize

TABLE = """
title = "Two methods"
source = "A paper, Table 1"
paper_runs = 5
notes = ["A reading."]
[rows.alone]
title = "alone | independent"
flags.method = "supervised"
baseline = "alone"
[rows.dml]
title = "DML"
flags.method = "dml"
baseline = "alone"
paper = { mean = 52.5, ensemble = 53, others = { l1 = 0.0841 } }
note = "Trained together."
[rows.afd]
title = "AFD"
flags.method = "afd"
baseline = "alone"
[rows.crd]
title = "CRD"
needs = "the memory bank"
[rows.one]
flags.method = "one"
"""
# What the terminal shows; blanks between cells apart, whose number tests/test_columns.py holds.
TERMINAL = """\
Two methods
Two epochs, not the paper's 300.
Paper: A paper, Table 1, means of 5 runs.
Figures: test accuracy in percent, after the last epoch (2 epochs); mean ± sample standard deviation over n seeds.
Seeds: 1, 2.
A reading.

n mean ensemble best epoch gain (+ is better) ensemble gain paper: mean paper: ensemble paper: l1
alone | independent 2 50.50 ± 0.71 55.00 ± 0.00 50.50 ± 0.71
DML 2 53.00 ± 0.00 56.00 ± 0.00 53.00 ± 0.00 +2.50 ± 6.35 +1.00 ± 0.00 52.50 53.00 0.0841
AFD 0 of 2 – – –
CRD not built – – –

–: no run is finished.
"""
GRID = """
metric = "error"
[grid]
alpha = [0.1, 1]
temperature = [1, 3]
[grid_titles]
alpha = "α"
[grid_paper]
test = [[40, 41], [42, 43]]
"""


def finished(row, seed, share, ensemble=None):
    shares = {"a": share, "b": share} | ({} if ensemble is None else {"ensemble": ensemble})
    return Outcome(row, seed, "run", "finished", scores=Scores(("a", "b"), last=shares, best=shares, epochs=2.0))


@pytest.fixture
def summary(tmp_path):
    (tmp_path / "made.toml").write_text(TABLE)
    runs = [finished("alone", 1, 0.50, 0.55), finished("alone", 2, 0.51, 0.55)]
    runs += [finished("dml", 1, 0.53, 0.56), finished("dml", 2, 0.53, 0.56)]
    runs += [Outcome("afd", 1, "run", "failed", "no memory"), Outcome("afd", 2, "run", "missing")]
    return summarize(read_table(tmp_path / "made.toml"), runs, ["Two epochs, not the paper's 300."])


def test_the_terminal_is_told_every_state(summary):
    text = terminal_text(summary)
    assert "\n".join(" ".join(line.split()) for line in text.splitlines()).startswith(TERMINAL)
    below = text.partition("no run is finished.\n")[2]
    assert "paired by seed" in below and "so it is optimistic" in below
    assert below.endswith(
        "DML: Trained together.\nAFD, seed 1: failed: no memory\nCRD: not built: the memory bank\n"
        "Rows of the table that were not asked for: 1.\n"
    )


def test_a_dash_is_explained_where_one_stands(tmp_path):
    (tmp_path / "made.toml").write_text('[rows.crd]\nneeds = "the memory bank"\n')
    text = terminal_text(summarize(read_table(tmp_path / "made.toml"), []))
    assert "crd  not built\n" in text and "no run is finished" not in text


def test_numbers_of_markdown_stand_right_and_bars_are_escaped(summary):
    lines = markdown_text(summary).splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith("| --- "))
    assert set(lines[row].strip("| ").split(" | ")[1:]) == {"---:"}
    assert lines[row + 1].startswith("| alone \\| independent | 2 | 50.50 ± 0.71 |")
    assert "- Two epochs, not the paper's 300." in lines


def test_a_page_keeps_what_stands_beside_its_marks(summary, tmp_path):
    page = tmp_path / "page.md"
    write_markdown(page, summary)
    alone = page.read_text()
    assert alone.startswith("<!-- table made from here -->\n") and alone.endswith("<!-- table made to here -->\n")
    page.write_text(f"before\n{alone.replace('53.00', '99.00')}after\n")
    write_markdown(page, summary)
    assert page.read_text() == f"before\n{alone}after\n"
    page.write_text("somebody's page\n")
    with pytest.raises(ValueError, match=r"page\.md: must have the lines '<!-- table made from here -->'"):
        write_markdown(page, summary)
    assert page.read_text() == "somebody's page\n"


def test_csv_has_a_line_for_every_row(summary):
    rows = {row["row"]: row for row in csv.DictReader(comma_separated_text(summary).splitlines())}
    assert [row["state"] for row in rows.values()] == [
        "finished",
        "finished",
        "incomplete",
        "not built",
        "not asked for",
    ]
    assert (rows["dml"]["mean_last"], rows["dml"]["gain"], rows["dml"]["gain_n"]) == ("53.0", "2.5", "2")
    assert {row["budget"] for row in rows.values()} == {"Two epochs, not the paper's 300."}
    assert rows["dml"]["paper_others_l1"] == "0.0841"
    assert (rows["dml"]["network2_last"], rows["dml"]["paper_mean"], rows["afd"]["mean_last"]) == ("53.0", "52.5", "")


def test_a_grid_of_two_axes_is_matrices_and_of_one_axis_a_column_per_value(tmp_path):
    path = tmp_path / "made.toml"
    path.write_text(GRID)
    text = terminal_text(summarize(read_table(path), [finished("alpha1_temperature3", 1, 0.6)]))
    blocks = [[line.split() for line in block.splitlines()] for block in text.split("\n\n")]
    title = ["test", "error;", "α", "down,", "temperature", "across"]
    assert [title, ["1", "3"], ["0.1", "–", "–"], ["1", "–", "40.00"]] in blocks
    assert [["paper:", *title], ["1", "3"], ["0.1", "40.00", "41.00"], ["1", "42.00", "43.00"]] in blocks
    assert "Every figure of ours has n = 1." in text
    path.write_text(GRID.replace("temperature = [1, 3]\n", "").replace("[[40, 41], [42, 43]]", "[40, 41]"))
    text = terminal_text(summarize(read_table(path), [finished("alpha1", 1, 0.6)]))
    words = [line.split() for line in text.splitlines()]
    assert ["α", "0.1", "1"] in words and ["test", "error", "–", "40.00"] in words
    assert ["paper:", "test", "error", "40.00", "41.00"] in words
