"""The forward passes that the rounds of one batch need, each made once for as long as it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tfdistill.engine.updates import Phase, Round, Update
from tfdistill.networks.graphs import layers_of
from tfdistill.taps import CallModel


class ForwardPasses:
    """Calls models for the rounds of a phase on one batch, and takes over from earlier rounds what still holds.

    A model whose weights have not moved since it was called, and whose inputs are the same tensors, would give the same
    outputs again. They are taken over instead, together with what the tapes of the coming rounds have recorded of
    them. So K networks that are updated in turn cost 2K − 1 forward passes on a batch and not K².

    Running statistics are moved as often as before: each call in training mode moves those of batch normalization by
    `r <- momentum * r + (1 - momentum) * b`, and with the same batch statistics b the move can be repeated without the
    pass. A model with other state that training may move (the generator of dropout's masks, say) is always called anew,
    so that it draws as often as it would.

    An instance serves one batch, in one trace.

    Args:
        phase: whose rounds follow each other on the batch.
        rounds: of the phase, those that this instance serves; nothing is taken over from or by others.
        call: calls a model in the mode of the phase.
    """

    def __init__(self, phase: Phase, rounds: Sequence[Round], call: CallModel) -> None:
        self.rounds = rounds
        self._phase, self._call = phase, call
        self._tapes = [[_tape_of(update) for update in one.updates] for one in rounds]
        self._position = 0
        self._held: dict[tuple[int, int], _Held] = {}

    @contextlib.contextmanager
    def recording(self, position: int) -> Iterator[list[tf.GradientTape]]:
        """Records what happens in the block on the tapes of the round at `position`, a tape per update, and gives them.

        Each tape watches the variables that its update owns, and nothing else: ownership by construction.
        """
        self._position = position
        with _recorded_on(self._tapes[position]):
            yield self._tapes[position]

    def call_model(self, model: keras.Model, inputs: Any) -> Any:
        """The outputs of `model` for the round that is being recorded."""
        held = self._held.get((id(model), id(inputs)))
        if held and self._position < held.until:
            for moved in held.moves:
                moved.again()
            return held.outputs
        statistics = _running_statistics(model) if self._phase.moves(model) else []
        until = self._position + 1 if statistics is None else self._first_round_after_a_move(model)
        if statistics is None or until == self._position + 1:
            return self._call(model, inputs)
        # The coming rounds that will take this over need it on their tapes; those of this round are recording already.
        with _recorded_on([tape for tapes in self._tapes[self._position + 1 : until] for tape in tapes]):
            before = [tf.convert_to_tensor(variable) for variable, _ in statistics]
            outputs = self._call(model, inputs)
            moves = [_Move.seen(*statistic, old) for statistic, old in zip(statistics, before, strict=True)]
        self._held[id(model), id(inputs)] = _Held(inputs, outputs, until, moves)
        return outputs

    def _first_round_after_a_move(self, model: keras.Model) -> int:
        for position in range(self._position, len(self.rounds)):
            if self.rounds[position].moves(model):
                return position + 1
        return len(self.rounds)


@dataclass(frozen=True)
class _Move:
    """A move of a running statistic that can be made again: `r <- kept * r + gained`."""

    variable: keras.Variable
    kept: float
    gained: tf.Tensor

    @classmethod
    def seen(cls, variable: keras.Variable, kept: float, before: tf.Tensor) -> _Move:
        return cls(variable, kept, tf.convert_to_tensor(variable) - kept * before)

    def again(self) -> None:
        self.variable.assign(self.kept * tf.convert_to_tensor(self.variable) + self.gained)


@dataclass(frozen=True)
class _Held:
    """What a call gave: valid before the round `until`. It holds the inputs, so that no other object gets their id."""

    inputs: Any
    outputs: Any
    until: int
    moves: Sequence[_Move]


def _tape_of(update: Update) -> tf.GradientTape:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in update.variables()])
    return tape


@contextlib.contextmanager
def _recorded_on(tapes: Sequence[tf.GradientTape]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for tape in tapes:
            stack.enter_context(tape)
        yield


def _running_statistics(model: keras.Model) -> list[tuple[keras.Variable, float]] | None:
    """Batch normalization's running statistics, each with the share that a move keeps; `None`: there is more state."""
    found = []
    for layer in layers_of(model):
        if isinstance(layer, keras.layers.BatchNormalization) and not getattr(layer, "renorm", False):
            found += [(variable, layer) for variable in (layer.moving_mean, layer.moving_variance)]
    known = {id(variable) for variable, _ in found}
    if any(id(variable) not in known for variable in model.non_trainable_variables):
        return None
    return [(variable, float(layer.momentum)) for variable, layer in found if layer.trainable]
