"""Which epochs the phases of a run have: one after another, and in equal shares where they are links of a chain."""

import pytest

from tfdistill.engine.calendar import Calendar
from tfdistill.engine.updates import Phase


def plan(*phases):
    return [Phase((), epochs, name, link) for name, epochs, link in phases]


ALONE = plan(("training", None, 0))
PREPARED = plan(("preparation", 2, 0), ("training", None, 0))
CHAIN = plan(("one", None, 0), ("preparation", 1, 1), ("two", None, 1), ("three", None, 2))


@pytest.mark.parametrize(
    ("phases", "epochs", "begins", "lengths", "link_begins"),
    [
        (ALONE, 5, (0,), (5,), (0,)),
        (PREPARED, 5, (0, 2), (2, 3), (0, 0)),
        (PREPARED, 0, (0, 2), (2, 1), (0, 0)),  # a run that trains nothing
        (CHAIN, 9, (0, 3, 4, 6), (3, 1, 2, 3), (0, 3, 3, 6)),
    ],
)
def test_epochs_are_shared_out(phases, epochs, begins, lengths, link_begins):
    calendar = Calendar.of(phases, epochs)
    assert (calendar.begins, calendar.lengths, calendar.link_begins) == (begins, lengths, link_begins)


def test_the_phase_of_an_epoch():
    calendar = Calendar.of(CHAIN, 9)
    assert [calendar.at(epoch) for epoch in range(11)] == [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 3]
    assert [Calendar.of(PREPARED, 5).at(epoch) for epoch in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("phases", "epochs", "message"),
    [
        (CHAIN, 8, "epochs: 8 cannot be shared out equally over 3 links; take a multiple of that"),
        (CHAIN, 0, "epochs: 0 cannot be shared out equally over 3 links; take a multiple of that"),
        (CHAIN, 3, "epochs: the 1 of a link are too few for phase 'two'; train longer"),
        (PREPARED, 2, "epochs: 2 are too few for phase 'training'; train longer"),
        (PREPARED, 1, "epochs: 1 are too few for phase 'training'; train longer"),
        (plan(("a", 3, 0), ("b", None, 1)), 4, "epochs: the 2 of a link are too few for phase 'a'; train longer"),
    ],
)
def test_epochs_that_cannot_be_shared_out_are_refused(phases, epochs, message):
    with pytest.raises(ValueError) as error:
        Calendar.of(phases, epochs)
    assert str(error.value) == message
