"""What hands that know Keras write to a distiller: taken as in Keras, or refused in a line that says what to do."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from tfdistill import optimizers
from tfdistill.bounds import Number, and_more, check, shown
from tfdistill.engine.optimizers_as_one import OptimizersAsOne, require_settable
from tfdistill.engine.update_optimizers import Choice
from tfdistill.engine.updates import Phase

OneForAll = Choice | str | Mapping[str, Any]
"""An optimizer for every update: settings, an instance, its config, or its name."""

# What else `keras.Model.compile` takes, and what says it here.
SAID_OTHERWISE = {
    "loss": "the losses are the method's, whose arguments weigh them",
    "loss_weights": "the weights of terms are arguments of the method",
    "metrics": "what is scored is the task's; a callback, or a network's own compile(metrics=...), scores more",
    "weighted_metrics": "what is scored is the task's, and is weighed in evaluation where there are weights",
    "jit_compile": "xla='on', 'off' or 'auto' says it",
    "auto_scale_loss": "float16 networks get a scaled loss, as in Keras",
}
RATE_SETTERS = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


def require_known(arguments: Iterable[str]) -> None:
    """Refuses what Keras' `compile` takes and a distiller's does not.

    Raises:
        ValueError: names the argument and the remedy.
        TypeError: nobody's `compile` takes it.
    """
    for name in arguments:
        if name not in SAID_OTHERWISE:
            raise TypeError(f"compile: there is no argument {name!r}")
        raise ValueError(f"compile: {name} is not taken: {SAID_OTHERWISE[name]}; leave it out")


def chosen_optimizers(
    given: Mapping[str, Choice] | OneForAll | None, one: OneForAll | None, plan: Sequence[Phase]
) -> dict[str, Choice]:
    """The optimizers or settings by group or update, from what `compile` was given.

    Args:
        given: its first argument, by group or update, or one for all as in Keras.
        one: `optimizer=`, one for all.
        plan: whose updates get a copy each of what is for all.

    Raises:
        ValueError: both were given, or what is no optimizer.
    """
    by_name = isinstance(given, Mapping) and "class_name" not in given
    if given is not None and one is not None:
        raise ValueError("optimizer: one for all, or optimizers by group and update; not both")
    if by_name:
        return dict(given)  # type: ignore[arg-type]
    one = one if given is None else given
    if one is None:
        return {}
    return {update.name: _copy(one) for phase in plan for update in phase.updates()}


def _copy(one: OneForAll) -> Choice:
    """A new optimizer like `one`, without its state; settings are no state."""
    if isinstance(one, optimizers.OptimizerSettings):
        return one
    if not isinstance(one, keras.optimizers.Optimizer | str | Mapping):
        raise ValueError(
            "optimizer: must be OptimizerSettings, a Keras optimizer, its config or name, such as 'adam', or a dict "
            f"by group and update; not {one!r:.80}"
        )
    try:
        # Of an instance `get` would give the same one, which can serve one update only.
        if isinstance(one, keras.optimizers.Optimizer):
            return type(one).from_config(one.get_config())
        return keras.optimizers.get(dict(one) if isinstance(one, Mapping) else one)
    except Exception as error:  # whatever a config holds
        if isinstance(one, str):
            raise ValueError(f"optimizer: Keras has no {one!r}; give a name such as 'adam', or an optimizer") from error
        reason = " ".join(str(error).split())
        raise ValueError(
            f"optimizer: {one!r:.80} cannot be made anew for every update ({reason:.80}); give "
            "compile({update: optimizer}) one for each"
        ) from None


def listed(callbacks: Any) -> list[keras.callbacks.Callback]:
    """What `fit` was given as callbacks: none, one, several or Keras' own list of them, as a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return [one for one in keras.tree.flatten(callbacks) if one is not None]


def check_callbacks(
    callbacks: Iterable[keras.callbacks.Callback],
    optimizer: OptimizersAsOne,
    plan: Sequence[Phase],
    rising: Sequence[str],
) -> None:
    """Refuses, before the first step, callbacks that would fail or do harm later, and infers directions.

    Args:
        callbacks: those of `fit`.
        optimizer: of the distiller.
        plan: its phases.
        rising: the metrics of which more is better; of every other score less is.

    Raises:
        ValueError: names the callback and the remedy.
    """
    for one in callbacks:
        kind = type(one).__name__
        if isinstance(one, RATE_SETTERS):
            for named in optimizer.optimizers:
                require_settable(named.name, named.rule, kind)
        if isinstance(one, keras.callbacks.ModelCheckpoint) and not one.save_weights_only:
            raise ValueError(
                f"{kind}: a distiller is not saved as a model; with save_weights_only=True and a path that ends in "
                ".weights.h5 it saves networks, helpers and optimizers"
            )
        if isinstance(one, keras.callbacks.SwapEMAWeights):
            if not any(getattr(named, "use_ema", False) for named in optimizer.optimizers):
                raise ValueError(f"{kind}: no optimizer averages weights; compile with one that has use_ema=True")
            if one.swap_on_epoch and len(plan) > 1:
                raise ValueError(
                    f"{kind}: swap_on_epoch=True would mix up the averages of several phases; leave it out"
                )
        if isinstance(getattr(one, "monitor", None), str) and getattr(one, "mode", None) == "auto":
            # Keras knows the direction of its own metrics only.
            one.mode = "max" if one.monitor.rsplit("/", 1)[-1] in rising else "min"


def require_class_weight(class_weight: Any, data: Any, classes: int) -> None:
    """Refuses weights of classes that Keras would pass over, or fail at without a word of them.

    Args:
        class_weight: what `fit` was given.
        data: whose batches must not be dicts, in which Keras finds no labels.
        classes: how many the networks tell apart.

    Raises:
        ValueError: says what would be right.
    """
    if class_weight is None:
        return
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight: must be a dict, such as {{0: 2.0, 3: 0.5}}, not {shown(class_weight)}")
    for label, weight in class_weight.items():
        if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < classes:
            raise ValueError(f"class_weight: {shown(label)} is no class, the {classes} classes are 0 to {classes - 1}")
        check(f"class_weight: that of class {label}", weight, float, Number(0))
    if class_weight and isinstance(data, tf.data.Dataset) and isinstance(data.element_spec, Mapping):
        raise ValueError("class_weight: needs batches (images, labels); of dicts, 'weight' says it")


@contextlib.contextmanager
def whole_or_not_at_all(variables: Sequence[keras.Variable], path: Any) -> Iterator[None]:
    """Where Keras finds, half-way through, that a weights file does not fit, the variables are as they were before.

    Args:
        variables: what the block may change.
        path: of the file.

    Raises:
        ValueError: the file does not fit; in one line, where Keras has a warning per layer and a list of objects.
    """
    before = [variable.numpy() for variable in variables]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
            yield
    except ValueError as error:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        first = str(error).partition("\n")[0].partition(". Example")[0]
        raise ValueError(
            f"load_weights: {path} does not fit ({first}); it has to be of the same method, with the same networks in "
            "the same order"
        ) from error


def warn_of_lost_state(path: Any) -> None:
    """Warns where a weights file holds the state of optimizers that are not made yet.

    Args:
        path: of the file.
    """
    with h5py.File(path, "r") as file:
        holds = "update_optimizers" in file
    if holds:
        warnings.warn(
            "load_weights: the optimizers are not made yet, so their state in the file is left out; "
            "prepare(steps_per_epoch=..., epochs=...) before makes them",
            stacklevel=3,
        )


def resolved_xla(xla: str | bool, run_eagerly: bool, models: Iterable[keras.Model]) -> bool:
    """Whether XLA compiles, as `compile` was told; with "auto" where a GPU is used, and can.

    TensorFlow keeps int32 variables of a GPU in the host's memory, where a compiled step cannot read them.

    Args:
        xla: what `compile` was told.
        run_eagerly: likewise.
        models: all that a step calls.

    Raises:
        ValueError: another value, nothing that it could compile, or an int32 variable and a GPU.
    """
    if xla in ("off", False):
        return False
    if xla not in ("on", True, "auto"):
        raise ValueError(f"xla: {xla!r} is none of 'auto', 'on', 'off'")
    if run_eagerly:
        if xla != "auto":
            raise ValueError("run_eagerly: XLA compiles a graph, and there would be none; leave xla out")
        return False
    gpu = bool(tf.config.list_logical_devices("GPU"))
    held = [one.path for model in models for one in model.variables if one.dtype == "int32"] if gpu else []
    if held:
        said = f"a compiled step on a GPU cannot read {held[0]}{and_more(held)}, an int32 variable"
        if xla != "auto":
            raise ValueError(f"xla: {said}; make it int64, or leave xla out")
        warnings.warn(f"xla: {said}, so that XLA is off; int64 would leave it on", stacklevel=3)
    return not held and (gpu or xla != "auto")
