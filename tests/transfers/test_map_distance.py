"""The distance of feature maps against NumPy float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import Distillation
from tfdistill.transfers import MapDistance


@pytest.mark.parametrize(("distance", "order"), [("l1", 1), ("l2", 2)])
def test_the_term_is_the_mean_distance_of_the_pooled_maps_and_its_gradient_that_of_finite_differences(
    tiny,
    distance,
    order,
    lesson_of,
):
    learner, source = tiny.network("learner", pooling=2), tiny.network("source", seed=1)
    lesson = lesson_of(MapDistance(distance=distance, weight=3.0), learner, source)
    assert lesson.weights == {"map_distance": 3.0} and lesson.helpers == ()
    draw = np.random.default_rng(0)
    own, peer = draw.normal(size=(3, 2, 2, 4)), draw.normal(size=(3, 4, 4, 4))

    def expected(maps):
        return (np.abs(maps - tiny.mean_pool(peer, 2).numpy()) ** order).mean((1, 2, 3))

    watched = tf.constant(own, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        taps = {"features": watched}, {"features": tf.constant(peer, tf.float32)}
        term = lesson.terms({}, *taps, None)["map_distance"]
    np.testing.assert_allclose(term, expected(own), rtol=1e-5)
    found, step = tape.gradient(term, watched).numpy(), 1e-6
    for place in [(0, 0, 0, 0), (1, 1, 0, 2), (2, 0, 1, 3)]:
        high, low = own.copy(), own.copy()
        high[place] += step
        low[place] -= step
        np.testing.assert_allclose(found[place], (expected(high) - expected(low)).sum() / (2 * step), rtol=1e-3)


def test_equal_maps_have_nothing_to_teach(tiny, lesson_of):
    learner, source = tiny.network("learner"), tiny.network("source")
    maps = {"features": tf.random.stateless_normal((2, 4, 4, 4), (0, 1))}
    np.testing.assert_array_equal(
        lesson_of(MapDistance(), learner, source).terms({}, maps, maps, None)["map_distance"], 0
    )


def test_a_layer_gives_the_learners_map_the_sources_channels_and_is_moved_along(tiny):
    student, teacher = tiny.network("student", channels=3), tiny.network("teacher", channels=5)
    distiller = Distillation(student, teacher, [MapDistance(), MapDistance(distance="l2", name="squares")])
    (update,) = distiller.phase.updates()
    layers = [distiller.helpers[f"student_from_teacher_{name}_transfer"] for name in ("map_distance", "squares")]
    assert update.models == (student, *layers)
    assert [layer.output.shape[-1] for layer in layers] == [5, 5]
    assert (layers[0].variables[0].numpy() != layers[1].variables[0].numpy()).all(), "each draws its own weights"


def test_networks_that_do_not_fit_are_refused_in_one_line(tiny, lesson_of):
    learner, source = tiny.network("learner"), tiny.network("source")
    bare = tf.keras.Model(learner.input, {"logits": learner.output["logits"]}, name="bare")
    with pytest.raises(ValueError, match=r"^networks: bare has no tap 'features'; it has logits$"):
        lesson_of(MapDistance(), bare, source)
    with pytest.raises(ValueError, match=r"^distance: 'l3' is none of l1, l2; nearest: l2$"):
        MapDistance(distance="l3")
