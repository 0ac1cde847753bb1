"""What the tests of data share."""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from tfdistill.data import checking, reading


def _peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


@pytest.fixture
def peak_growth() -> Callable[[Callable[[], object]], int]:
    """Calls a function; says by how many bytes the memory in use has grown at most meanwhile.

    The peak is reset before, as one of an earlier test would hide any that is lower.
    """

    def measured(action: Callable[[], object]) -> int:
        Path("/proc/self/clear_refs").write_text("5")
        before = _peak()
        action()
        return _peak() - before

    return measured


def _traced_once(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """The function of one encoded image, whose graph is made once for the same further arguments."""

    @functools.cache
    def traced(*further: object) -> Callable[[tf.Tensor], tf.Tensor]:
        with tf.init_scope():
            made = tf.function(lambda content: function(content, *further), autograph=False)
            return made.get_concrete_function(tf.TensorSpec([], tf.string))

    return lambda content, *further: traced(*further)(content)


_DECODERS = [
    (module, name, _traced_once(getattr(module, name)))
    for module, name in ((checking, "try_decoding"), (reading, "readable"), (reading, "evaluated"))
]


@pytest.fixture
def decoders_traced_once(monkeypatch):
    """Every load decodes by the product's own functions, whose graphs the tests share: each takes half a second.

    TensorFlow's graph optimizer, which would look through them again for every load, is off: what is found, refused and
    counted depends on no operation's speed.
    """
    for module, name, traced in _DECODERS:
        monkeypatch.setattr(module, name, traced)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
