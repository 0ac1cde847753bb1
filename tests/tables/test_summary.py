"""Means, deviations and gains of a table's runs, against cases done by hand."""

import dataclasses

import pytest

from tfdistill.tables import Outcome, Scores, read_table
from tfdistill.tables.paired import paired_gain
from tfdistill.tables.summary import summarize

TABLE = """
metric = "{metric}"
[rows.alone]
flags.method = "supervised"
baseline = "alone"
[rows.other]
flags.method = "supervised"
[rows.pair]
title = "DML"
flags.method = "dml"
baseline = {baseline}
paper = {{ networks = [70, 71], mean = 70.5, top5 = [90] }}
"""


def table(folder, metric="accuracy", baseline='"alone"'):
    path = folder / "made.toml"
    path.write_text(TABLE.format(metric=metric, baseline=baseline))
    return read_table(path)


def finished(row, seed, *last, ensemble=None, seconds=0.1, **flags):
    names = tuple(f"n{index}" for index in range(1, len(last) + 1))
    shares = dict(zip(names, last, strict=True)) | ({} if ensemble is None else {"ensemble": ensemble})
    scores = Scores(
        networks=names,
        last=shares,
        best={name: value + 0.01 for name, value in shares.items()},
        training=dict.fromkeys(names, 0.9),
        epochs=2.0,
        step_seconds=seconds,
        curve=((1, {name: value / 2 for name, value in shares.items()}), (2, shares)),
    )
    known = {"networks": ["resnet8"] * len(last), "seed": seed, "run": f"{row}{seed}", "runs_dir": str(seed)}
    return Outcome(row, seed, f"{row}{seed}", "finished", scores=scores, flags={**known, **flags}, versions={"a": "1"})


PAIRS = [
    finished("pair", 1, 0.50, 0.54, ensemble=0.60, seconds=0.3),
    finished("pair", 2, 0.52, 0.54, ensemble=0.61, seconds=0.2),
    finished("pair", 3, 0.51, 0.57, ensemble=0.59, seconds=0.25),
]
ALONE = [
    finished("alone", 1, 0.51, 0.51, ensemble=0.55),
    finished("alone", 2, 0.51, 0.51, ensemble=0.55),
    finished("alone", 3, 0.51, 0.51, ensemble=0.55),
]


def test_the_interval_of_three_seeds_has_students_quantile():
    gain = paired_gain({1: 3.0, 2: 5.0, 3: 7.0}, {1: 2.0, 2: 3.0, 3: 4.0, 4: 99.0})
    # Differences 1, 2, 3: mean 2, deviation 1; t(0.975, 2) = 4.3027.
    assert (gain.mean, gain.n) == (2.0, 3)
    assert gain.half_width == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert paired_gain({1: 3.0}, {1: 2.0, 2: 1.0}) is None


def test_a_row_has_means_deviations_and_gains(tmp_path):
    row = summarize(table(tmp_path), [*PAIRS, *ALONE]).rows["pair"]
    assert [one.last.mean for one in row.networks] == pytest.approx([51.0, 55.0])
    assert row.networks[0].last.std == pytest.approx(1.0)  # 50, 52, 51
    assert row.mean.last.mean == pytest.approx(53.0)  # 52, 53, 54
    assert row.mean.last.std == pytest.approx(1.0)
    assert row.mean.best.mean == pytest.approx(54.0)
    assert row.mean.training.mean == pytest.approx(90.0) and row.ensemble.training is None
    assert row.gain.mean == pytest.approx(2.0) and row.gain.half_width == pytest.approx(2.4841, abs=1e-4)
    assert row.ensemble_gain.mean == pytest.approx(5.0)
    assert row.step_ratio == pytest.approx(2.5)
    assert [(point.epoch, point.mean) for point in row.mean.curve] == [(1, pytest.approx(26.5)), (2, pytest.approx(53))]
    assert (row.mean.curve[1].least, row.mean.curve[1].largest) == (pytest.approx(52), pytest.approx(54))


def test_an_error_is_what_accuracy_lacks_and_a_smaller_one_is_a_gain(tmp_path):
    rows = summarize(table(tmp_path, metric="error"), [*PAIRS, *ALONE]).rows
    assert rows["pair"].mean.last.mean == pytest.approx(47.0)
    assert rows["pair"].mean.best.mean == pytest.approx(46.0)
    assert rows["pair"].gain.mean == pytest.approx(2.0)
    assert rows["alone"].gain is None and rows["alone"].step_ratio == pytest.approx(1.0)


def test_only_seeds_that_both_have_are_paired(tmp_path):
    missing = Outcome("alone", 1, "alone1", "missing")
    rows = summarize(table(tmp_path), [*PAIRS, missing, *ALONE[1:]]).rows
    assert (rows["alone"].n, rows["alone"].asked, rows["alone"].states["missing"]) == (2, 3, 1)
    assert rows["pair"].gain.n == 2
    assert rows["pair"].gain.mean == pytest.approx(2.5)  # seeds 2 and 3: 53 and 54 over 51
    # t(0.975, 1) = 12.7062, deviation sqrt(0.5), n = 2.
    assert rows["pair"].gain.half_width == pytest.approx(12.7062 * 0.5, abs=1e-4)


def test_test_figures_are_not_compared_with_those_of_held_out_images(tmp_path):
    held_out = [
        dataclasses.replace(one, scores=dataclasses.replace(one.scores, scored_on="validation")) for one in ALONE
    ]
    summary = summarize(table(tmp_path), [*PAIRS, *held_out])
    assert summary.rows["pair"].gain is None and summary.rows["pair"].ensemble_gain is None
    assert summary.scored_on == ("test", "validation")


def test_each_network_may_have_a_baseline_of_its_own(tmp_path):
    others = [finished("alone", seed, 0.50, seconds=0.1) for seed in (1, 2)]
    others += [finished("other", seed, 0.54, seconds=0.15) for seed in (1, 2)]
    summary = summarize(table(tmp_path, baseline='["alone", "other"]'), [*PAIRS, *others])
    row = summary.rows["pair"]
    assert row.gain.mean == pytest.approx(0.5)  # 52 and 53 over the mean of 50 and 54
    assert row.ensemble_gain is None
    assert row.step_ratio == pytest.approx(1.0)  # 0.25 by 0.1 + 0.15
    assert summary.rows["alone"].ensemble is None
    with pytest.raises(ValueError, match="one for each of 2 networks, not 3"):
        summarize(table(tmp_path, baseline='["alone", "other", "other"]'), [*PAIRS, *others])


def test_one_seed_has_no_deviation_and_no_interval(tmp_path):
    row = summarize(table(tmp_path), [PAIRS[0], ALONE[0]]).rows["pair"]
    assert (row.mean.last.mean, row.mean.last.std, row.gain, row.n) == (pytest.approx(52.0), None, None, 1)


def test_only_finished_runs_count_and_others_have_their_line(tmp_path):
    failed = Outcome("pair", 3, "pair3", "failed", problem="out of\nmemory")
    refused = dataclasses.replace(PAIRS[1], state="refused", problem="edited")
    row = summarize(table(tmp_path), [PAIRS[0], refused, failed]).rows["pair"]
    assert (row.seeds, row.asked) == ((1,), 3)
    assert row.problems == ("DML, seed 2: refused: edited", "DML, seed 3: failed: out of memory")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (finished("pair", 2, 0.5, 0.5, batch_size=7), "seeds 1 and 2 differ in more than the seed: --batch_size"),
        (finished("pair", 1, 0.5, 0.5), "row pair: there are two runs with seed 1"),
        (finished("none", 1, 0.5), "has no row none, of which there is a run with seed 1"),
    ],
)
def test_what_cannot_be_averaged_is_refused_in_a_line(tmp_path, wrong, said):
    with pytest.raises(ValueError) as caught:
        summarize(table(tmp_path), [PAIRS[0], wrong])
    assert said in str(caught.value) and "\n" not in str(caught.value)
