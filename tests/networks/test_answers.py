"""A network's answers in other words: chosen classes, and the mean of several networks."""

import keras
import numpy as np

from tfdistill.networks.answers import answering, mean_of_logits

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")


def test_classes_are_chosen_in_any_order_and_the_other_taps_stay(tiny_network, tmp_path):
    network = tiny_network("own", seed=1)
    chosen = answering(network, [2, 0])
    taps, own = chosen(IMAGES), network(IMAGES)
    np.testing.assert_array_equal(taps["logits"], np.asarray(own["logits"])[:, [2, 0]])
    np.testing.assert_array_equal(taps["features"], own["features"])
    assert answering(network, [0, 1, 2, 3]) is network
    chosen.save(tmp_path / "chosen.keras")
    again = keras.saving.load_model(tmp_path / "chosen.keras")
    np.testing.assert_array_equal(again(IMAGES)["logits"], taps["logits"])


def test_several_networks_are_one_that_gives_the_mean_of_their_logits_alone(tiny_network):
    networks = [tiny_network("own", seed=seed) for seed in (1, 2, 3)]
    one = mean_of_logits(networks, (8, 8, 3))
    assert one.name == "own_1_and_own_2_and_own_3" and list(one.output) == ["logits"]
    mean = np.mean([np.asarray(network(IMAGES)["logits"], "float64") for network in networks], axis=0)
    np.testing.assert_allclose(one(IMAGES)["logits"], mean, atol=1e-6)
