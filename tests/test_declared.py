"""What is read from the text of a class is what an import of it would say."""

import inspect

import pytest

from tfdistill import METHODS, declared
from tfdistill.runs.hyperparameters import NOT_HYPERPARAMETERS
from tfdistill.transfers import TRANSFERS

PLACES = [(METHODS, name) for name in METHODS] + [(TRANSFERS, name) for name in TRANSFERS]


@pytest.mark.parametrize(("lookup", "name"), PLACES, ids=[name for _, name in PLACES])
def test_every_class_reads_as_it_imports(lookup, name):
    read, made = declared.declared(lookup, name, NOT_HYPERPARAMETERS), lookup[name]
    expected = declared.of_class(made, NOT_HYPERPARAMETERS)
    assert list(read.arguments.items()) == list(expected.arguments.items())
    assert read.names == expected.names
    assert read.documentation == expected.documentation == inspect.getdoc(made)
    for attribute, value in read.attributes.items():
        assert value == getattr(made, attribute), attribute
    written = [
        one for one in ("protocol", "protocol_note", "source", "rebuilds_networks", "paper") if hasattr(made, one)
    ]
    assert set(written) <= set(read.attributes)


def test_a_class_that_a_program_has_added_is_asked_itself(monkeypatch):
    class Mine:
        """Says so."""

        protocol = "afd"

        def __init__(self, networks: list, *, weight: float = 2.0) -> None:
            pass

    monkeypatch.setitem(METHODS, "mine", Mine)
    found = declared.declared(METHODS, "mine")
    assert (found.documentation, found.arguments) == ("Says so.", {"weight": (2.0, float)})
    assert found.attributes["protocol"] == "afd"


def test_what_only_an_import_would_give_is_named(tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text(
        "import keras\nfrom tfdistill.bounds import Share\nHALF = 1 / 2\n\n\nclass Odd:\n"
        "    def __init__(self, share: Share = HALF, made: keras.Model = None):\n        pass\n"
    )
    monkeypatch.setattr(declared, "PACKAGE", tmp_path)
    assert declared.in_source("tfdistill.odd", "Odd", ("made",)).arguments["share"][0] == 0.5
    with pytest.raises(NameError, match=r"odd.py: keras.Model: name 'keras' is not defined; flags read it without"):
        declared.in_source("tfdistill.odd", "Odd")
