import os
import runpy
import sys

import pytest

from tfdistill import startup


@pytest.fixture
def run(monkeypatch):
    """What running the module leaves in the environment's variable."""

    def run(before, *, tensorflow):
        if before is None:
            monkeypatch.delenv(startup.ONEDNN, raising=False)
        else:
            monkeypatch.setenv(startup.ONEDNN, before)
        if not tensorflow:
            monkeypatch.delitem(sys.modules, "tensorflow")
        module = runpy.run_path(startup.__file__)
        return module["os"].environ.get(startup.ONEDNN), module["onednn"]()

    return run


def test_onednn_is_switched_on_before_tensorflow(run):
    assert run(None, tensorflow=False) == ("1", "enabled")


def test_the_users_choice_stays(run):
    assert run("0", tensorflow=False) == ("0", "disabled")


@pytest.fixture
def environment(monkeypatch):
    """Sets the two variables that products depend on; None leaves one unset."""
    for name in (startup.PRODUCTS, startup.ONEDNN):
        monkeypatch.setenv(name, "")  # what stands there now comes back, whatever the code under test sets

    def environment(mode, onednn="1", tensorflow=False):
        for name, value in ((startup.PRODUCTS, mode), (startup.ONEDNN, onednn)):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        if not tensorflow:
            monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    return environment


@pytest.mark.parametrize("mode", [None, "", "BF16", "other"])
def test_products_are_what_is_asked_for_and_a_variable_that_says_otherwise_is_told(environment, mode):
    for name, value in (("bfloat16", "BF16"), ("float32", "")):
        environment(mode)
        told = startup.set_products(name)
        assert startup.products() == name and os.environ.get(startup.PRODUCTS, "") == value
        expected = f"{startup.PRODUCTS}={mode} is set aside, as --products={name} is what the run says"
        assert told == (expected if mode and mode != value else "")


def test_products_that_come_too_late_or_without_onednn_are_refused(environment):
    environment(None, tensorflow=True)
    assert "tensorflow" in sys.modules and startup.set_products("float32") == ""
    with pytest.raises(
        ValueError, match=r"^products: TensorFlow is imported already, for products in float32; bfloat16 "
    ):
        startup.set_products("bfloat16")
    environment("BF16", tensorflow=True)
    assert startup.set_products("bfloat16") == ""
    with pytest.raises(ValueError, match=r"^products: TensorFlow is imported already, for products in bfloat16; "):
        startup.set_products("float32")
    environment(None, onednn="0")
    with pytest.raises(ValueError, match=r"^products: bfloat16 products are oneDNN's, which TF_ENABLE_ONEDNN_OPTS=0 "):
        startup.set_products("bfloat16")
    environment("BF16", onednn="0")
    assert startup.products() == "float32"


def test_after_tensorflow_nothing_is_claimed(run):
    assert run(None, tensorflow=True) == (None, "TensorFlow's choice")
