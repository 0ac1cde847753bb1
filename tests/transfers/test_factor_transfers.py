"""FT and IE-KD: what is prepared and what moves when, five steps of each phase, identities, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.helpers.factors import attention
from tfdistill.methods import Distillation
from tfdistill.optimizers import OptimizerSettings
from tfdistill.transfers import FT, IEAT, IEFT, IEOD

STEPS = 5


def bent(maps):
    return tf.where(maps > 0, maps, 0.1 * maps)


def coded(tiny, weights, maps, norm):
    """Three times convolution, bias or `norm(weights, layer, maps)`, LeakyReLU."""
    if "selection/indices" in weights:
        maps = tf.gather(maps, weights["selection/indices"], axis=-1)
    plain = "conv1/bias" in weights
    maps = maps if plain else bent(maps)
    for position in (1, 2, 3):
        maps = tiny.convolve(weights, f"conv{position}", maps)
        maps = maps + weights[f"conv{position}/bias"] if plain else norm(weights, f"norm{position}", maps)
        maps = bent(maps)
    return maps


def at_rest(weights, layer, maps):
    """By the running statistics."""
    mean, variance = (weights[f"{layer}/moving_{one}"] for one in ("mean", "variance"))
    return (maps - mean) / tf.sqrt(variance + 1e-5) * weights[f"{layer}/gamma"] + weights[f"{layer}/beta"]


def unit(factor):
    flat = tf.reshape(factor, (len(factor), -1))
    return flat / tf.norm(flat, axis=1, keepdims=True)


def apart(one, other):
    return tf.reduce_mean(tf.abs(unit(one) - unit(other)))


def apart_in_attention(one, other):
    return apart(tf.reduce_sum(one**2, axis=-1), tf.reduce_sum(other**2, axis=-1))


def apart_in_activation(one, other):
    """The root of the mean square over each example's activations."""
    one, other = (unit(tf.maximum(side, 0.0)) for side in (one, other))
    return tf.reduce_mean(tf.sqrt(tf.reduce_mean((one - other) ** 2, axis=1)))


class Steps:
    """What the engine does in a distiller's phases, in float64: an epoch of each, of STEPS steps on one batch."""

    def __init__(self, tiny, student, teacher, distiller):
        self.tiny, self.batch, self.distiller = tiny, tiny.batch(), distiller
        self.student = tiny.weights_of(student)
        self.copies = {name: tiny.weights_of(model) for name, model in distiller.helpers.items()}
        self.taught = tf.cast(teacher(self.batch["images"], training=False)["features"], tf.float64)

    def of(self, *parts):
        return [self.copies[f"student_from_teacher_{part}"] for part in parts]

    def moved(self, groups, loss):
        """The mean of what `loss` gives, over the steps that it makes."""
        sgd, variables, seen = self.tiny.NesterovSGD(), self.tiny.trainable(*groups), []
        for _ in range(STEPS):
            with tf.GradientTape() as tape:
                total, shown = loss()
            sgd.step(tape.gradient(total, variables), variables)
            seen.append([float(one) for one in shown])
        return np.mean(seen, axis=0)

    def prepared(self, encoder, decoder):
        coders = self.of(encoder, decoder)

        def loss():
            maps = self.taught
            for weights in coders:
                maps = coded(self.tiny, weights, maps, self.tiny.batch_norm)
            error = tf.reduce_mean(tf.abs(self.taught - maps))
            return error, [error]

        return self.moved(coders, loss)

    def features(self):
        """The student's map, averaged down to the teacher's, and its logits."""
        features, logits = self.tiny.run_network(self.student, self.batch["images"], 4)
        return self.tiny.mean_pool(features, 2), logits

    def engine(self):
        """The history of an epoch per phase by the engine."""
        tiny = self.tiny
        settings = OptimizerSettings(
            learning_rate=tiny.RATE, momentum=tiny.MOMENTUM, nesterov=True, weight_decay=tiny.DECAY
        )
        self.distiller.compile({"networks": settings}, xla="off")
        data = tf.data.Dataset.from_tensors(self.batch).repeat(STEPS)
        return self.distiller.fit(data, epochs=len(self.distiller.plan), verbose=0, shuffle=False).history

    def assert_same(self):
        self.tiny.assert_weights(self.distiller.networks[0], self.student)
        for name, model in self.distiller.helpers.items():
            self.tiny.assert_weights(model, self.copies[name])


def pair(tiny):
    return tiny.network("student", seed=1), tiny.network("teacher", channels=6, pooling=2, seed=2)


def test_five_steps_of_the_preparations_and_of_the_training(tiny):
    student, teacher = pair(tiny)
    given = [FT(preparation_epochs=1, weight=30.0)]
    weights = {"inheritance_weight": 20.0, "exploration_weight": 10.0}
    given += [made(preparation_epochs=1, factor_channels=3, **weights) for made in (IEFT, IEAT, IEOD)]
    names = [one.name for one in given[1:]]
    distiller = Distillation(student, teacher, given)
    steps = Steps(tiny, student, teacher, distiller)
    assert {
        name.removeprefix("student_from_teacher_"): one.output.shape[1:] for name, one in distiller.helpers.items()
    } == {
        **dict.fromkeys(("ft_translator", "ft_paraphraser"), (2, 2, 3)),
        **{f"{one}_{part}": (2, 2, 3) for one in names for part in ("inheritance", "exploration", "encoder")},
        **{f"{one}_decoder": (2, 2, 6) for one in ("ft", *names)},
    }
    history = steps.engine()
    expected = {"ft": steps.prepared("ft_paraphraser", "ft_decoder")}
    expected |= {one: steps.prepared(f"{one}_encoder", f"{one}_decoder") for one in names}
    for name, (error,) in expected.items():
        np.testing.assert_allclose(history[f"student_{name}_preparation/reconstruction"][-1], error, rtol=1e-4)
    # Of each term the name, who learns, whose factor it takes, how far they are apart, and its weight.
    compared = [("ft", "ft_translator", "ft_paraphraser", apart, 30.0)]
    for one, distance in zip(names, (apart, apart_in_attention, apart_in_activation), strict=True):
        compared.append((f"{one}_inheritance", f"{one}_inheritance", f"{one}_encoder", distance, 20.0))
        compared.append((f"{one}_exploration", f"{one}_exploration", f"{one}_encoder", distance, -10.0))
    terms, learners, encoders, distances, weights = zip(*compared, strict=True)
    targets = [coded(tiny, one, steps.taught, at_rest) for one in steps.of(*encoders)]
    own = steps.of(*learners)

    def loss():
        features, logits = steps.features()
        factors = [coded(tiny, one, features, tiny.batch_norm) for one in own]
        each = [distance(*sides) for distance, *sides in zip(distances, factors, targets, strict=True)]
        total = tiny.cross_entropy(steps.batch["labels"], logits)
        return total + tf.add_n([weight * one for weight, one in zip(weights, each, strict=True)]), each

    for name, weight, mean in zip(terms, weights, steps.moved([steps.student, *own], loss), strict=True):
        logged = history[f"student/{name}"][-1]
        np.testing.assert_allclose(logged, np.sign(weight) * mean, rtol=1e-3, err_msg=name)
    steps.assert_same()


def test_the_preparation_moves_the_paraphraser_alone_and_the_training_all_but_it(tiny, lesson_of, call):
    student, teacher = pair(tiny)
    distiller = Distillation(student, teacher, [FT(coders="normalized", reconstruction="l2")])
    prepared, training = distiller.plan
    translator, paraphraser, decoder = distiller.helpers.values()
    assert (prepared.name, prepared.epochs, training.epochs) == ("ft_preparation", 5, None)
    (first,), (second,) = prepared.updates(), training.updates()
    assert (first.models, first.terms) == ((paraphraser, decoder), {"reconstruction": 1.0})
    assert (second.models, second.terms) == ((student, translator), {"cross_entropy": 1.0, "ft": 500.0})
    maps = {"features": tf.random.stateless_normal((6, 2, 2, 6), (0, 1))}
    found = lesson_of(FT(reconstruction="l2"), student, teacher).preparation.terms({}, {}, maps, call)
    lesson = lesson_of(FT(), student, teacher)
    rebuilt = call(lesson.kept[1], call(lesson.kept[0], maps["features"]))
    expected = losses.reconstruction(maps["features"], rebuilt, 2)
    np.testing.assert_allclose(found["reconstruction"], expected, rtol=1e-6)


def test_equal_factors_have_no_distance_and_a_multiple_of_one_is_the_same(tiny, lesson_of, call):
    _, teacher = pair(tiny)
    lesson = lesson_of(FT(), teacher, teacher)
    translator, paraphraser = lesson.helpers[0], lesson.kept[0]
    translator.set_weights(paraphraser.get_weights())
    maps = {"features": tf.random.stateless_normal((6, 2, 2, 6), (0, 1))}
    np.testing.assert_array_equal(lesson.terms({}, maps, maps, call)["ft"], 0.0)
    last = translator.get_layer("conv3")
    last.kernel.assign(4 * last.kernel)
    last.bias.assign(4 * last.bias)
    np.testing.assert_array_equal(lesson.terms({}, maps, maps, call)["ft"], 0.0)


def test_ie_ft_without_exploration_is_ft(tiny, lesson_of, call):
    """The same seeds draw the same coders."""
    student, teacher = pair(tiny)
    ft = lesson_of(FT(coders="normalized", weight=50.0), student, teacher)
    whole = {"inheritance_share": 1.0, "split": "natural", "exploration_weight": 0.0, "factor_channels": 3}
    ie_ft = lesson_of(IEFT(**whole), student, teacher)
    own, taught = (
        {"features": tf.constant(np.random.default_rng(k).normal(size=(6, size, size, channels)), tf.float32)}
        for k, (size, channels) in enumerate(((4, 4), (2, 6)))
    )
    assert (ft.weights, ie_ft.weights) == ({"ft": 50.0}, {"ie_ft_inheritance": 50.0})
    (found,) = ie_ft.terms({}, own, taught, call).values()
    assert np.all(found > 0)
    np.testing.assert_array_equal(found, ft.terms({}, own, taught, call)["ft"])
    prepared = [one.preparation.terms({}, own, taught, call)["reconstruction"] for one in (ft, ie_ft)]
    np.testing.assert_array_equal(*prepared)


VARIANTS = {IEFT: lambda factor: factor, IEAT: attention, IEOD: tf.nn.relu}


@pytest.mark.parametrize("made", VARIANTS)
def test_a_variant_compares_what_it_sees_of_the_factors(made, tiny, lesson_of, call):
    student, teacher = pair(tiny)
    lesson, order = lesson_of(made(), student, teacher), 2 if made is IEOD else 1
    taught = {"features": tf.random.stateless_normal((6, 2, 2, 6), (0, 1))}
    own = {"features": tf.random.stateless_normal((6, 2, 2, 4), (0, 2))}
    inheriting, exploring = (call(one, own["features"]) for one in lesson.helpers)
    target = call(lesson.kept[0], taught["features"])
    seen = VARIANTS[made]
    name = made().name
    inherited, explored = lesson.terms({}, own, taught, call).values()
    assert list(lesson.weights.items()) == [(f"{name}_inheritance", 50.0), (f"{name}_exploration", 50.0)]
    np.testing.assert_array_equal(inherited, losses.normalized_distance(seen(inheriting), seen(target), order))
    np.testing.assert_array_equal(explored, -losses.normalized_distance(seen(exploring), seen(target), order))


@pytest.mark.parametrize("made", VARIANTS)
def test_a_variant_of_equal_factors_is_0_and_its_parts_are_opposites(made, tiny, lesson_of, call):
    _, teacher = pair(tiny)
    whole = [lesson_of(made(inheritance_share=share, split="natural"), teacher, teacher) for share in (1.0, 0.0)]
    maps = {"features": tf.random.stateless_normal((6, 2, 2, 6), (0, 1))}
    (inherited,), (explored,) = (one.terms({}, maps, maps, call).values() for one in whole)
    np.testing.assert_array_equal(inherited, -explored.numpy())
    for one in whole:
        (encoder,) = one.helpers
        for layer in ("conv1", "norm1", "conv2", "norm2", "conv3", "norm3"):
            encoder.get_layer(layer).set_weights(one.kept[0].get_layer(layer).get_weights())
        (equal,) = one.terms({}, maps, maps, call).values()
        np.testing.assert_array_equal(equal, 0.0)


def test_ie_od_as_printed_is_the_euclidean_distance(tiny, lesson_of, call):
    student, teacher = pair(tiny)
    lesson = lesson_of(IEOD(distance="printed"), student, teacher)
    taught = {"features": tf.random.stateless_normal((6, 2, 2, 6), (0, 1))}
    own = {"features": tf.random.stateless_normal((6, 2, 2, 4), (0, 2))}
    target = np.maximum(call(lesson.kept[0], taught["features"]), 0)
    for encoder, sign, found in zip(lesson.helpers, (1, -1), lesson.terms({}, own, taught, call).values(), strict=True):
        gap = np.maximum(call(encoder, own["features"]), 0) - target
        np.testing.assert_allclose(found, sign * np.linalg.norm(gap.reshape(6, -1), axis=1), rtol=1e-5)


@pytest.mark.parametrize("metric", losses.INHERITANCE_METRICS)
def test_ie_ft_has_the_metrics_of_table_6a(metric, tiny, lesson_of, call):
    student, teacher = pair(tiny)
    lesson = lesson_of(IEFT(metric=metric), student, teacher)
    taught = {"features": tf.random.stateless_normal((6, 2, 2, 6), (0, 1))}
    own = {"features": tf.random.stateless_normal((6, 2, 2, 4), (0, 2))}
    target = call(lesson.kept[0], taught["features"])
    tables = losses.INHERITANCE_METRICS, losses.EXPLORATION_METRICS
    for encoder, table, found in zip(lesson.helpers, tables, lesson.terms({}, own, taught, call).values(), strict=True):
        np.testing.assert_array_equal(found, table[metric](call(encoder, own["features"]), target))


def test_the_split_is_drawn_from_the_seed_and_kept_with_every_checkpoint(tiny):
    def split(**arguments):
        distiller = Distillation(*pair(tiny), [IEFT(inheritance_share=0.3)], **arguments)
        kept = {name: one for name, one in distiller.state().items() if name.endswith("/indices")}
        parts = [one.numpy().tolist() for one in kept.values()]
        assert sorted(map(len, parts)) == [1, 3] and sorted([*parts[0], *parts[1]]) == [0, 1, 2, 3]
        return parts

    assert split(seed=1) == split(seed=1)
    assert any(split(seed=seed) != split(seed=1) for seed in (2, 3, 4))


def test_a_factor_has_a_share_of_the_sources_channels(tiny, lesson_of):
    student, teacher = pair(tiny)
    widths = {
        rate: lesson_of(FT(paraphrase_rate=rate), student, teacher).helpers[0].output.shape[-1]
        for rate in (0.01, 0.5, 0.84, 2.0)
    }
    assert widths == {0.01: 1, 0.5: 3, 0.84: 5, 2.0: 12}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paraphrase_rate": 0.0}, "paraphrase_rate: must be a number in 0..16 (0 excluded), not 0.0"),
        ({"coders": "plane"}, "coders: 'plane' is none of plain, normalized; nearest: plain"),
        ({"reconstruction": "l3"}, "reconstruction: 'l3' is none of l1, l2; nearest: l"),
        ({"preparation_epochs": 0}, "preparation_epochs: must be a whole number in 1..100,000, not 0"),
        ({"weight": -1.0}, "weight: must be a number in 0..1,000,000, not -1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError) as error:
        FT(**arguments)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_networks_that_do_not_fit_are_refused_in_one_line(tiny, lesson_of):
    student, teacher = pair(tiny)
    bare = keras.Model(student.input, {"logits": student.output["logits"]}, name="bare")
    with pytest.raises(ValueError, match=r"^networks: bare has no tap 'features'; it has logits$"):
        lesson_of(FT(), bare, teacher)
    odd = keras.layers.Cropping2D(((1, 0), (0, 0)))(student.output["features"])
    with pytest.raises(ValueError, match=r"^networks: feature maps .* do not divide"):
        lesson_of(FT(), keras.Model(student.input, {"features": odd}, name="odd"), teacher)
