"""The fit of what sums of gradients cost, and the tables of scaling.py and cohort.py."""

import importlib

import pytest


@pytest.fixture(scope="module")
def scaling():
    return importlib.import_module("scaling")


@pytest.fixture(scope="module")
def cohort():
    return importlib.import_module("cohort")


def made_up(scaling, model, updates, size, compute=1.0):
    sums = model.seconds(updates, size, scaling.WORKERS)
    return scaling.Measured([compute] * 3, [compute + sums] * 3, updates, size)


def test_seconds_of_a_ring_are_those_worked_by_hand(scaling):
    model = scaling.Model(update=0.5, byte=0.01, message=0.1)
    assert model.seconds(updates=3, size=100, workers=1) == 0
    assert model.seconds(updates=3, size=100, workers=2) == pytest.approx(3 * (0.5 + 0.2) + 100 * 0.01)
    assert model.seconds(updates=3, size=100, workers=4) == pytest.approx(3 * (0.5 + 0.6) + 150 * 0.01)


def test_the_fit_finds_the_model_that_made_the_figures(scaling):
    model = scaling.Model(update=0.002, byte=3e-9)
    found = scaling.fitted(
        [made_up(scaling, model, *case) for case in ((1, 1e6), (2, 2e6, 0.1), (4, 5e6, 3.0), (1, 4e7))]
    )
    assert found.update == pytest.approx(model.update) and found.byte == pytest.approx(model.byte)


def test_no_coefficient_is_below_zero(scaling):
    # The more bytes, the less it took: nothing a byte, and a mean of the two for an update.
    found = scaling.fitted([scaling.Measured([1.0], [1.0 + extra], 1, size) for extra, size in ((0.4, 1), (0.2, 1000))])
    assert found.byte == 0 and 0.2 <= found.update <= 0.4


def test_extra_is_the_median_of_differences_within_a_turn(scaling):
    assert scaling.Measured([1.0, 9.0, 2.0], [1.5, 9.1, 2.2], 1, 1).extra() == pytest.approx(0.2)


def test_a_prediction_has_not_seen_its_case(scaling):
    model = scaling.Model(update=0.002, byte=3e-9)
    cases = [scaling.Case("dml", ("resnet8",), size) for size in (1, 2, 3)]
    found = {
        case: made_up(scaling, model, updates, size)
        for case, updates, size in zip(cases, (1, 2, 1), (1e6, 1e6, 4e7), strict=True)
    }
    outlier = found[cases[2]]
    found[cases[2]] = scaling.Measured(outlier.alone, [9.0] * 3, outlier.updates, outlier.size)
    predicted = scaling.table(found).splitlines()[-1].split("|")[-2].strip()
    assert predicted == f"{(1 + model.seconds(1, 4e7, 2)) * 1e3:,.1f} ms"


def test_workers_of_a_cluster_have_addresses_of_their_own(scaling):
    first, second = scaling.tasks(2)
    assert first["cluster"] == second["cluster"] and len(set(first["cluster"]["worker"])) == 2
    assert [first["task"]["index"], second["task"]["index"]] == [0, 1]
    assert any(word.startswith("TF_CONFIG=") for word in scaling.command(0, first))
    assert "TF_CONFIG" in scaling.command(0, None)


def test_rows_of_a_cohort_compare_within_a_turn(cohort):
    times = {
        "supervised": [0.4, 0.5],
        "dml_joint": [0.4, 0.6],
        "dml": [0.5, 0.6],
        "afd": [0.8, 1.2],
        cohort.ALONE: [0.2, 0.3],
    }
    operations = {"supervised": 4e9, "dml_joint": 4e9, "dml": 5e9, "afd": 7e9, cohort.ALONE: 2e9}
    rows = cohort.table_rows(2, times, operations)
    assert [row[1] for row in rows] == ["`supervised`", "`dml_joint`", "`dml`", "`afd`"]
    assert rows[3] == ["2", "`afd`", "1,000 ms", "7.0 G", "2.00 (2.00–2.00)", "2.00 (2.00–2.00)", "1.75"]
    assert rows[2][4] == "1.12 (1.06–1.19)"
