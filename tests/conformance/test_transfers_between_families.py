"""Every transfer between every two families of networks, and networks from `.keras` files.

Every ordered pair is set up, symbolically: what is built fits, or one line says why it cannot. Of some pairs, in which
each family learns and teaches, terms are computed as well: they have a value and a slope. The networks are not called;
their taps are drawn. A transfer sees shapes alone.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.networks.graphs import is_functional
from tfdistill.networks.keras_files import learner_of_file
from tfdistill.transfers import TRANSFERS, courses

FAMILIES = ("resnet8", "wide_resnet_10_1", "mobilenet", "vgg11_bn", "densenet_7_4", "keras_mobilenet_v2")
# Files of models without named taps: ReLU in layers of its own, and within the convolutions.
FILES = ("layers", "fused")
EVERY_TWO = list(itertools.product((*FAMILIES, *FILES), repeat=2))
# Each learns once and teaches once.
COMPUTED = list(zip((*FAMILIES, *FILES), (*FAMILIES[1:], *FILES, FAMILIES[0]), strict=True))
CLASSES, BATCH = 4, 3
# What a transfer cannot do without.
ARGUMENTS = {"crd": {"examples": [0, 1, 2], "negatives": 2}}
ONE_POSITION = r"^networks: the (last feature )?maps .* meet at one position, [^\n]*$"
NO_MARGINS = r"^networks: fused: 'stage\d' comes from conv\d, which is no batch normalization, [^\n]*$"


def of_file(name, path):
    """A network of four sizes that knows no taps, from the file that it is saved in."""
    images = keras.Input((32, 32, 3))
    maps = images
    for number, width in enumerate((5, 6, 7, 8), start=1):
        given = {"padding": "same", "name": f"conv{number}"}
        if name == "fused":
            maps = keras.layers.Conv2D(width, 3, 2, activation="relu", **given)(maps)
        else:
            maps = keras.layers.BatchNormalization()(keras.layers.Conv2D(width, 3, 2, **given)(maps))
            maps = keras.layers.ReLU()(maps)
    logits = keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling2D()(maps))
    keras.Model(images, logits).save(path)
    return learner_of_file(path, classes=CLASSES, image_shape=(32, 32, 3), name=name)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    made = {
        name: networks.build(name, classes=CLASSES, image_shape=(32, 32, 3), seed=k, model_name=name)
        for k, name in enumerate(FAMILIES)
    }
    folder = tmp_path_factory.mktemp("files")
    return {**made, **{name: of_file(name, folder / f"{name}.keras") for name in FILES}}


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


def why_not(name, learner, source, built):
    """The line that refuses a pair; empty where the transfer takes it."""
    if name in ("ie_at", "cwd") and 1 in {built[one].output["features"].shape[1] for one in (learner, source)}:
        return ONE_POSITION
    return NO_MARGINS if name == "od" and source == "fused" else ""


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_fits_any_two_networks_or_says_in_one_line_why_not(name, built):
    # One that calls networks tries that as it is set up, and what it calls on one side knows nothing of the other.
    for learner, source in COMPUTED if TRANSFERS[name].calls_source else EVERY_TWO:
        transfer = TRANSFERS[name](**ARGUMENTS.get(name, {}))
        groups = [(built[learner], [built[source]])]
        # What it builds gets shapes and no weights.
        with keras.StatelessScope(initialize_variables=False):
            if refusal := why_not(name, learner, source, built):
                with pytest.raises(ValueError, match=refusal):
                    courses([transfer], groups)
                continue
            (course,) = courses([transfer], groups)
        for model in filter(is_functional, course.models()):
            given = keras.tree.flatten([model.inputs, model.outputs])
            assert all(None not in one.shape[1:] for one in given), (learner, source, model.name)


def called(model, inputs):
    return model(inputs, training=True)


@pytest.mark.parametrize("name", [name for name, made in TRANSFERS.items() if not made.calls_source])
def test_its_terms_have_a_value_and_a_slope(name, built, taps):
    batch = {"labels": tf.constant([0, 1, 2]), "index": tf.range(3, dtype=tf.int64)}
    for learner, source in COMPUTED:
        if why_not(name, learner, source, built):
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
def test_the_terms_of_one_that_calls_its_source_have_a_value_and_a_slope(name, built):
    """Each family once."""
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
