"""What is read off a network's symbolic taps."""

from tfdistill.networks.taps import features_of


def test_features_of_a_network(tiny):
    assert features_of(tiny.network("one", channels=4)).shape == (None, 4, 4, 4)
