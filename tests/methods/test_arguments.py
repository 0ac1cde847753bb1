"""What methods say of wrong arguments."""

import pytest

from tfdistill.methods import arguments
from tfdistill.networks.taps import features_of


def test_choose_returns_the_choice():
    assert arguments.choose("metric", "two", {"one": 1, "two": 2}) == 2


def test_choose_names_the_argument_and_the_nearest_choice():
    with pytest.raises(ValueError) as error:
        arguments.choose("metric", "tow", {"one": 1, "two": 2})
    assert str(error.value) == "metric: 'tow' is none of one, two; nearest: two"


def test_features_of_a_network(tiny):
    assert features_of(tiny.network("one", channels=4)).shape == (None, 4, 4, 4)
