"""Inheritance and exploration in both directions, against the paper's equations in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import IEDML

STEPS = 5
SIZE = 2  # both networks' factors; the first network's maps are 4 x 4


def coder(tiny, weights, maps):
    """Selection, LeakyReLU, then three times convolution, BatchNorm, LeakyReLU."""
    if "selection/indices" in weights:
        maps = tf.gather(maps, weights["selection/indices"], axis=-1)
    maps = tf.where(maps > 0, maps, 0.1 * maps)
    for position in (1, 2, 3):
        maps = tiny.batch_norm(weights, f"norm{position}", tiny.convolve(weights, f"conv{position}", maps))
        maps = tf.where(maps > 0, maps, 0.1 * maps)
    return maps


def distance(one, other):
    """Mean absolute difference of the factors, each example flattened and divided by its L2 norm."""

    def unit(factor):
        flat = tf.reshape(factor, (len(factor), -1))
        return flat / tf.norm(flat, axis=1, keepdims=True)

    return tf.reduce_mean(tf.abs(unit(one) - unit(other)))


def transcription(tiny, weights, lessons, batch):
    """Eqs. 5 and 6, network after network; `lessons[k]`: the coders by name that network k learns with."""
    optimizers = [tiny.NesterovSGD(), tiny.NesterovSGD()]
    seen = {f"{k}/{name}": [] for k in (0, 1) for name in ("reconstruction", "inheritance", "exploration")}
    for _ in range(STEPS):
        for k in (0, 1):
            own = [weights[k], *lessons[k].values()]
            with tf.GradientTape() as tape:
                outputs = [tiny.run_network(weights[i], batch["images"], (4, 2)[i]) for i in (0, 1)]
                maps, logits = outputs[k]
                peer = tf.stop_gradient(tiny.mean_pool(outputs[1 - k][0], SIZE))
                factor = coder(tiny, lessons[k]["encoder"], peer)
                rebuilt = coder(tiny, lessons[k]["decoder"], factor)
                target, pooled = tf.stop_gradient(factor), tiny.mean_pool(maps, SIZE)
                terms = {
                    "reconstruction": tf.reduce_mean(tf.abs(peer - rebuilt)),
                    "inheritance": distance(coder(tiny, lessons[k]["inheritance"], pooled), target),
                    "exploration": -distance(coder(tiny, lessons[k]["exploration"], pooled), target),
                }
                loss = (
                    tiny.cross_entropy(batch["labels"], logits)
                    + 0.8 * terms["reconstruction"]
                    + 50.0 * terms["inheritance"]
                    + 50.0 * terms["exploration"]
                )
            optimizers[k].step(tape.gradient(loss, tiny.trainable(*own)), tiny.trainable(*own))
            for name, value in terms.items():
                seen[f"{k}/{name}"].append(float(value))
    return {name: np.mean(values) for name, values in seen.items()}


def pair(tiny):
    return [tiny.network("0", channels=6, seed=1), tiny.network("1", channels=4, pooling=2, seed=2)]


def coders(distiller, learner, source):
    """By their parts, what the learner learns from the source with."""
    begins = f"{learner}_from_{source}_"
    return {name.removeprefix(begins): one for name, one in distiller.helpers.items() if name.startswith(begins)}


def test_five_steps_are_the_equations(tiny):
    networks = pair(tiny)
    distiller = IEDML(networks, seed=5)
    lessons = [{name: tiny.weights_of(model) for name, model in coders(distiller, k, 1 - k).items()} for k in range(2)]
    weights = [tiny.weights_of(network) for network in networks]
    expected = transcription(tiny, weights, lessons, tiny.batch())
    logs = tiny.train(distiller, STEPS, tiny.batch())
    for k, network in enumerate(networks):
        tiny.assert_weights(network, weights[k])
        for name, model in coders(distiller, k, 1 - k).items():
            tiny.assert_weights(model, lessons[k][name])
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-3, err_msg=name)


@pytest.fixture(scope="module")
def first_round(tiny):
    """The first network's update, its terms' gradients with respect to every model, and the distiller."""
    distiller = IEDML(pair(tiny))
    (update,) = distiller.phase.rounds[0].updates
    models = {**{network.name: network for network in distiller.networks}, **distiller.helpers}
    with tf.GradientTape(persistent=True) as tape:
        taps = distiller(tiny.batch()["images"], training=True)
        terms = distiller.phase.rounds[0].losses(tiny.batch(), taps)[update.name]
        means = {name: tf.reduce_mean(value) for name, value in terms.items()}
    reached = {
        term: {
            name
            for name, model in models.items()
            if any(one is not None for one in tape.gradient(mean, [v.value for v in model.trainable_variables]))
        }
        for term, mean in means.items()
    }
    return update, reached, terms, models


def test_an_update_owns_its_network_its_encoders_and_its_peers_auto_encoder(first_round):
    update, _, _, models = first_round
    parts = ("encoder", "decoder", "inheritance", "exploration")
    assert list(update.models) == [models["0"], *(models[f"0_from_1_{part}"] for part in parts)]
    assert update.terms == {"cross_entropy": 1.0, "reconstruction": 0.8, "inheritance": 50.0, "exploration": 50.0}


def test_terms_reach_what_they_should_and_nothing_else(first_round):
    update, reached, _, _ = first_round
    owned = {model.name for model in update.models}
    assert reached["reconstruction"] & owned == {"0_from_1_encoder", "0_from_1_decoder"}
    assert reached["inheritance"] == {"0", "0_from_1_inheritance"}
    assert reached["exploration"] == {"0", "0_from_1_exploration"}
    assert reached["cross_entropy"] == {"0"}


def test_signs_and_shapes_of_the_terms(first_round):
    _, _, terms, _ = first_round
    assert {name: value.shape for name, value in terms.items()} == dict.fromkeys(terms, (6,))
    assert np.all(terms["inheritance"] > 0) and np.all(terms["exploration"] < 0)


@pytest.mark.parametrize(("share", "absent"), [(0.0, "inheritance"), (1.0, "exploration")])
def test_a_part_without_channels_has_no_term_and_no_encoder(tiny, share, absent):
    distiller = IEDML(pair(tiny), inheritance_share=share)
    present = {"inheritance", "exploration"} - {absent}
    taps = distiller(tiny.batch()["images"])
    for this_round in distiller.phase.rounds:
        (update,) = this_round.updates
        assert set(update.terms) == {"cross_entropy", "reconstruction", *present}
        assert set(this_round.losses(tiny.batch(), taps)[update.name]) == set(update.terms)
    assert len(distiller.helpers) == 6
    assert not [name for name in distiller.helpers if name.endswith(absent)]
    whole = distiller.helpers[f"0_from_1_{present.pop()}"]
    assert sorted(whole.get_layer("selection").first_indices) == list(range(6))


def indices(distiller, name, part):
    return distiller.helpers[f"{name}_from_{1 - int(name)}_{part}"].get_layer("selection").indices


def test_the_random_split_is_a_function_of_the_seed_and_part_of_the_state(tiny):
    def drawn(**arguments):
        distiller = IEDML(pair(tiny), **arguments)
        return distiller, [indices(distiller, "0", part).numpy().tolist() for part in ("inheritance", "exploration")]

    distiller, split = drawn(seed=1)
    assert drawn(seed=1)[1] == split
    assert sorted(split[0] + split[1]) == list(range(6)) and len(split[0]) == 3
    assert any(drawn(seed=seed)[1] != split for seed in (2, 3))
    kept = {key: variable for key, variable in distiller.state().items() if key.endswith("/indices")}
    assert len(kept) == 4
    assert {variable.dtype for variable in kept.values()} == {"int64"}
    assert drawn(split="natural")[1] == [[0, 1, 2], [3, 4, 5]]


def test_the_share_is_rounded_down(tiny):
    distiller = IEDML(pair(tiny), inheritance_share=0.3, split="natural")
    assert indices(distiller, "0", "inheritance").numpy().tolist() == [0]
    assert indices(distiller, "1", "inheritance").numpy().tolist() == [0]


def test_factors_have_half_the_channels_of_the_narrower_map_unless_told(tiny):
    assert coders(IEDML(pair(tiny)), 0, 1)["encoder"].output.shape == (None, SIZE, SIZE, 2)
    told = coders(IEDML(pair(tiny), factor_channels=5), 1, 0)
    assert told.pop("decoder").output.shape == (None, SIZE, SIZE, 6)
    assert {model.output.shape[-1] for model in told.values()} == {5}


def test_three_networks_average_over_their_peers(tiny):
    networks = [*pair(tiny), tiny.network("2", seed=4)]
    distiller = IEDML(networks)
    taps = distiller(tiny.batch()["images"])
    course = distiller.courses[0]
    assert course.learner is networks[0] and list(course.lessons) == ["1", "2"]
    assert len(distiller.helpers) == 3 * 2 * 4
    together = distiller.phase.rounds[0].losses(tiny.batch(), taps)["0"]
    each = []
    for source, lesson in course.lessons.items():
        each.append(lesson.terms(tiny.batch(), taps["0"], taps[source], distiller.call_model))
    for name, value in each[0].items():
        np.testing.assert_allclose(together[name], (value + each[1][name]) / 2, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine", "partial_l2", "l1_cka"])
def test_every_metric_gives_one_finite_value_per_example(tiny, metric):
    distiller = IEDML(pair(tiny), metric=metric, reconstruction="l2", update="joint", leading_activation=False)
    taps = distiller(tiny.batch()["images"])
    for terms in distiller.phase.rounds[0].losses(tiny.batch(), taps).values():
        assert all(value.shape == (6,) and np.all(np.isfinite(value)) for value in terms.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inheritance_share": 1.5}, "inheritance_share: must be a number in 0..1, not 1.5"),
        ({"metric": "cosin"}, "metric: 'cosin' is none of l1, l2, cosine, partial_l2, l1_cka; nearest: cosine"),
        ({"split": "naturel"}, "split: 'naturel' is none of random, natural; nearest: natural"),
        ({"reconstruction": "l22"}, "reconstruction: 'l22' is none of l1, l2; nearest: l2"),
        ({"update": "alternate"}, "update: 'alternate' is none of alternating, joint; nearest: alternating"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        IEDML(pair(tiny), **arguments)
    assert str(error.value) == message


def test_networks_that_do_not_fit_are_refused(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        IEDML(pair(tiny)[:1])
    images = keras.Input((4, 4, 2), name="images")
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    bare = keras.Model(images, {"logits": logits}, name="bare")
    with pytest.raises(ValueError, match=r"^networks: bare has no tap 'features'; it has logits$"):
        IEDML([pair(tiny)[0], bare])
    cropped = keras.Model(images, {"features": keras.layers.Cropping2D(((1, 0), (0, 0)))(images), "logits": logits})
    with pytest.raises(ValueError, match=r"^networks: feature maps .* do not divide"):
        IEDML([pair(tiny)[0], cropped])
