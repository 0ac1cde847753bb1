"""The tables of learners and sources."""

import pytest

from tfdistill import topology


def test_everyone_learns_from_everyone_else():
    assert topology.all_pairs(["a", "b", "c"]) == (("a", ("b", "c")), ("b", ("a", "c")), ("c", ("a", "b")))
    assert topology.all_pairs(range(2)) == ((0, (1,)), (1, (0,)))


def test_cycle_passes_knowledge_on_to_the_next():
    pairs = topology.cycle(range(4))
    assert pairs == ((0, 3), (1, 0), (2, 1), (3, 2))
    assert [pair.source for pair in pairs if pair.learner == 1] == [0]


def test_two_items_are_the_mutual_pair():
    cycle = topology.cycle(["a", "b"])
    groups = topology.all_pairs(["a", "b"])
    assert [(group.learner, group.sources[0]) for group in groups] == [tuple(pair) for pair in cycle]


def test_equal_objects_are_told_apart_by_position():
    assert topology.all_pairs([[], []]) == (([], ([],)), ([], ([],)))


@pytest.mark.parametrize("function", [topology.all_pairs, topology.cycle])
@pytest.mark.parametrize("items", [(), ("alone",)])
def test_fewer_than_two_items_raise(function, items):
    with pytest.raises(ValueError, match=f"at least two learners, got {len(items)}"):
        function(items)
