"""Which epochs the phases of a run have: one after another, and in equal shares where they are links of a chain."""

import pytest

from tfdistill.engine.calendar import Calendar, settings_in
from tfdistill.engine.updates import Phase, PreparationPhase
from tfdistill.optimizers import OptimizerSettings


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


def test_weights_count_from_where_the_training_of_a_link_begins():
    chain = [Phase((), name="one"), *(PreparationPhase((), 1, name, 1) for name in "ab"), Phase((), name="two", link=1)]
    assert Calendar.of(chain, 10).ramp_begins == (0, 5, 6, 7)
    assert Calendar.of(PREPARED, 5).ramp_begins == (0, 0), "phases of a method's own are one training"


STEP = OptimizerSettings(schedule="step", milestones=(80, 120))
STRETCHED = OptimizerSettings(schedule="step", milestones=(80, 120), span=160)
WARM = OptimizerSettings(schedule="cosine", warmup_epochs=16, span=160)


@pytest.mark.parametrize(
    ("settings", "length", "milestones", "warmup"),
    [(STEP, 60, (80, 120), 0), (STRETCHED, 160, (80, 120), 0), (STRETCHED, 60, (30, 45), 0), (WARM, 60, (), 6)],
)
def test_milestones_and_warm_up_keep_their_shares_of_a_phase(settings, length, milestones, warmup):
    own = settings_in(Phase(()), length, settings)
    assert (own.milestones, own.warmup_epochs, own.span) == (milestones, warmup, 0)
    assert own.schedule == settings.schedule and own.learning_rate == settings.learning_rate


def test_a_preparation_has_a_cosine_and_no_milestones():
    phase = PreparationPhase((), 30)
    for settings in (STEP, STRETCHED):
        assert settings_in(phase, 30, settings) == OptimizerSettings()
    assert settings_in(phase, 30, WARM) == OptimizerSettings(schedule="cosine", warmup_epochs=3)


def test_a_warm_up_that_fills_a_phase_is_refused_by_its_name():
    with pytest.raises(ValueError) as error:
        settings_in(PreparationPhase((), 3, "ft_preparation"), 3, OptimizerSettings(schedule="cosine", warmup_epochs=3))
    said = "warmup_epochs: 3 leave nothing of the 3 of phase 'ft_preparation' to the cosine; give fewer"
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("phases", "epochs", "message"),
    [
        (CHAIN, 8, "epochs: 8 cannot be shared out equally over 3 links; take a multiple of that"),
        (CHAIN, 0, "epochs: 0 cannot be shared out equally over 3 links; take a multiple of that"),
        (CHAIN, 3, "epochs: the 1 of a link are too few for phase 'two', as what comes before takes 1; train longer"),
        (PREPARED, 2, "epochs: 2 are too few for phase 'training', as what comes before takes 2; train longer"),
        (PREPARED, 1, "epochs: 1 are too few for phase 'training', as what comes before takes 2; train longer"),
        (plan(("a", 3, 0), ("b", None, 1)), 4, "epochs: the 2 of a link are too few for phase 'a'; train longer"),
    ],
)
def test_epochs_that_cannot_be_shared_out_are_refused(phases, epochs, message):
    with pytest.raises(ValueError) as error:
        Calendar.of(phases, epochs)
    assert str(error.value) == message
