"""Networks of one name are told apart as the command does it."""

import pytest

import tfdistill
from tfdistill.networks import distinct
from tfdistill.networks.names import tell_apart


def test_numbers_only_where_a_name_comes_more_than_once():
    assert distinct(["a", "b", "a", "c"]) == ["a_1", "b", "a_2", "c"]
    assert distinct(["a", "a_1", "a", "a_3", "a"]) == ["a_2", "a_1", "a_4", "a_3", "a_5"]
    assert distinct([]) == []


def test_two_networks_of_one_architecture_are_peers(tmp_path):
    def resnet8():
        return tfdistill.networks.resnet8(classes=4, image_shape=(8, 8, 3))

    peers, other = [resnet8(), resnet8()], resnet8()
    other.save_weights(tmp_path / "before.weights.h5")
    paths = [variable.path for variable in peers[0].variables]
    with pytest.warns(UserWarning, match=r"^networks: several are called resnet8; they are resnet8_1, resnet8_2 now$"):
        distiller = tfdistill.DCM(peers, heads="C2")
    assert [one.name for one in distiller.networks] == ["resnet8_1", "resnet8_2"]
    assert list(distiller.helpers) == ["resnet8_1_C2", "resnet8_2_C2"]
    # What a weights file and an export know of a network is what it was.
    assert [variable.path for variable in peers[0].variables] == paths
    assert peers[0].architecture == "resnet8"
    peers[0].load_weights(tmp_path / "before.weights.h5")
    assert (peers[0].get_weights()[0] == other.get_weights()[0]).all()


def test_names_that_differ_stay_in_silence(recwarn, tiny_network):
    one, two = tiny_network("one", seed=1), tiny_network("two", seed=2)
    tell_apart([one, two])
    assert (one.name, two.name) == ("one", "two") and not recwarn.list
