"""How a command starts: quiet logs, and the Keras settings that it needs, whatever the user's own are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tfdistill import keras_settings, lazy, startup
from tfdistill.standalone import process
from tfdistill.standalone.calling import program


def begin(command: str) -> None:
    """Takes this process for a command; call it before TensorFlow is imported, which it does not do itself.

    TensorFlow and Keras will be imported without notices. What Keras' own settings file or the environment say against
    what the command needs is set aside, and said; a file that Keras would refuse ends the process.

    Args:
        command: its name, such as "train".
    """
    process.begin(command)
    try:
        for line in keras_settings.own_process():
            print(f"{program(command)}: {line}", file=sys.stderr)
    except ValueError as error:
        print(f"{program(command)}: error: {error}", file=sys.stderr)
        sys.exit(2)
    lazy.around_import("tensorflow", lambda: process.quiet_imports(command))
    lazy.around_import("keras", lambda: _keras(command))


def compute_products(command: str, name: str) -> None:
    """Has this process compute products as a run says; call it before TensorFlow is imported.

    Args:
        command: its name.
        name: the run's --products.

    Raises:
        ValueError: TensorFlow is there already with others, or has no oneDNN.
    """
    if said := startup.set_products(name):
        print(f"{program(command)}: {said}", file=sys.stderr)


@contextlib.contextmanager
def _keras(command: str) -> Iterator[None]:
    with process.quiet_imports(command):
        yield
    keras_settings.apply()
