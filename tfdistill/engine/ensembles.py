"""An ensemble as a model of its own."""

from __future__ import annotations

import keras

from tfdistill.engine.distiller import Distiller


def ensemble_model(distiller: Distiller) -> keras.Model:
    """The ensemble of a method as a functional model called "ensemble", from images to its `"logits"`.

    Its layers are the networks' and helpers' own: it computes what evaluation scores, and has no weights besides.

    Args:
        distiller: `call_networks` and `ensemble` of it must take symbolic tensors.
    """
    images = keras.Input(distiller.networks[0].input_shape[1:], name="images")
    taps = distiller.call_networks(images, lambda model, inputs: model(inputs))
    return keras.Model(images, {"logits": distiller.ensemble(taps)["logits"]}, name="ensemble")
