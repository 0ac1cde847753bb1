"""Sequential distillation: each link is a training of its own, and what is trained teaches and stands still."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import Chain, Distillation, Supervised, add_transfers
from tfdistill.optimizers import OptimizerSettings
from tfdistill.transfers import KD, MSE, Lesson, Preparation, Transfer

# The rate drops in the second epoch of a link, if its schedule begins anew.
SETTINGS = OptimizerSettings(learning_rate=0.05, nesterov=True, weight_decay=1e-3, schedule="step", milestones=(1,))


def ramped(name="kd"):
    """A transfer whose weight another epoch changes."""
    return KD(temperature=2.0, weight=lambda epoch: 0.5 + epoch, name=name)


def data(tiny):
    return tf.data.Dataset.from_tensor_slices(
        {name: tf.stack([tiny.batch(seed)[name] for seed in range(3)]) for name in ("images", "labels")}
    )


def trained(distiller, tiny, epochs, **more):
    distiller.compile(SETTINGS, xla="off")
    distiller.fit(data(tiny), epochs=epochs, verbose=0, shuffle=False, **more)


def same(one, other):
    return all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


class Watch(keras.callbacks.Callback):
    """The weights of every network, statistics included, after each epoch, and who has logs then."""

    def __init__(self):
        super().__init__()
        self.weights, self.phases, self.owners = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append([network.get_weights() for network in self.model.networks])
        self.phases.append(self.model.phase.name)
        self.owners.append(sorted({name.split("/")[0] for name in logs if "/" in name and not name.startswith("val_")}))


def test_a_link_is_a_run_of_its_own_bit_for_bit_and_the_others_do_not_move(tiny):
    """Given the same batches: rates and ramps begin anew, and the folded copy of a network is that of a teacher."""
    first, second = tiny.network("first", channels=5, seed=1), tiny.network("second", seed=2)
    begun = [first.get_weights(), second.get_weights()]
    chain, watch = Chain([first, second], links=[[ramped(), MSE(weight=0.1)]], label_weight=(0.5,)), Watch()
    trained(chain, tiny, 4, callbacks=[watch])

    alone = tiny.network("first", channels=5, seed=1)
    trained(Supervised([alone]), tiny, 2)
    assert same(first.get_weights(), alone.get_weights())
    student = tiny.network("second", seed=2)
    trained(Distillation(student, alone, [ramped(), MSE(weight=0.1)], label_weight=0.5), tiny, 2)
    assert same(second.get_weights(), student.get_weights())

    assert watch.phases == ["first from labels"] * 2 + ["second from first"] * 2
    assert watch.owners == [["first"]] * 2 + [["second"]] * 2
    (one, two, three, four) = watch.weights
    assert not same(begun[0], one[0]) and not same(one[0], two[0]) and same(two[0], three[0]) and same(two[0], four[0])
    assert same(begun[1], two[1]) and not same(two[1], three[1])


def test_what_each_link_learns_from_whom(tiny):
    networks = [tiny.network(name, seed=seed) for seed, name in enumerate("abc")]
    chain = Chain(
        networks, tiny.network("large", seed=9), [[KD()], [MSE(), KD()], [KD()]], label_weight=(0.0, 0.1, 1.0)
    )
    told = [(phase.name, *((one.name, one.terms, one.models) for one in phase.updates())) for phase in chain.plan]
    assert told == [
        ("a from large", ("a", {"kd": 16.0}, (networks[0],))),
        ("b from a", ("b", {"cross_entropy": 0.1, "mse": 1.0, "kd": 16.0}, (networks[1],))),
        ("c from b", ("c", {"cross_entropy": 1.0, "kd": 16.0}, (networks[2],))),
    ]
    assert chain.scored == ["a", "b", "c"]
    add_transfers(chain, [KD(name="late")])
    assert [list(phase.updates()[0].terms)[-1] for phase in chain.plan] == ["late"] * 3


class Prepared(Transfer):
    """A number that a phase of its own trains beforehand, on what the source gives."""

    paper = "none"

    def __init__(self):
        super().__init__("prepared", 1.0)

    def lesson(self, pairing):
        logits = keras.Input((pairing.source.output["logits"].shape[-1],))
        kernel = keras.initializers.Constant(0.5)
        model = keras.Model(logits, keras.layers.Dense(1, kernel_initializer=kernel)(logits), name=pairing.prefix)

        def before(batch, own, source, call):
            return {"size": tf.square(call(model, source["logits"])[:, 0] - 1.0)}

        def taught(batch, own, source, call):
            return {self.name: tf.square(call(model, own["logits"])[:, 0] - call(model, source["logits"])[:, 0])}

        return Lesson(
            {self.name: 1.0}, taught, kept=(model,), preparation=Preparation(1, (model,), {"size": 1.0}, before)
        )


def test_a_preparation_comes_when_its_source_is_trained_and_takes_an_epoch_of_its_link(tiny):
    chain = Chain([tiny.network("a"), tiny.network("b", seed=1)], links=[[Prepared()]])
    chain.compile(SETTINGS, xla="off")
    chain.prepare(steps_per_epoch=3, epochs=6)
    assert [phase.name for phase in chain.plan] == ["a from labels", "prepared_preparation", "b from a"]
    assert (chain.calendar.begins, chain.calendar.lengths) == ((0, 3, 4), (3, 1, 2))
    assert [chain.is_in_last_link(epoch) for epoch in range(6)] == [False] * 3 + [True] * 3


def test_the_replicas_of_a_trained_network_answer_alike(tiny, two_replicas):
    """Their statistics are averaged when its turn is over, whether or not it was scored."""
    with two_replicas.scope():
        chain = Chain([tiny.network("a"), tiny.network("b", seed=1)])
    seen = []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for variable in chain.networks[0].get_layer("norm").non_trainable_variables:
                seen.append([copy.numpy() for copy in two_replicas.experimental_local_results(variable.value)])

    trained(chain, tiny, 2, callbacks=[Note()])
    apart, alike = seen[:2], seen[2:]
    assert all(np.abs(one - other).max() > 1e-4 for one, other in apart)
    for (one, other), (first, second) in zip(apart, alike, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, (one + other) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda one, two: Chain(one), "networks: a chain of one has nobody to learn from; give two or more, or a teac"),
        (
            lambda one, two: Chain([one, two], links=[[KD()]] * 2),
            "links: has 2 values for 1 links; give one for all, o",
        ),
        (lambda one, two: Chain([one, two], links=KD()), "links: must be a list, not "),
        (
            lambda one, two: Chain([one, two], links=[KD()]),
            r"links: number 1: must be a list, such as \[KD\(\)\], not ",
        ),
        (lambda one, two: Chain([one, two], links=[[]]), "links: number 1: has no transfer, so that its network would"),
        (
            lambda one, two: Chain([one, two], links=[[KD(), KD()]]),
            "links: number 1: 2 are called 'kd'; name them apart",
        ),
        (
            lambda one, two: Chain([one], two, label_weight=(1.0, 0.5)),
            "label_weight: has 2 values for 1 links; give one",
        ),
        (
            lambda one, two: Chain([one], two, label_weight=(-1.0,)),
            "label_weight: must be a number in 0..1,000,000, not -1",
        ),
        (lambda one, two: Chain([one], two, label_weight=0.5), "label_weight: must be a list, not 0.5"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tiny, build, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build(tiny.network("one"), tiny.network("two", seed=1))


def test_a_fit_whose_epochs_the_links_cannot_share_is_refused(tiny):
    chain = Chain([tiny.network("a"), tiny.network("b", seed=1)])
    chain.compile(SETTINGS, xla="off")
    with pytest.raises(ValueError, match=r"^epochs: 3 cannot be shared out equally over 2 links"):
        chain.fit(data(tiny), epochs=3, verbose=0)
