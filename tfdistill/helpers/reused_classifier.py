"""A teacher's classifier as a part of a student: the layers from the last map to the logits, and a projector before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from tfdistill.bounds import ArgumentError
from tfdistill.helpers.factors import smaller
from tfdistill.networks import layers
from tfdistill.networks.graphs import count_parameters, nodes_of, run_through
from tfdistill.networks.initialization import PYTORCH, LayerSeeds
from tfdistill.networks.reasons import reason_of
from tfdistill.networks.taps import features_of, tap_of

TEACHER, FINGERPRINT, LAYERS = "teacher", "fingerprint", "layers"


@dataclass(frozen=True, eq=False)
class ReusedClassifier:
    """What a teacher makes of its last map, in frozen layers of its own.

    Attributes:
        model: from the teacher's last map `[batch, height, width, channels]` to its logits `[batch, classes]`: the
            average over height and width, and every layer behind it. Dropouts are left out.
        teacher: whose it is, by name.
        fingerprint: of that teacher's weights.
    """

    model: keras.Model
    teacher: str
    fingerprint: str

    @classmethod
    def of(cls, teacher: keras.Model, fingerprint: str) -> ReusedClassifier:
        """The classifier of a network, which stays as it is.

        Args:
            teacher: functional, from images to a dict of taps.
            fingerprint: of its weights.

        Raises:
            ArgumentError: its logits are not the average of its map "features" and layers behind that, or such a
                layer cannot be built anew.
        """
        behind = _behind_the_map(teacher)
        try:
            found = cls(_frozen_copy(behind), teacher.name, fingerprint)
            found.copy()
        except Exception as error:  # whatever a layer of the user's own raises
            raise _refused(teacher, f"has a layer there that cannot be built anew: {reason_of(error)}") from error
        return found

    def kept(self) -> dict[str, str]:
        """What the same layers are built of without the teacher, as JSON has it; weights are not in it."""
        return {TEACHER: self.teacher, FINGERPRINT: self.fingerprint, LAYERS: self.model.to_json()}

    @classmethod
    def from_kept(cls, kept: Mapping[str, str]) -> ReusedClassifier:
        """The classifier that `kept` tells of; its weights are new."""
        return cls(keras.models.model_from_json(kept[LAYERS]), kept[TEACHER], kept[FINGERPRINT])

    def copy(self) -> keras.Model:
        """The same layers once more, with weights of their own that are equal."""
        copied = keras.models.model_from_json(self.model.to_json())
        copied.set_weights(self.model.get_weights())
        return copied


def with_classifier(student: keras.Model, reused: ReusedClassifier, *, factor: int, seeds: LayerSeeds) -> keras.Model:
    """A student whose last map goes through a projector into a teacher's classifier.

    Args:
        student: functional, from images to a dict of taps with the map "features". Its layers are taken, but for its
            own classifier, which has no part in what comes out.
        reused: the teacher's classifier, of which the student gets a copy.
        factor: the projector's inner maps have 1 / `factor` of the channels of the teacher's map.
        seeds: one seed per convolution.

    Returns:
        a model of the student's name, from images to the student's taps before its classifier, "features", the
        projected map, "embedding", its average, and "logits". Its attribute `made_of` says, as JSON has it, what is in
        it besides the student.

    Raises:
        ArgumentError: last maps of which one is no multiple of the other.

    Source: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022. Where the student's map
    is the larger one, the authors' code averages it down before the projector.
    """
    own, classifier = features_of(student), reused.copy()
    shape = classifier.input_shape[1:]
    projected = projector(_averaged_down(own, smaller(own.shape[1:], shape)), shape[-1], factor=factor, seeds=seeds)
    averages = []

    def call(layer: Any, *given: Any, **settings: Any) -> Any:
        outputs = layer(*given, **settings)
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            averages.append(outputs)
        return outputs

    logits = run_through(classifier, projected, call)
    # An average that keeps height and width is no embedding.
    embedding = {"embedding": averages[0]} if len(averages[0].shape) == 2 else {}
    taps = {**_taps_before(student, own), "features": projected, **embedding, "logits": logits}
    network = keras.Model(student.input, taps, name=student.name)
    network.made_of = _made_of(network, reused)
    return network


def _made_of(network: keras.Model, reused: ReusedClassifier) -> dict[str, str]:
    own = [layer for layer in network.layers if layer.name.startswith("projector_")]
    weights = count_parameters(weight for layer in own for weight in layer.trainable_variables)
    size = " × ".join(map(str, network.output["features"].shape[1:]))
    classifier = count_parameters(reused.model.variables)
    return {
        "student": f"{network.name} without its own classifier",
        "projector": f"to {size}, {weights:,} parameters",
        "classifier": f"that of the teacher {reused.teacher}, {classifier:,} parameters",
        "teacher": reused.teacher,
        "teacher_fingerprint": reused.fingerprint,
    }


def projector(maps: keras.KerasTensor, channels: int, *, factor: int, seeds: LayerSeeds) -> keras.KerasTensor:
    """A 1×1, a 3×3 and a 1×1 convolution without biases, each with BatchNorm and ReLU.

    Args:
        maps: `[batch, height, width, any]`, the symbolic input.
        channels: of what comes out, C.
        factor: between the convolutions there are ⌊C / factor⌋ channels, but one at least.
        seeds: one seed per convolution; first weights are PyTorch's U(±1/√fan_in) where `seeds` are of `PYTORCH`.

    Returns:
        `[batch, height, width, channels]`.

    Source: Chen et al., CVPR 2022, with a factor of 2.
    """
    inner, outputs = max(channels // factor, 1), maps
    for place, (filters, size) in enumerate(((inner, 1), (inner, 3), (channels, 1)), start=1):
        outputs = layers.conv(outputs, filters, size, seeds=seeds, name=f"projector_conv{place}")
        outputs = layers.norm_relu(outputs, name=f"projector_{place}")
    return outputs


def projector_seeds(seed: int) -> LayerSeeds:
    """The seeds of a projector's convolutions, which start as PyTorch's do."""
    return LayerSeeds(seed, PYTORCH)


def _averaged_down(maps: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    if size == tuple(maps.shape[1:3]):
        return maps
    strides = (maps.shape[1] // size[0], maps.shape[2] // size[1])
    return keras.layers.AveragePooling2D(strides, strides, name="projector_size")(maps)


def _taps_before(student: keras.Model, own: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
    """The student's taps that its layers up to its last map give; "features" is another map now."""
    there = {id(one) for one in keras.Model(student.input, own).operations}
    found = {}
    for name, tensor in student.output.items():
        if name != "features" and {id(one) for one in keras.Model(student.input, tensor).operations} <= there:
            found[name] = tensor
    return found


def _behind_the_map(teacher: keras.Model) -> keras.Model:
    """From a teacher's last map to its logits, with the teacher's own layers."""
    maps = teacher.output.get("features")
    if maps is None:
        given = ", ".join(teacher.output)
        raise _refused(teacher, f"gives no last map, only {given}; SavedModels and A+B give logits alone")
    if len(maps.shape) != 4 or None in maps.shape[1:]:
        raise _refused(teacher, f"has features {tuple(maps.shape)}, which are no map of a known size")
    logits = tap_of(teacher, "logits")
    try:
        behind = keras.Model(maps, logits)
    except ValueError as error:
        raise _refused(teacher, "computes its logits of more than its last map") from error
    readers = [node.operation for node in nodes_of(behind) if any(one is behind.input for one in node.input_tensors)]
    if len(readers) != 1 or not isinstance(readers[0], keras.layers.GlobalAveragePooling2D):
        read = ", ".join(f"{one.name} ({type(one).__name__})" for one in readers)
        raise _refused(teacher, f"reads its last map by {read or 'nothing'}")
    return behind


def _frozen_copy(behind: keras.Model) -> keras.Model:
    """Layers of their own with the same weights, which nothing trains; their names say whose they are."""
    made: dict[int, keras.Layer] = {}

    def call(operation: Any, *given: Any, **settings: Any) -> Any:
        if not isinstance(operation, keras.Layer):
            return operation(*given, **settings)
        if isinstance(operation, keras.layers.Dropout):
            return given[0]
        if id(operation) not in made:
            config = {**operation.get_config(), "name": f"teacher_{operation.name}", "trainable": False}
            made[id(operation)] = type(operation).from_config(config)
        return made[id(operation)](*given, **settings)

    maps = keras.Input(behind.input_shape[1:], dtype=behind.input.dtype, name="maps")
    copied = keras.Model(maps, run_through(behind, maps, call), name="teacher_classifier")
    for layer in behind.layers:
        if id(layer) in made:
            made[id(layer)].set_weights(layer.get_weights())
    return copied


def _refused(teacher: keras.Model, what: str) -> ArgumentError:
    return ArgumentError(
        "teachers",
        f"{teacher.name} {what}; a classifier that can be reused is the average of the last map (its tap 'features', a "
        "GlobalAveragePooling2D) and layers from there to the logits",
    )
