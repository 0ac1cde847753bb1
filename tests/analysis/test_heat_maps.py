"""Grad-CAM and relevance as analyses of a study: what they find, draw and refuse."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import data
from tfdistill.analysis.grad_cam import GradCAM
from tfdistill.analysis.heat_maps import Alikeness
from tfdistill.analysis.lrp import LRP
from tfdistill.analysis.options import Options
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.networks.saved_models import network_of_saved_model
from tfdistill.tables.pictures.canvas import publishable

NAMES = ("apple", "pear", "plum", "fig")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
HALVES = {"inheritance": [0, 2, 4], "exploration": [1, 3, 5, 6, 7]}


@pytest.fixture(scope="module")
def study(tiny_network):
    """Two networks, the second of which has halves, and six images of three classes."""
    one, other = (Subject(name, tiny_network(name, seed=seed)) for seed, name in enumerate(("one", "other")))
    split = data.Split.in_memory(IMAGES, np.array([0, 1, 2, 0, 1, 2]))
    subjects = [one, dataclasses.replace(other, halves=HALVES)]
    return Study(subjects, {"test": split}, NAMES, data.Normalization((0.5,), (0.25,)))


def with_options(study, **options):
    return dataclasses.replace(study, options=Options(**options), notes=[])


def test_relevance_has_a_column_for_each_half_and_accounts_for_every_logit(study):
    chosen = with_options(study, examples=4, images=3, epsilon=0.0)
    LRP().check(chosen)
    found = LRP().find(chosen)
    titles = ["one", "other", "other, inheritance", "other, exploration"]
    assert found.numbers["alike"]["columns"] == list(found.numbers["maps"]) == titles
    assert found.numbers["maps"]["one"].shape == (3, 8, 8) and len(found.rows) == 4 * 4
    for row in found.rows:
        kept = sum(row[name] for name in ("pixels", "biases", "epsilon", "other_half"))
        assert kept == pytest.approx(row["logit"], abs=1e-5) and row["label"] == row["class"]
    assert [row["example"] for row in found.rows[:4]] == [0, 1, 3, 4]
    maps = found.numbers["maps"]
    np.testing.assert_allclose(maps[titles[2]] + maps[titles[3]], maps["other"], atol=1e-5)
    assert chosen.notes == ["The picture has the first 3 of 4 images; --images says how many."]
    assert "correlation of maps with those of one" in "\n".join(found.lines)
    with publishable():
        (figure,) = found.draw().values()
        panels = [axes for axes in figure.axes if axes.images]
        assert len(panels) == 3 * 5 and panels[1].images[0].get_clim() == (-1, 1)
        assert [axes.get_title() for axes in panels[1:5]] == [*titles[:2], "other,\ninheritance", "other,\nexploration"]


def test_grad_cam_has_a_column_for_each_tap_and_a_picture_without_the_image(study):
    options = with_options(study, taps=("stage1", "features"), classes=("plum",), explain="predicted")
    chosen = dataclasses.replace(options, teacher="other")
    GradCAM().check(chosen)
    found = GradCAM().find(chosen)
    assert [row["example"] for row in found.rows] == [2, 5] * 4
    assert "correlation of maps with those of other, stage1, mean over images" in found.lines
    assert all(row["class"] == row["predicted"] and row["label"] == "plum" for row in found.rows)
    assert list(found.numbers["maps"]) == ["one, stage1", "one, features", "other, stage1", "other, features"]
    with publishable():
        pictures = found.draw()
        over, alone = ([len(axes.images) for axes in pictures[part].axes if axes.images] for part in ("", "alone"))
    assert over == [1, 2, 2, 2, 2] * 2 and alone == [1] * 10


def test_maps_are_alike_up_to_scale_and_those_without_a_shape_do_not_count():
    draw = np.random.default_rng(1).normal(size=(3, 4, 4))
    flat = np.concatenate([np.zeros((2, 4, 4)), draw[2:]])
    alike = Alikeness(3)
    for part in (slice(0, 2), slice(2, 3)):
        alike.add([draw[part], 2 - 3 * draw[part], flat[part]])
    np.testing.assert_allclose(alike.correlation, [[1, -1, 1], [-1, 1, -1], [1, -1, 1]], atol=1e-12)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A SavedModel as a network."""
    path = str(tmp_path_factory.mktemp("saved"))
    module, signature = tf.Module(), tf.TensorSpec([None, 8, 8, 3], tf.float32, "images")
    module.answer = tf.function(lambda images: {"logits": images[:, 0, 0]}, input_signature=[signature])
    tf.saved_model.save(module, path, module.answer)
    return network_of_saved_model(path, name="one")


@pytest.mark.parametrize(
    ("analysis", "options", "said"),
    [
        (GradCAM, {"taps": ("stage9",)}, "taps: one has no tap stage9; it has stage1, stage2, features, embedding"),
        (GradCAM, {"taps": ("logits",)}, "taps: logits of one is .None, 4., and no feature map; its maps are stage1"),
        (GradCAM, {"explain": "kiwi"}, "explain: the data has no class kiwi; nearest: fig"),
        (GradCAM, {"classes": ("4",)}, "classes: the data has no class 4"),
        (LRP, {"classes": ("fig",)}, "classes: the test part has no example of fig"),
        (GradCAM, {"export": True}, "run: one is a SavedModel, which has no gradients, and Grad-CAM needs them"),
        (LRP, {"export": True}, "run: one is a SavedModel, which has no gradients, and relevance needs them"),
        (LRP, {"channels": ("inheritance",), "first": True}, "channels: no network of one has channels that inherit"),
        (LRP, {"gated": True}, "run: one: there is no rule for its layer 'gate', Multiply"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_any_work(study, saved, analysis, options, said):
    options = dict(options)
    first = study.subjects[0]
    if options.pop("export", False):
        first = dataclasses.replace(first, network=saved)
    if options.pop("gated", False):
        taps = first.network.output
        gate = keras.layers.Multiply(name="gate")([taps["logits"], taps["logits"]])
        first = dataclasses.replace(first, network=keras.Model(first.network.input, {**taps, "logits": gate}))
    alone = options.pop("first", False)
    chosen = dataclasses.replace(
        with_options(study, **options), subjects=[first] if alone else [first, study.subjects[1]]
    )
    with pytest.raises(ValueError, match="^" + said):
        analysis().check(chosen)
