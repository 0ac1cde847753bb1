"""What runs of made-up networks leave out."""

import json

import pytest


@pytest.fixture(scope="session")
def card_alone():
    """Stands in for `export_network`: a version with a card, and no SavedModel."""

    def exported(network, folder, *, card, **others):
        version = folder / str(len(list(folder.glob("[0-9]*"))) + 1)
        version.mkdir(parents=True)
        (version / "model_card.json").write_text(json.dumps(dict(card)))
        return version

    return exported
