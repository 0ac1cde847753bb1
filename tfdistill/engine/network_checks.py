"""What networks must be to learn in a distiller: right, or one line that names the network and the remedy."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdistill import keras_settings
from tfdistill.bounds import ArgumentError
from tfdistill.engine.updates import Phase
from tfdistill.networks.graphs import is_functional, layers_of
from tfdistill.networks.names import tell_apart, tell_teachers_apart
from tfdistill.tasks import Classification, Task

SPREADING = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


def check_networks(networks: Sequence[Any], task: Task, strategy: tf.distribute.Strategy) -> None:
    """Refuses networks that a distiller could not train, or would train wrongly without a word.

    Args:
        networks: what a distiller was given.
        task: what they are to learn.
        strategy: the distiller's.

    Raises:
        ValueError: in one line, the network and what would be right.
    """
    require_networks(networks, task)
    keras_settings.require_buildable()
    for network in networks:
        task.check_values(network, "networks")
        _require_channels_last(network, "networks")
        _require_trainable(network)
        _require_scope(network, strategy, "networks")
    for other in networks[1:]:
        _require_alike(networks[0], other, task, "networks", "peers")
    if not any(network.trainable_variables for network in networks):
        names = ", ".join(network.name for network in networks)
        raise ArgumentError("networks", f"nothing in {names} may move; set trainable = True on one of them at least")


def check_teachers(
    teachers: Sequence[Any],
    networks: Sequence[keras.Model],
    task: Task,
    strategy: tf.distribute.Strategy,
    before: Sequence[keras.Model] = (),
) -> None:
    """Refuses teachers that the networks could not learn from; renames those that have another model's name.

    Args:
        teachers: what a distiller was given.
        networks: the distiller's, which `check_networks` has passed.
        task: what they learn.
        strategy: the distiller's.
        before: teachers that it has already, whose names stay.

    Raises:
        ValueError: in one line, the teacher and what would be right.
    """
    if isinstance(teachers, str) or not isinstance(teachers, Sequence):
        raise ArgumentError(
            "teachers", f"must be models in a list, not {teachers!r:.80}{_remedy(teachers, 'teachers')}"
        )
    _require_models(teachers, "teachers")
    for first, second in itertools.combinations((*networks, *before, *teachers), 2):
        if first is second:
            raise ArgumentError(
                "teachers", f"{first.name} is given twice; a teacher is built once more, or loaded from a file"
            )
    tell_teachers_apart(teachers, [*networks, *before])
    for teacher in teachers:
        _require_free_name(teacher, task, "teachers")
        _require_graph(teacher, "teachers")
        _require_taps(teacher, task, "teachers")
        _require_one_input(teacher, "teachers")
        task.check_values(teacher, "teachers")
        _require_channels_last(teacher, "teachers")
        _require_scope(teacher, strategy, "teachers")
        _require_alike(networks[0], teacher, task, "teachers", "a teacher and the networks")
        for network in networks:
            if (shared := shared_variable(teacher, network)) is not None:
                raise ArgumentError(
                    "teachers",
                    f"{teacher.name} shares {shared.path} with the network {network.name}, and a teacher is "
                    "never moved; give it layers of its own, as keras.models.clone_model and set_weights do",
                )


def shared_variable(model: keras.Model, other: keras.Model) -> keras.Variable | None:
    """The first variable of `model` that `other` has too; `None`: there is none."""
    theirs = {id(variable) for variable in other.variables}
    return next((variable for variable in model.variables if id(variable) in theirs), None)


def require_networks(networks: Sequence[Any], task: Task | None = None) -> None:
    """The part of `check_networks` that comes before anything is read off the networks; tells equal names apart.

    Args:
        networks: what a distiller was given.
        task: what they are to learn; classification if not given.

    Raises:
        ValueError: no list of models with names of their own, each a graph from images to what the task needs.
    """
    task = task or Classification()
    if isinstance(networks, str) or not isinstance(networks, Sequence) or not networks:
        said = f"at least one is needed, in a list; not {networks!r:.80}{_remedy(networks, 'networks')}"
        raise ArgumentError("networks", said)
    _require_models(networks, "networks")
    _require_names(networks, task)
    for network in networks:
        _require_graph(network, "networks")
        _require_taps(network, task, "networks")
        _require_one_input(network, "networks")


def check_shared_layers(networks: Sequence[keras.Model], plan: Sequence[Phase]) -> None:
    """Refuses layers in two networks that two updates of a phase would move, each by the way it knows.

    What one update moves for several networks, such as a trunk in common, is right.

    Raises:
        ValueError: names both networks, a shared weight and the updates.
    """
    for first, second in itertools.combinations(networks, 2):
        theirs = {id(variable) for variable in second.trainable_variables}
        for variable in first.trainable_variables:
            if id(variable) not in theirs:
                continue
            for phase in plan:
                # Of a network as a whole: a method that moves a trunk by itself knows whose it is.
                whole = [one for one in phase.updates() if any(model in (first, second) for model in one.models)]
                moving = [one.name for one in whole if any(variable is own for own in one.variables())]
                if len(moving) > 1:
                    raise ArgumentError(
                        "networks",
                        f"{first.name} and {second.name} share {variable.path}, which the updates "
                        f"{', '.join(moving)} would each move; give each layers of its own, or freeze the shared ones",
                    )


def require_strategy(made_under: tf.distribute.Strategy, present: tf.distribute.Strategy) -> None:
    """Refuses to train under another strategy than networks and distiller were created under.

    Raises:
        ValueError: names both.
    """
    if present is not made_under:
        raise ArgumentError(
            "fit",
            f"in the scope of a {_name_of(present)}, but the distiller was created outside of it; "
            "create networks and distiller in strategy.scope() too",
        )


def require_unchanged(before: Mapping[str, list[int]], now: Mapping[str, list[int]]) -> None:
    """Refuses to train on where layers were frozen or freed since `compile`, which optimizers and graph do not know.

    Args:
        before: what `updates.owned_by_update` gave at `compile`.
        now: what it gives now.

    Raises:
        ValueError: names an update.
    """
    for name, owned in now.items():
        if owned != before[name]:
            raise ArgumentError(
                "fit",
                f"what update {name!r} may move has changed since compile(), as by setting trainable; "
                "call compile() again",
            )


def _require_models(models: Sequence[Any], role: str) -> None:
    for place, model in enumerate(models, start=1):
        if not isinstance(model, keras.Model):
            said = f"number {place} must be a keras.Model, not {model!r:.80}{_remedy(model, role)}"
            raise ArgumentError(role, said)


def _remedy(given: Any, role: str) -> str:
    """Who gives the name or path of a model hears what makes a model of it."""
    if not isinstance(given, str | os.PathLike):
        return ""
    makers = {
        "networks": "tfdistill.networks.build(NAME, ...) makes one",
        "teachers": "tfdistill.teacher(PATH) loads one",
    }
    return f"; {makers[role]}"


def _require_names(networks: Sequence[keras.Model], task: Task) -> None:
    for first, second in itertools.combinations(networks, 2):
        if first is second:
            raise ArgumentError("networks", f"{first.name} is given twice; build it once more, with weights of its own")
    tell_apart(networks)
    for network in networks:
        _require_free_name(network, task, "networks")


def _require_free_name(model: keras.Model, task: Task, role: str) -> None:
    if model.name == task.ensemble_name:
        kind = role.removesuffix("s")
        raise ArgumentError(role, f"{model.name!r} is what all networks together are called; give that {kind} another")


def _require_graph(network: keras.Model, role: str) -> None:
    if is_functional(network):
        return
    if isinstance(network, keras.Sequential):
        raise ArgumentError(
            role,
            f"{network.name} is a Sequential that is not built; begin it with keras.Input(shape), and name "
            "its taps by network_from()",
        )
    raise ArgumentError(
        role,
        f"{network.name} is a {type(network).__name__} whose call() is code; methods and exports need a "
        "graph of layers: build it as a functional keras.Model(inputs, outputs)",
    )


def _require_taps(network: keras.Model, task: Task, role: str) -> None:
    task.check_outputs(network, role)
    for tap, tensor in network.output.items():
        if not isinstance(tensor, keras.KerasTensor):
            kind = f"a {type(tensor).__name__} of {len(tensor)}"
            raise ArgumentError(role, f"{network.name}: tap {tap!r} must be one tensor, not {kind}")


def _require_one_input(network: keras.Model, role: str) -> None:
    shapes = [tuple(one.shape) for one in network.inputs]
    if len(shapes) != 1:
        raise ArgumentError(role, f"{network.name} must read images alone, one input; it has inputs {shapes}")


def _require_channels_last(network: keras.Model, role: str) -> None:
    for layer in layers_of(network):
        if getattr(layer, "data_format", None) == "channels_first":
            raise ArgumentError(
                role,
                f"{network.name}: layer {layer.name!r} is channels_first; images here are [batch, height, "
                "width, channels], so build it with data_format='channels_last'",
            )


def _require_trainable(network: keras.Model) -> None:
    """Settings of what is trained that the engine cannot honour; of what it leaves out it warns."""
    for variable in network.trainable_variables:
        if variable.dtype in ("float16", "bfloat16"):
            raise ArgumentError(
                "networks",
                f"{network.name} keeps {variable.path} in {variable.dtype}, which loses small steps; build "
                "it in float32, or under keras.config.set_dtype_policy('mixed_bfloat16')",
            )
    regularized = [variable.path for variable in network.trainable_variables if getattr(variable, "regularizer", None)]
    regularized += [layer.name for layer in layers_of(network) if getattr(layer, "activity_regularizer", None)]
    if regularized:
        warnings.warn(
            f"networks: {network.name}: the penalties of {len(regularized)} regularizers ({regularized[0]}, ...) are "
            "no part of a method's losses and are left out; weight_decay of the optimizer's settings is the way",
            stacklevel=4,
        )


def _require_scope(network: keras.Model, strategy: tf.distribute.Strategy, role: str) -> None:
    for variable in network.variables:
        value = variable.value
        own = value.distribute_strategy if isinstance(value, tf.distribute.DistributedValues) else None
        if own is not strategy and (own is not None or isinstance(strategy, SPREADING)):
            where = f"in the scope of a {type(own).__name__}" if own else "outside of any strategy's scope"
            raise ArgumentError(
                role,
                f"{network.name} was created {where}, and the distiller under a {_name_of(strategy)}; "
                f"create {role} and distiller in one strategy.scope()",
            )


def _name_of(strategy: tf.distribute.Strategy) -> str:
    return type(strategy).__name__.strip("_")


def _require_alike(first: keras.Model, other: keras.Model, task: Task, role: str, who: str) -> None:
    task.check_alike(first, other, role, who)
    shapes = [tuple(network.inputs[0].shape[1:]) for network in (first, other)]
    fits = len(shapes[0]) == len(shapes[1]) and all(
        one == another or None in (one, another) for one, another in zip(*shapes, strict=True)
    )
    if not fits:
        raise ArgumentError(
            role, f"{first.name} reads images {shapes[0]}, {other.name} {shapes[1]}; {who} see the same images"
        )
