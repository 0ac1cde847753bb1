"""Layers of ours are known to Keras by their names: `import tfdistill` is enough for `keras.models.load_model`.

They are registered when their modules are imported, which imports Keras. Where Keras is not imported yet, it is not
imported for this: they are registered as soon as somebody imports it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tfdistill import lazy


def register() -> None:
    """Imports the modules whose layers networks and helpers are saved with, and whose losses Keras' distillers are."""
    from tfdistill.helpers import connectors, factors, review  # noqa: F401
    from tfdistill.networks import answers, attached_boxes, convolutions, layers, own_images  # noqa: F401
    from tfdistill.transfers import keras_losses  # noqa: F401


@contextlib.contextmanager
def _then_register() -> Iterator[None]:
    yield
    register()


if "keras" in sys.modules:
    register()
else:
    lazy.around_import("keras", _then_register)
