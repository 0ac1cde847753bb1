"""FitNet in two stages: what each trains, and by what. Its one stage is tested with the other transfers of taps."""

import numpy as np
import pytest

from tfdistill.methods import Distillation, add_transfers
from tfdistill.transfers import KD, FitNet


@pytest.fixture
def pair(tiny_network):
    return tiny_network("learner", seed=1), tiny_network("source", seed=2, channels=6)


def test_the_hint_trains_all_up_to_it_and_the_other_terms_the_whole(pair):
    learner, _ = pair
    distiller = Distillation(*pair, [FitNet(preparation_epochs=3, weight=5.0), KD()], label_weight=0.5)
    first, second = distiller.plan
    assert (first.name, first.epochs, second.name) == ("fitnet_preparation", 3, "training")
    (hint,), (whole,) = first.updates(), second.updates()
    assert (hint.terms, whole.terms) == ({"hint": 5.0}, {"cross_entropy": 0.5, "kd": 16.0})
    (regressor,) = distiller.helpers.values()
    owned = {one.path for one in hint.variables()}
    assert owned == {one.path for one in [*learner.trainable_variables[:3], *regressor.trainable_variables]}
    assert all(path.startswith(("conv0", "norm0")) for path in owned - {one.path for one in regressor.weights})
    assert whole.models == (learner,)


def test_its_hint_is_the_term_of_one_stage(pair):
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    taps = {one.name: one(images) for one in pair}
    joint, staged = Distillation(*pair, [FitNet()]), Distillation(*pair, [FitNet(preparation_epochs=1)])

    def term(distiller, phase, name):
        return distiller.plan[phase].rounds[0].losses({"images": images, "labels": np.arange(4)}, taps)[name]

    expected = term(joint, 0, "learner")["fitnet"]
    np.testing.assert_array_equal(term(staged, 0, "learner_fitnet_preparation")["hint"], expected)
    assert list(term(staged, 1, "learner")) == ["cross_entropy"]


def test_a_second_stage_that_nothing_trains_is_refused(pair):
    distiller = Distillation(*pair, [FitNet(preparation_epochs=1)], label_weight=0.0)
    message = "phase 'training': nothing trains 'learner' there; give the labels a weight, or add a transfer such as kd"
    with pytest.raises(ValueError) as error:
        distiller.plan  # noqa: B018
    assert str(error.value) == message
    add_transfers(distiller, [KD()])
    assert [list(phase.updates()[0].terms) for phase in distiller.plan] == [["hint"], ["kd"]]
