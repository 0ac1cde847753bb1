"""What silently does nothing is refused before the first step, and the look at it leaves nothing behind."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.commands import train, training
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.term_checks import SilentTermError, check_terms
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.methods import METHODS

CLASSES = 4


@pytest.fixture(scope="module")
def conformance():
    """The module whose methods, arguments and batches these tests share."""
    path = Path(__file__).parents[1] / "conformance" / "test_every_method.py"
    spec = importlib.util.spec_from_file_location("conformance_of_every_method", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", METHODS)
def test_every_method_passes_and_is_left_as_it_was(method, conformance, tiny_network):
    trained = conformance.Trained(method, "default", tiny_network)
    check_terms(trained.distiller, conformance.batches(3))
    after = trained.snapshot()
    assert after.keys() == trained.first.keys()
    assert all(np.array_equal(trained.first[name], value) for name, value in after.items())
    assert trained.distiller.phase_index == 0 and trained.distiller._steps._compiled == {}


# Made-up methods.


class MadeUp(Distiller):
    """Cross-entropy and one more term.

    Args:
        networks: any.
        extra: `(batch, own taps) -> [batch]`.
        weight: of that term, or a function of the epoch.
        helpers: what the updates move besides their network.
    """

    protocol, source = "ie_cifar", "none"

    def __init__(self, networks, *, extra=None, weight=1.0, helpers=()):
        super().__init__(networks)
        self.extra, self.weight = extra, weight
        self.helpers = {helper.name: helper for helper in helpers}

    def phases(self):
        return (self.phase_of(self.networks[0], "first"), self.phase_of(self.networks[-1], "last"))

    def phase_of(self, network, name):
        weights = {"cross_entropy": 1.0, "extra": self.weight}
        update = Update(f"{name} {network.name}", (network, *self.helpers.values()), weights)
        return Phase(joint([(update, self.terms_of(network.name))]), epochs=1, name=name)

    def terms_of(self, name):
        extra = self.extra or self.task.loss

        def terms(batch, taps):
            return {"cross_entropy": self.task.loss(batch, taps[name]), "extra": extra(batch, taps[name])}

        return terms


def network_with_state(name, seed):
    """A network that moves BatchNorm statistics and the state of a dropout's seed."""
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, strides=4, kernel_initializer=keras.initializers.HeNormal(seed=seed))(images)
    maps = keras.layers.Dropout(0.5, seed=seed)(keras.layers.BatchNormalization()(maps))
    maps = keras.layers.Flatten()(maps)
    logits = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.HeNormal(seed=seed))(maps)
    return keras.Model(images, {"logits": logits}, name=name)


def networks():
    return [network_with_state("a", 1), network_with_state("b", 2)]


def batches(count=3, soft=False):
    random = np.random.default_rng(3)
    made = []
    for _ in range(count):
        labels = random.integers(0, CLASSES, 16).astype("int32")
        if soft:
            labels = np.eye(CLASSES, dtype="float32")[labels]
        made.append({"images": random.standard_normal((16, 8, 8, 3)).astype("float32"), "labels": labels})
    return made


def zero(batch, taps):
    return 0.0 * tf.reduce_sum(taps["logits"], axis=1)


def stopped(batch, taps):
    return tf.stop_gradient(tf.reduce_sum(taps["logits"] ** 2, axis=1))


def flat(batch, taps):
    """A value, and a gradient that is there and zero."""
    return 1.0 + zero(batch, taps)


def refusal(*arguments, given=None, **keywords):
    with pytest.raises(SilentTermError) as caught:
        check_terms(MadeUp(networks(), *arguments, **keywords), given or batches())
    message = str(caught.value)
    assert "\n" not in message and "--nocheck_terms" in message
    return message


def test_a_term_that_is_zero_is_refused():
    assert "term first a/extra is exactly zero in each of the first 3 batches" in refusal(extra=zero)
    assert "is exactly zero in the first batch," in refusal(extra=zero, given=batches(1))


@pytest.mark.parametrize("extra", [stopped, flat])
def test_a_term_without_gradient_is_refused(extra):
    assert "term first a/extra has no gradient" in refusal(extra=extra)


def test_a_model_without_gradient_is_refused():
    idle = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="idle")
    message = refusal(helpers=[idle])
    assert "update first a: none of its terms (cross_entropy, extra) has a gradient" in message and "idle" in message


def test_a_model_with_nothing_to_train_is_none_of_it():
    check_terms(MadeUp(networks(), helpers=[keras.Sequential([keras.Input((3,))], name="plain")]), batches())


def test_a_later_phase_is_looked_at_too():
    class Later(MadeUp):
        def terms_of(self, name):
            self.extra = zero if name == "b" else None
            return super().terms_of(name)

    with pytest.raises(SilentTermError, match="term last b/extra is exactly zero"):
        check_terms(Later(networks()), batches())


@pytest.mark.parametrize("weight", [0, 0.0, lambda epoch: 0.0 * epoch])
def test_terms_of_weight_zero_are_nobodys_business(weight):
    for extra in (zero, stopped):
        check_terms(MadeUp(networks(), extra=extra, weight=weight), batches())


def test_a_ramp_counts_where_the_run_reaches_it():
    ramp = lambda epoch: tf.maximum(epoch - 50.0, 0.0)  # noqa: E731
    assert "first a/extra" in refusal(extra=zero, weight=ramp)
    check_terms(MadeUp(networks(), extra=zero, weight=ramp), batches(), epochs=50)


def test_a_model_that_only_a_term_of_weight_zero_would_move_was_meant():
    head = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(1, use_bias=False)], name="head")
    distiller = MadeUp(
        networks(), extra=lambda batch, taps: head(taps["logits"])[:, 0] ** 2, weight=0.0, helpers=[head]
    )
    check_terms(distiller, batches())


@pytest.mark.parametrize("soft", [False, True])
def test_a_term_about_right_answers_only_is_found(soft):
    """On the first batch no answer is right; on the second the labels are what the network predicts."""
    given = batches(2, soft=soft)
    made = MadeUp(
        networks()[:1], extra=lambda batch, taps: correct(batch, taps) * tf.reduce_max(taps["logits"], axis=1)
    )
    seen = []

    def correct(batch, taps):
        labels = batch["labels"] if batch["labels"].shape.rank == 1 else tf.argmax(batch["labels"], axis=1)
        hits = losses.top_k_correct(tf.cast(labels, tf.int32), taps["logits"], 1)
        if not seen:
            hits *= 0.0
        seen.append(float(tf.reduce_sum(hits)))
        return hits

    check_terms(made, given)
    assert seen[0] == 0 and max(seen) == 8


def test_a_term_that_is_zero_for_the_best_network_is_found_for_each():
    """The network that the labels suit best is the other's teacher, and has nothing to learn itself."""

    class TheBestTeaches(Distiller):
        protocol, source = "ie_cifar", "none"

        def phases(self):
            return (
                Phase(joint([(Update(one.name, (one,), {"extra": 1.0}), self.terms_of(one)) for one in self.networks])),
            )

        def terms_of(self, network):
            def terms(batch, taps):
                best = min(taps.values(), key=lambda one: float(tf.reduce_sum(self.task.loss(batch, one))))
                return {"extra": losses.kl_divergence(best["logits"], taps[network.name]["logits"])}

            return terms

    check_terms(TheBestTeaches([*networks(), network_with_state("c", 3)]), batches())


def test_what_a_method_gives_must_fit_its_table():
    with pytest.raises(ValueError, match="one value per example"):
        check_terms(MadeUp(networks(), extra=lambda batch, taps: taps["logits"]), batches())


def test_there_must_be_a_batch():
    with pytest.raises(ValueError, match="there are none"):
        check_terms(MadeUp(networks()), [])


def copies_of(strategy, distiller):
    variables = [variable for network in distiller.networks for variable in network.variables]
    return [copy.numpy() for one in variables for copy in strategy.experimental_local_results(one.value)]


def test_two_replicas_keep_what_each_has(two_replicas):
    with two_replicas.scope():
        made = MadeUp(networks())
        broken = MadeUp(made.networks, extra=stopped)
    statistics = [one for one in made.networks[0].non_trainable_variables if one.dtype == "float32"]
    for number, copy in enumerate(two_replicas.experimental_local_results(statistics[0].value)):
        copy.assign(copy + number)
    before = copies_of(two_replicas, made)
    check_terms(made, batches())
    with pytest.raises(SilentTermError, match="term first a/extra has no gradient"):
        check_terms(broken, batches())
    after = copies_of(two_replicas, made)
    assert len(after) > len(made.networks[0].variables) * 2
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


# In the command.


class Silent(MadeUp):
    """A method with a term that does nothing."""

    def __init__(self, networks):
        super().__init__(networks, extra=stopped)


def test_the_command_refuses_a_fresh_run_only(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(METHODS, "silent", Silent)
    ran = []
    monkeypatch.setattr(training.Run, "train", lambda run: ran.append(run))
    monkeypatch.setattr(training.Run, "finish", lambda run: 0)
    arguments = ["--method=silent", "--networks=resnet8", "--train_examples=64", "--batch_size=32", "--strategy=one"]
    arguments += [f"--runs_dir={tmp_path / 'runs'}", "--run=one"]
    assert train.main(arguments) == 2
    output, error = capsys.readouterr()
    assert output == "" and error.count("\n") == 1
    assert error.startswith("train.py: error: term first resnet8/extra has no gradient in each of the first 3 batches")
    assert list(tmp_path.iterdir()) == [] and not ran

    assert train.main([*arguments, "--nocheck_terms"]) == 0
    (run,) = ran
    run.checkpoints.set_model(run.distiller)
    run.distiller.steps_trained = 1
    run.checkpoints.save()
    assert train.main(arguments) == 0, "a run that goes on is not looked at again"
    assert len(ran) == 2
