"""Every transfer between every two families of networks: what it builds fits, and its term has a value and a slope.

The networks are built and not called; their taps are drawn. A transfer sees shapes alone.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.transfers import TRANSFERS, courses

FAMILIES = ("resnet8", "wide_resnet_10_1", "mobilenet", "vgg11_bn", "densenet_7_4", "keras_mobilenet_v2")
# Every two families once; each learns from some and teaches others.
PAIRS = [pair if sum(map(FAMILIES.index, pair)) % 2 else pair[::-1] for pair in itertools.combinations(FAMILIES, 2)]
CLASSES, BATCH = 4, 3
# What a transfer cannot do without.
ARGUMENTS = {"crd": {"examples": [0, 1, 2], "negatives": 2}}


@pytest.fixture(scope="module")
def built():
    return {
        name: networks.build(name, classes=CLASSES, image_shape=(32, 32, 3), seed=k, model_name=name)
        for k, name in enumerate(FAMILIES)
    }


@pytest.fixture(scope="module")
def taps(built):
    draw = np.random.default_rng(0)
    return {
        name: {
            tap: tf.constant(draw.normal(size=(BATCH, *one.shape[1:])), tf.float32)
            for tap, one in network.output.items()
        }
        for name, network in built.items()
    }


def test_each_family_learns_and_teaches():
    learners, sources = (set(side) for side in zip(*PAIRS, strict=True))
    assert learners == sources == set(FAMILIES) and len(PAIRS) == 15


def called(model, inputs):
    return model(inputs, training=True)


@pytest.mark.parametrize("name", [name for name, made in TRANSFERS.items() if not made.calls_source])
def test_a_transfer_fits_any_two_families(name, built, taps):
    batch = {"labels": tf.constant([0, 1, 2]), "index": tf.range(3, dtype=tf.int64)}
    for learner, source in PAIRS:
        if name == "ie_at" and 1 in {taps[one]["features"].shape[1] for one in (learner, source)}:
            with pytest.raises(ValueError, match=r"^networks: the last feature maps .* meet at one position, "):
                courses([TRANSFERS[name]()], [(built[learner], [built[source]])])
            continue
        (course,) = courses([TRANSFERS[name](**ARGUMENTS.get(name, {}))], [(built[learner], [built[source]])])
        own, found = taps[learner], {learner: taps[learner], source: taps[source]}
        for terms_of in (course.terms, course.preparation_terms) if course.preparations else (course.terms,):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(own)
                terms = terms_of(batch, found, called)
            for value in terms.values():
                slopes = [one for one in tape.gradient(value, own).values() if one is not None]
                assert value.shape == (BATCH,) and np.isfinite(value).all() and np.any(value), (learner, source)
                # A preparation may be of the source alone.
                assert slopes or terms_of == course.preparation_terms, (learner, source)
                assert all(np.isfinite(one).all() for one in slopes), (learner, source)
                assert not slopes or any(np.any(one) for one in slopes), (learner, source)


@pytest.mark.parametrize("name", [name for name, made in TRANSFERS.items() if made.calls_source])
def test_a_transfer_that_calls_its_source_fits_any_family(name, built):
    """Each family once: what is called on one side knows nothing of the other."""
    draw = np.random.default_rng(0)
    batch = {"images": tf.constant(draw.normal(size=(BATCH, 32, 32, 3)), tf.float32)}
    # Those learn whose layers are differentiated twice nowhere else: pooling by maxima, convolutions of one channel.
    for learner, source in zip(
        ("vgg11_bn", "mobilenet", "keras_mobilenet_v2"), FAMILIES[:2] + FAMILIES[4:5], strict=True
    ):
        (course,) = courses([TRANSFERS[name]()], [(built[learner], [built[source]])])
        variables = built[learner].trainable_variables
        with tf.GradientTape() as tape:
            found = {one: called(built[one], batch["images"]) for one in (learner, source)}
            total = tf.add_n(list(course.terms(batch, found, called).values()))
        assert total.shape == (BATCH,) and np.isfinite(total).all() and np.all(total > 0), (learner, source)
        slopes = tape.gradient(total, [one.value for one in variables], unconnected_gradients="zero")
        for one, slope in zip(variables, slopes, strict=True):
            # A bias in front of batch normalization, and that of the logits, moves no gradient for the image.
            does_something = not one.name.endswith("kernel") or np.any(slope)
            assert np.isfinite(slope).all() and does_something, (learner, source, one.path)
