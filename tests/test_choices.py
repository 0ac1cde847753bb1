"""Choices are stated in signatures: as types for whoever writes code, and for checks and flags, which read them."""

from typing import get_args

import pytest

from tfdistill import losses
from tfdistill.bounds import annotated, checked
from tfdistill.engine.updates import ORDERS
from tfdistill.helpers import auxiliary_heads
from tfdistill.methods import METHODS, afd, dcm, kdcl
from tfdistill.methods.arguments import Order
from tfdistill.networks.architectures.mobilenet import HALVING_WIDTHS, INITIALIZATIONS, mobilenet
from tfdistill.networks.architectures.resnet import COUNTED, cifar_bottleneck_resnet, cifar_resnet
from tfdistill.networks.architectures.wide_resnet import wide_resnet
from tfdistill.transfers import inheritance, map_distance

# What each choice is looked up in.
TABLES = {
    ("dml", "update"): ORDERS,
    ("afd", "adversarial"): afd.FEATURE_GROUPS,
    ("alignment", "distance"): map_distance.ORDERS_OF_DISTANCE,
    ("dcm", "head_kind"): auxiliary_heads.KINDS,
    ("dcm", "pairs"): dcm.PAIRS,
    ("dcm", "update"): ORDERS,
    ("ie_dml", "split"): inheritance.SPLITS,
    ("ie_dml", "metric"): losses.INHERITANCE_METRICS,
    ("ie_dml", "reconstruction"): inheritance.ORDERS_OF_RECONSTRUCTION,
    ("ie_dml", "update"): ORDERS,
    ("kdcl", "target"): kdcl.TARGETS,
    ("mutual", "update"): ORDERS,
}
# The choices of the networks' builders, which no flag shows.
BUILDERS = {
    (cifar_resnet, "shortcut"): ("A", "B"),
    (cifar_resnet, "initialization"): ("usual", "ie_kd"),
    (cifar_bottleneck_resnet, "counted_as"): tuple(COUNTED),
    (wide_resnet, "initialization"): ("usual", "dcm"),
    (mobilenet, "strides"): tuple(HALVING_WIDTHS),
    (mobilenet, "initialization"): ("", *INITIALIZATIONS),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_choices_are_those_it_looks_up(method):
    stated = {
        argument: bounds.names
        for argument, (kind, bounds) in annotated(METHODS[method].__init__).items()
        if kind is str and hasattr(bounds, "names")
    }
    assert stated == {argument: tuple(table) for (name, argument), table in TABLES.items() if name == method}


def test_a_builders_choices_are_those_it_looks_up():
    for (builder, argument), table in BUILDERS.items():
        assert annotated(builder)[argument][1].names == table, (builder.__name__, argument)


def test_a_literal_is_checked_as_bounds_are():
    @checked
    def ordered(update: Order = "joint") -> str:
        return update

    assert ordered() == ordered("joint") == "joint" and get_args(Order) == tuple(ORDERS)
    with pytest.raises(ValueError, match=r"^update: 'jiont' is none of alternating, joint; nearest: joint$"):
        ordered("jiont")
    with pytest.raises(ValueError, match=r"^update: must be alternating or joint, not 3$"):
        ordered(3)
