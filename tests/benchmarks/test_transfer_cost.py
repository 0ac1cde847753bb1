"""Multiply-adds read off graphs, and the rows of what transfers cost."""

import argparse
import importlib

import pytest
import tensorflow as tf

from tfdistill.methods import METHODS
from tfdistill.transfers import TRANSFERS


@pytest.fixture(scope="module")
def operations():
    return importlib.import_module("graph_operations")


@pytest.fixture(scope="module")
def cost():
    return importlib.import_module("transfer_cost")


def graph_of(function, *shapes):
    return (
        tf.function(function, autograph=False)
        .get_concrete_function(*(tf.TensorSpec(one, tf.float32) for one in shapes))
        .graph
    )


@pytest.mark.parametrize(
    ("product", "shapes", "count"),
    [
        (lambda x, y: tf.nn.conv2d(x, y, 2, "SAME"), [(5, 8, 8, 3), (3, 3, 3, 7)], 5 * 16 * 7 * 9 * 3),
        (lambda x, y: tf.nn.depthwise_conv2d(x, y, [1, 2, 2, 1], "SAME"), [(5, 8, 8, 3), (3, 3, 3, 2)], 5 * 16 * 6 * 9),
        (tf.matmul, [(4, 5), (5, 6)], 4 * 5 * 6),
        (lambda x, y: tf.matmul(x, y, transpose_a=True), [(2, 5, 4), (2, 5, 6)], 2 * 4 * 5 * 6),
        (lambda x, y: tf.matmul(x, y, transpose_b=True), [(2, 4, 5), (2, 6, 5)], 2 * 4 * 5 * 6),
        (lambda x, y: tf.einsum("bhc,co->bo", x, y), [(2, 3, 4), (4, 5)], 2 * 4 * 5),
    ],
)
def test_products_are_those_worked_by_hand_and_each_gradient_is_as_much_again(operations, product, shapes, count):
    assert operations.multiply_adds(graph_of(product, *shapes)) == count

    def slopes(x, y):
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            value = tf.reduce_sum(product(x, y) ** 2)
        return tape.gradient(value, [x, y])

    assert operations.multiply_adds(graph_of(slopes, *shapes)) == 3 * count


def test_a_loop_counts_as_often_as_it_runs_a_branch_if_it_is_the_shorter_and_what_nobody_reads_not_at_all(operations):
    def function(x):
        tf.matmul(x, x)
        inner = tf.function(lambda row: tf.linalg.matvec(x, row))
        return tf.map_fn(inner, x)

    assert operations.multiply_adds(graph_of(function, (4, 4))) == 4 * 16
    either = graph_of(lambda x: tf.cond(x[0, 0] > 0.0, lambda: x @ x @ x, lambda: x @ x), (4, 4))
    assert operations.multiply_adds(either) == 64
    endless = graph_of(lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 9.0, lambda y: (y @ y,), [x]), (4, 4))
    with pytest.raises(ValueError, match="multiplies in a loop of unknown length"):
        operations.multiply_adds(endless)
    with pytest.raises(ValueError, match="a product of unknown shape"):
        operations.multiply_adds(graph_of(lambda x: x @ x, (None, None)))


def test_a_student_is_taught_by_every_transfer_and_by_methods_of_one_teacher(cost):
    assert set(TRANSFERS) <= set(cost.cases()) <= set(TRANSFERS) | set(METHODS)
    assert "distillation" not in cost.cases()


def test_a_row_has_medians_of_ratios_and_says_what_is_slow(cost, operations):
    """The pair's numbers by hand: a stem, a block for each stage, projections, a classifier."""
    arguments = argparse.Namespace(student="resnet8", teacher="resnet8", batch_size=2)
    stages = (
        2 * 9 * 16 * 16 * 1024
        + (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) * 256
        + (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) * 64
    )
    stem, classifier = 27 * 16 * 1024, 64 * 100
    network = stem + stages + classifier
    distiller = cost.build("fitnet", arguments)
    cost.ready(distiller)
    step = tf.function(distiller.train_step, autograph=False).get_concrete_function(cost.batch_of(2))
    found = operations.multiply_adds(step.graph)
    # No gradient for images, and of the teacher the layers as far as its second stage alone.
    last_stage = (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) * 64
    regressor = 32 * 32 * 256
    assert found == 2 * (3 * network - stem + network - last_stage - classifier + 3 * regressor)
    times = {"kd": [0.2, 0.01, 0.02], "fitnet": [0.2, 0.04, 0.06]}
    each = {"kd": {"multiply_adds": 1e9, "mebibytes": 3.0}, "fitnet": {"multiply_adds": 2e9, "mebibytes": 1234.4}}
    row = cost.row("fitnet", distiller, times, each)
    assert row == ["`fitnet`", "1,088", "64", "2.00 G", "2.00", "60 ms", "3.00", "**1.50**", "1,234 MiB"]


def test_the_page_has_a_place_for_the_costs_and_names_none_that_is_not_there(cost):
    page = cost.PAGE.read_text(encoding="utf-8")
    assert cost.BEGINS in page and cost.ENDS in page
    costs = page.partition(cost.BEGINS)[2].partition(cost.ENDS)[0]
    named = [line.split("|")[1].strip(" `") for line in costs.splitlines() if line.startswith("| `")]
    assert set(named) <= set(cost.cases()) and len(set(named)) == len(named)
