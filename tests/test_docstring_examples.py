"""The examples in the docstrings of the public API run, and give what they say."""

import doctest
import inspect

import pytest

import tfdistill

PUBLIC = [
    name
    for name in tfdistill.__all__
    if inspect.isclass(getattr(tfdistill, name)) or inspect.isfunction(getattr(tfdistill, name))
]


def run(name):
    """What the examples of a public class or function print otherwise than they say; None: it has none."""
    finder = doctest.DocTestFinder(recurse=False)
    (found,) = finder.find(getattr(tfdistill, name), name, globs={"tfdistill": tfdistill})
    if not found.examples:
        return None
    complaints = []
    doctest.DocTestRunner(verbose=False).run(found, out=complaints.append)
    return "".join(complaints)


@pytest.mark.filterwarnings("ignore:networks. several are called")
@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example_that_runs(name, tmp_path, monkeypatch, plain_decoding):
    monkeypatch.chdir(tmp_path)
    complaints = run(name)
    assert complaints is not None, f"tfdistill.{name} has no example"
    assert complaints == ""


def test_an_example_that_is_wrong_is_found(monkeypatch):
    def wrong():
        """
        >>> 1 + 1
        3
        """

    monkeypatch.setattr(tfdistill, "wrong", wrong, raising=False)
    assert "Expected:\n    3\nGot:\n    2" in run("wrong")
