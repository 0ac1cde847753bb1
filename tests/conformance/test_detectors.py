"""Transfers between detectors: what reads maps teaches them as it teaches classifiers, and what reads logits cannot.

One distiller on two replicas has all that a detector is distilled by, with the phases before the training, in graphs
that serve all tests.
"""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.data.sets import load_digit_scenes
from tfdistill.engine.teachers import fingerprint
from tfdistill.engine.updates import PreparationPhase
from tfdistill.methods import Distillation
from tfdistill.optimizers import OptimizerSettings
from tfdistill.tasks import Detection
from tfdistill.transfers import AT, CRD, CWD, FT, IEAT, IEFT, IEOD, OD, PKD, TRANSFERS, courses

SCENES, BATCH = 8, 4
# They compare answers of classifiers; activation boundaries do so after their phase of maps.
ON_LOGITS = {"kd", "kd_limit", "mse", "smooth_l1", "dkd", "dist", "virtual_teacher", "ab"}


def transfers():
    """Each on the backbones' last map; of CRD every image is a class of its own."""
    prepared = [made(preparation_epochs=1) for made in (FT, IEAT, IEFT, IEOD)]
    memory = CRD(examples=np.arange(SCENES), negatives=5)
    return [AT(taps="stage3"), OD(taps="stage3"), memory, PKD(), CWD(), *prepared]


def detectors():
    """A student and a teacher."""
    return [
        networks.build(f"ssd96_resnet{depth}", classes=10, image_shape=(96, 96, 1), seed=depth) for depth in (8, 14)
    ]


@pytest.fixture(scope="module")
def trained(two_replicas):
    """A distiller after an epoch of each phase, the terms of each phase, and what the networks were before."""
    scenes = load_digit_scenes(train=SCENES, test=1, seed=2).train
    data = {"images": scenes.images.astype("float32") / 255, "labels": scenes.labels, "index": np.arange(SCENES)}
    with two_replicas.scope():
        student, teacher = detectors()
        distiller = Distillation(student, teacher, transfers(), task=Detection())
        distiller.compile({"networks": OptimizerSettings(learning_rate=1e-3)})
    before = fingerprint(teacher), student.get_weights()
    batches = tf.data.Dataset.from_tensor_slices(data).batch(BATCH, drop_remainder=True)
    history = distiller.fit(batches, epochs=len(distiller.plan), verbose=0, shuffle=False).history
    return distiller, history, before


def test_every_term_of_every_phase_is_a_number_and_does_something(trained):
    distiller, history, _ = trained
    prepared = [phase.name for phase in distiller.plan if isinstance(phase, PreparationPhase)]
    assert prepared == [f"{name}_preparation" for name in ("ft", "ie_at", "ie_ft", "ie_od")]
    seen = set()
    for phase in distiller.plan:
        for update in phase.updates():
            for term in update.terms:
                values = history[f"{update.name}/{term}"]
                assert np.isfinite(values[-1]) and values[-1] != 0, term
                seen.add(term)
    parts = {f"{name}_{part}" for name in ("ie_at", "ie_ft", "ie_od") for part in ("inheritance", "exploration")}
    assert seen >= {"multibox", "at", "od", "crd", "pkd", "cwd", "ft", *parts}


def test_the_student_has_moved_and_no_bit_of_the_teacher(trained):
    distiller, _, (teacher, student) = trained
    assert fingerprint(distiller.teachers[0]) == teacher
    (network,) = distiller.networks
    for one, first in zip(network.variables, student, strict=True):
        # Behind the backbone a map of one place, normalized over two examples, has no slope.
        assert not one.path.startswith("stage") or not np.array_equal(one.numpy(), first), one.path


def test_what_is_delivered_is_a_bare_detector(trained, pair):
    distiller, *_ = trained
    (delivered,) = distiller.deliverables().values()
    bare, _ = pair
    assert [one.path for one in delivered.variables] == [one.path for one in bare.variables]
    helpers = {id(one) for helper in distiller.helpers.values() for one in helper.variables}
    assert helpers and not helpers & {id(one) for one in delivered.variables}


def called(model, inputs):
    return model(inputs, training=True)


@pytest.fixture(scope="module")
def pair():
    return detectors()


@pytest.mark.parametrize("name", [name for name, made in TRANSFERS.items() if not made.calls_source])
def test_a_transfer_reads_maps_or_an_answer_that_a_detector_does_not_give(name, pair):
    draw, (learner, source) = np.random.default_rng(0), pair
    found = {
        one.name: {
            tap: tf.constant(draw.normal(size=(3, *tensor.shape[1:])), tf.float32) for tap, tensor in one.output.items()
        }
        for one in (learner, source)
    }
    arguments = {"examples": np.arange(3), "negatives": 2} if name == "crd" else {}
    (course,) = courses([TRANSFERS[name](**arguments)], [(learner, [source])])
    batch = {"index": tf.range(3, dtype=tf.int64), "labels": tf.range(3)}
    if name in ON_LOGITS:
        with pytest.raises(KeyError, match="logits"):
            course.terms(batch, found, called)
        return
    for value in course.terms(batch, found, called).values():
        assert value.shape == (3,) and np.isfinite(value).all() and np.any(value)


@pytest.mark.parametrize("name", [name for name, made in TRANSFERS.items() if made.calls_source])
def test_a_transfer_that_calls_its_source_says_in_one_line_that_a_detector_has_no_logits(name, pair):
    learner, source = pair
    with pytest.raises(ValueError, match=r"^networks: ssd96_resnet\d+ has no tap 'logits'; it has [^\n]*$"):
        courses([TRANSFERS[name]()], [(learner, [source])])
