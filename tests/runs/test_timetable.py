"""The epochs of a run in steps: what is left to train, what is scored, and what has no record yet."""

import pytest

from tfdistill.runs.timetable import Stretch, Timetable


@pytest.mark.parametrize(
    ("stop", "step", "stretches"),
    [
        (0, 0, [Stretch(0, 5, 3)]),
        (0, 5, [Stretch(1, 5, 2)]),
        (0, 7, [Stretch(1, 3, 1), Stretch(2, 5, 1)]),
        (12, 3, [Stretch(0, 2, 1), Stretch(1, 5, 1), Stretch(2, 2, 1)]),
        (8, 6, [Stretch(1, 2, 1)]),
        (99, 15, []),
    ],
)
def test_the_rest_of_an_epoch_then_whole_ones_then_the_beginning_of_the_last(stop, step, stretches):
    timetable = Timetable(steps_per_epoch=5, epochs=3, stop=stop)
    assert list(timetable.stretches(step)) == stretches
    trained = sum(one.steps_per_epoch * one.epochs for one in stretches)
    assert step + trained == timetable.total_steps == min(stop or 15, 15)


def test_every_so_many_epochs_are_scored_and_the_last_that_is_trained():
    assert Timetable(5, 7, evaluate_every=3).scored_epochs == [3, 6, 7]
    assert Timetable(5, 7, stop=16, evaluate_every=3).scored_epochs == [3, 4]


def test_an_epoch_that_is_over_without_a_row_is_unrecorded():
    timetable, first, second = Timetable(5, 3, stop=12), {"epoch": 1}, {"epoch": 2}
    assert timetable.unrecorded_epoch(0, []) == 0
    assert timetable.unrecorded_epoch(4, []) == 0, "it goes on"
    assert timetable.unrecorded_epoch(5, []) == 1 and timetable.unrecorded_epoch(5, [first]) == 0
    assert timetable.unrecorded_epoch(10, [first]) == 2
    assert timetable.unrecorded_epoch(12, [first, second]) == 3, "the run stops within it"
