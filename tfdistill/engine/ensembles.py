"""An ensemble as a model of its own."""

from __future__ import annotations

import keras

from tfdistill.engine.distiller import Distiller


def ensemble_model(distiller: Distiller) -> keras.Model:
    """The ensemble of a method as a functional model, from images to the task's answer, under the task's name for it.

    Its layers are the networks' and helpers' own: it computes what evaluation scores, and has no weights besides.

    Args:
        distiller: `call_networks` and `ensemble` of it must take symbolic tensors.
    """
    images = keras.Input(distiller.networks[0].input_shape[1:], name="images")
    taps = distiller.call_networks(images, lambda model, inputs: model(inputs))
    output, name = distiller.task.output, distiller.task.ensemble_name
    return keras.Model(images, {output: distiller.ensemble(taps)[output]}, name=name)
