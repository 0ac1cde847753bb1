"""Which taps of two networks are compared, and at which size."""

import keras
import numpy as np
import pytest

from tfdistill.helpers.tap_pairs import feature_pairs, map_pairs, named_pairs


def network(name, sizes, channels=4, embedding=True):
    """A network of nothing but maps of these sizes: "stage1" and so on."""
    images = keras.Input((16, 16, 3), name="images")
    maps = keras.layers.Conv2D(channels, 1, name="conv")(images)
    stages = {f"stage{place}": keras.layers.AveragePooling2D(16 // size)(maps) for place, size in enumerate(sizes, 1)}
    features = stages[f"stage{len(sizes)}"] if sizes else maps
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    taps = {**stages, "features": features, **({"embedding": pooled} if embedding else {}), "logits": pooled}
    if sizes:
        taps["stage1_preactivation"] = maps
    return keras.Model(images, taps, name=name)


@pytest.fixture(scope="module")
def three():
    return network("three", (16, 8, 4))


@pytest.fixture(scope="module")
def five():
    return network("five", (16, 16, 8, 4, 2), channels=6)


def names(found):
    return [(pair.own, pair.source) for pair in found]


def test_stages_meet_from_the_last_on_and_the_middle_is_the_earlier_of_two(three, five):
    backwards = [("stage1", "stage3"), ("stage2", "stage4"), ("stage3", "stage5")]
    assert named_pairs("stages", three, five) == backwards
    assert named_pairs("stages", five, three) == [(other, own) for own, other in backwards]
    assert named_pairs("middle", three, five) == [("stage2", "stage3")]
    four = network("four", (16, 8, 4, 2))
    assert named_pairs("middle", four, four) == [("stage2", "stage2")]
    eleven = network("eleven", (16,) * 10 + (2,))
    assert named_pairs("stages", eleven, three)[-1] == ("stage11", "stage3"), "by number, not by letter"


def test_taps_are_named_for_both_or_for_each(three, five):
    assert named_pairs("stage2, features", three, five) == [("stage2", "stage2"), ("features", "features")]
    assert named_pairs("stage1:stage3,embedding : logits", three, five) == [
        ("stage1", "stage3"),
        ("embedding", "logits"),
    ]


def test_the_larger_map_is_averaged_down(three, five):
    (pair,) = map_pairs("stage1:stage4", three, five)
    assert (pair.size, pair.own_shape, pair.source_shape) == ((4, 4), (4, 4, 4), (4, 4, 6))
    draw = np.random.default_rng(0)
    own, source = draw.normal(size=(2, 16, 16, 4)), draw.normal(size=(2, 4, 4, 6))
    found = pair.tensors({"stage1": own}, {"stage4": source})
    np.testing.assert_allclose(found[0], own.reshape(2, 4, 4, 4, 4, 4).mean((2, 4)), atol=1e-6)
    assert found[1] is source


def test_features_stay_as_they_are(three, five):
    (pair,) = feature_pairs("features:embedding", three, five)
    assert (pair.size, pair.own_shape, pair.source_shape) == (None, (4, 4, 4), (6,))
    own, source = object(), object()
    assert pair.tensors({"features": own}, {"embedding": source}) == (own, source)


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        ("stage2,", "taps: 'stage2,' has no name before or behind a comma or colon"),
        ("stage2:", "taps: 'stage2:' has no name before or behind a comma or colon"),
        (":stage2", "taps: ':stage2' has no name before or behind a comma or colon"),
        ("middle,stage2:stage3", "taps: 'middle,stage2:stage3' has the pair stage2:stage3 twice"),
        ("stage4", "networks: three has no tap 'stage4'; it has stage1, stage2, stage3, features, embedding, logits, "),
        ("features:stage6", "networks: five has no tap 'stage6'; it has "),
        ("embedding", "networks: three: 'embedding' must be [batch, height, width, channels] of one size, not "),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(three, five, taps, message):
    with pytest.raises(ValueError) as error:
        map_pairs(taps, three, five)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_networks_without_stages_and_sizes_that_do_not_divide_are_refused_in_one_line(three):
    bare, odd = network("bare", ()), network("odd", (5,))
    with pytest.raises(ValueError, match=r"^networks: bare has no stages; it has features, embedding, logits: name "):
        map_pairs("stages", three, bare)
    with pytest.raises(ValueError, match=r"^networks: feature maps \(4, 4, 4\) and \(5, 5, 4\) do not divide"):
        map_pairs("features", three, odd)
