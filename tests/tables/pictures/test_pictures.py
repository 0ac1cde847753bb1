"""What pictures of tables show, read from the artists, and the files that are written."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tfdistill.tables import Outcome, Scores, read_table
from tfdistill.tables.pictures import draw, require_picture, said
from tfdistill.tables.pictures.bars import bars
from tfdistill.tables.pictures.canvas import publishable
from tfdistill.tables.pictures.curves import curves
from tfdistill.tables.pictures.heat_map import heat_map
from tfdistill.tables.pictures.panels import MOST_LINES
from tfdistill.tables.pictures.sweep import sweep
from tfdistill.tables.summary import summarize

ROWS = """
title = "Costs $5"
metric = "error"
baseline = "alone"
[rows.alone]
[rows.pair]
paper = { mean = 45, ensemble = 39 }
[rows.lost]
[rows.planned]
needs = "a part"
"""
GRID = """
[grid]
alpha = [0.1, 0.5, 1]
{other}
[grid_paper]
test = {paper}
"""
TWO = 'kind = [{label = "KL", flags = {}}, {label = "MSE", flags = {}}]'


def made(folder, text):
    path = folder / "made.toml"
    path.write_text(text)
    return read_table(path)


def finished(row, seed, *last, ensemble=None, training=0.9):
    names = tuple(f"n{index}" for index in range(len(last)))
    shares = dict(zip(names, last, strict=True)) | ({} if ensemble is None else {"ensemble": ensemble})
    curve = tuple((epoch, {name: value * epoch / 4 for name, value in shares.items()}) for epoch in (1, 2, 3, 4))
    scores = Scores(names, shares, shares, training=dict.fromkeys(names, training), epochs=4.0, curve=curve)
    return Outcome(row, seed, f"{row}{seed}", "finished", scores=scores)


RUNS = [
    finished("alone", 1, 0.50),
    finished("alone", 2, 0.52),
    finished("pair", 1, 0.54, 0.58, ensemble=0.62),
    finished("pair", 2, 0.58, 0.62, ensemble=0.64),
    Outcome("lost", 1, "lost1", "failed", "no memory"),
]


@pytest.fixture
def look():
    with publishable():
        yield


def test_bars_are_as_long_as_the_means_and_say_what_is_missing(tmp_path, look):
    summary = summarize(made(tmp_path, ROWS), RUNS)
    (axes,) = bars(summary, RUNS, summary.rows.values()).axes
    assert [round(one.get_width(), 6) for one in axes.patches] == [49, 42, 37]
    dots = [line for line in axes.lines if line.get_label() == "one seed"]
    assert [np.round(line.get_xdata(), 6).tolist() for line in dots] == [[50, 48], [44, 40], [38, 36]]
    deviations = [one.lines[2][0].get_segments()[0][:, 0] for one in axes.containers if one.get_label().startswith("±")]
    assert deviations[0] == pytest.approx([49 - 2**0.5, 49 + 2**0.5])
    diamonds = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [[45], [39]]
    (baseline,) = [one for one in axes.collections if one.get_label() == "baseline's networks"]
    assert baseline.get_segments()[0].tolist() == [[pytest.approx(49), -0.45], [pytest.approx(49), 3.45]]
    texts = [one.get_text() for one in axes.texts]
    assert texts == ["49.00 ± 1.41  n = 2", "42.00 ± 2.83  n = 2", "37.00 ± 1.41", "failed", "not built yet"]
    assert [one.get_text() for one in axes.get_yticklabels()] == ["alone", "pair", "lost", "planned"]
    start = axes.get_xlim()[0]
    assert 0 < start < 36 and f"test error in % (the axis starts at {start:g})" == axes.get_xlabel()


def test_curves_have_the_mean_and_the_range_over_seeds(tmp_path, look):
    (axes,) = curves(summarize(made(tmp_path, ROWS), RUNS)).axes
    assert [line.get_label() for line in axes.lines] == ["alone", "pair"]
    assert axes.lines[1].get_ydata()[-1] == pytest.approx(42)
    band = axes.collections[1].get_paths()[0].vertices
    assert sorted(set(np.round(band[band[:, 0] == 4, 1], 6))) == [40, 44]


def test_many_curves_are_in_panels_each_with_the_baseline(tmp_path, look):
    names = [f"r{index}" for index in range(MOST_LINES + 1)]
    table = made(tmp_path, 'baseline = "r0"\n' + "".join(f"[rows.{name}]\n" for name in names))
    found = [[line.get_label() for line in axes.lines] for axes in curves(summarize(table, _one_run_each(names))).axes]
    assert found == [names[:MOST_LINES], ["r0", names[-1]]]


def _one_run_each(names):
    return [finished(name, 1, 0.5 + 0.01 * index) for index, name in enumerate(names)]


def test_a_heat_map_has_ours_and_the_papers_in_its_cells(tmp_path, look):
    table = made(tmp_path, GRID.format(other="tau = [1, 3]", paper="[[71, 72], [73, 74], [75, 76]]"))
    runs = _one_run_each(list(table.rows)[:-1])
    test, training = heat_map(summarize(table, runs), table.grid).axes[:2]
    assert [one.get_text() for one in test.texts][:2] == ["50.00\n(71.00)", "51.00\n(72.00)"]
    assert test.texts[-1].get_text() == "missing\n(76.00)"
    assert np.ma.allclose(test.images[0].get_array(), np.ma.masked_invalid([[50, 52, 54], [51, 53, np.nan]]))
    assert test.images[0].get_array().mask.tolist() == [[False] * 3, [False, False, True]]
    assert {one.get_text() for one in training.texts} == {"90.00", "missing"}
    assert training.get_title() == "training accuracy in %"


def test_lines_of_methods_have_a_gap_where_a_run_is_missing(tmp_path, look):
    table = made(tmp_path, GRID.format(other=TWO, paper='[[71, ""], [73, ""], [75, ""]]'))
    runs = [one for one in _one_run_each(table.rows) if one.row != "alpha0.5_kindMSE"]
    figure = sweep(summarize(table, [*runs, finished(runs[0].row, 2, 0.54)]), table.grid)
    (axes,) = figure.axes
    kl, mse = axes.containers
    assert [one.lines[0].get_xdata().tolist() for one in (kl, mse)] == [[0.1, 0.5, 1]] * 2
    assert kl.lines[0].get_ydata() == pytest.approx([52, 52, 54])
    assert np.isnan(mse.lines[0].get_ydata().astype(float)).tolist() == [False, True, False]
    assert kl.lines[2][0].get_segments()[0][:, 1] == pytest.approx([52 - 8**0.5, 52 + 8**0.5])
    names = [one.get_text() for one in axes.get_legend().get_texts()]
    assert names == ["KL", "KL, the paper's", "MSE"] and "Missing: MSE at 0.5." in figure._supxlabel.get_text()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_files_are_written_alike_and_leave_settings_alone(tmp_path, ending):
    table = made(tmp_path, ROWS)
    summary, before = summarize(table, RUNS), dict(matplotlib.rcParams)
    files = draw(table, summary, RUNS, tmp_path / f"a.{ending}")
    again = draw(table, summary, RUNS, tmp_path / f"b.{ending}")
    assert [one.name for one in files] == [f"a.{ending}", f"a_curves.{ending}"]
    assert [one.read_bytes() for one in files] == [one.read_bytes() for one in again]
    assert dict(matplotlib.rcParams) == before and said(files) == f"drawn: {files[0]}, {files[1]}"
    content = files[0].read_bytes()
    if ending == "png":
        with Image.open(files[0]) as image:
            assert image.size[0] == 1440 and image.info["dpi"][0] == pytest.approx(200, abs=0.1)
    else:
        assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF"}[ending])


def test_without_a_finished_run_there_is_no_picture(tmp_path):
    table = made(tmp_path, ROWS)
    assert draw(table, summarize(table, RUNS[-1:]), RUNS[-1:], tmp_path / "a.png") == []
    assert said([]) == "no picture: no run is finished" and not list(tmp_path.glob("*.png"))


def test_a_file_that_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"^picture: must be a file .*.png, .svg or .pdf, not a.bmp$"):
        require_picture("picture", Path("a.bmp"))
    require_picture("picture", Path("a.PNG"))
