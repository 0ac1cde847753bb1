"""Named streams are the children of one seed that weights were always drawn from."""

import numpy as np

from tfdistill.runs.config import MOST_NETWORKS, RunConfig
from tfdistill.runs.streams import STREAMS, stream_seed


def test_streams_are_the_children_of_the_seed_in_their_order():
    children = [int(one.generate_state(1)[0]) for one in np.random.SeedSequence(7).spawn(1 + MOST_NETWORKS)]
    assert stream_seed(7, "method") == children[0]
    assert [stream_seed(7, "networks", index) for index in range(MOST_NETWORKS)] == children[1:]


def test_no_stream_reaches_into_another():
    reach = {"method": 1, "networks": MOST_NETWORKS, "transfers": 1, "unlabelled": 1}
    children = [STREAMS[name] + index for name in STREAMS for index in range(reach[name])]
    assert len(set(children)) == len(children)


def test_the_networks_of_a_run_each_have_a_name_and_a_seed_of_their_own():
    peers = RunConfig(networks=("resnet8", "resnet14", "resnet8:runs/first"), seed=3).specifications
    assert [one.name for one in peers] == ["resnet8_1", "resnet14", "resnet8_2"]
    assert [one.text for one in peers] == ["resnet8", "resnet14", "resnet8:runs/first"]
    assert [one.seed for one in peers] == [stream_seed(3, "networks", index) for index in range(3)]
