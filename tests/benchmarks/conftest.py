import pathlib

import pytest


@pytest.fixture(scope="package", autouse=True)
def scripts_on_the_path():
    """The scripts of benchmarks/ import each other as modules that lie beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
        yield
