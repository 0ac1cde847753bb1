"""What few images need costs the many one node: in graphs, in SavedModels; and what is left out by that is the same."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from tfdistill.data.transforms.crops import TRIES
from tfdistill.data.transforms.decoding import decode, evaluated, random_crop
from tfdistill.data.transforms.orientation import mentions_exif
from tfdistill.data.transforms.readings import Reading

STRING = tf.TensorSpec([], tf.string)
DRAWS = tf.TensorSpec([TRIES, 4], tf.int32)
# What the other formats and the search for an orientation are made of.
RARE = {"DecodeWebP", "While", "StatelessWhile", "DecodeRaw", "DecodePaddedRaw", "GatherV2", "ReverseV2", "Transpose"}


def common_nodes(graph: tf.compat.v1.GraphDef) -> list:
    """All nodes that are run or handed on as dead for every image: those of the graph and of functions within it."""
    functions = {one.signature.name: one for one in graph.library.function}
    nodes, seen, waiting = [], set(), [graph.node]
    while waiting:
        found = waiting.pop()
        nodes += found
        for node in found:
            for value in node.attr.values():
                for called in [value.func, *value.list.func]:
                    if called.name and called.name not in seen and not functions[called.name].attr["_noinline"].b:
                        seen.add(called.name)
                        waiting.append(functions[called.name].node_def)
    return nodes


def test_rare_formats_are_a_node_in_the_graph_that_decodes():
    reading = Reading("crop", scale=[0.1, 1.0], ratio=[0.5, 2.0])
    ways = {
        "decode": (lambda one, draws: decode(one), 80),
        "centre": (lambda one, draws: evaluated(one, (8, 8, 3), reading), 160),
        "crop": (lambda one, draws: random_crop(one, draws, (8, 8, 3), reading), 450),
    }
    for name, (way, most) in ways.items():
        traced = tf.function(way, input_signature=[STRING, DRAWS], autograph=False)
        nodes = common_nodes(traced.get_concrete_function().graph.as_graph_def())
        rare = RARE - ({"GatherV2"} if name == "crop" else set())
        assert not rare & {node.op for node in nodes}, name
        assert len(nodes) <= most, name


def test_rare_formats_are_a_node_in_a_saved_model_too(tmp_path):
    module = tf.Module()
    module.decode = tf.function(decode, input_signature=[STRING])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path)).decode
    nodes = common_nodes(loaded.get_concrete_function().graph.as_graph_def())
    assert not RARE & {node.op for node in nodes}
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    for form in ("png", "bmp"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        np.testing.assert_array_equal(loaded(tf.constant(file.getvalue())), pixels)


def test_a_second_graph_builds_no_function_again():
    names = []
    for _ in range(2):
        graph = tf.function(decode).get_concrete_function(STRING).graph.as_graph_def()
        names.append({one.signature.name for one in graph.library.function if one.attr["_noinline"].b})
    assert names[0] == names[1] != set()


def test_exif_data_is_mentioned_wherever_it_stands_between_any_bytes():
    rng = np.random.default_rng(0)
    mark = b"Exif\0\0"
    search = tf.function(mentions_exif, input_signature=[STRING])
    for length in (0, 1, 40, 3000):
        other = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        for place in (0, length // 2, length):
            around = other[:place], other[place:]
            assert search(mark.join(around))
            assert not search(mark[:5].join(around).replace(mark, b""))
            assert search((b"E\xffExExi" + mark[:5] + mark).join(around))
            assert search((mark + mark).join(around))
