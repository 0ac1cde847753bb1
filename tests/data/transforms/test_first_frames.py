"""Of a moving GIF the first frame is cut out, whatever its blocks look like, and no other is decoded."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data.transforms.decoding import decode
from tfdistill.data.transforms.first_frames import first_frame

FRAME = tf.function(first_frame, input_signature=[tf.TensorSpec([], tf.string)])
RNG = np.random.default_rng(0)


def gif(frames: int, size: tuple[int, int] = (40, 50), **settings) -> bytes:
    images = [Image.fromarray(RNG.integers(0, 256, size, dtype=np.uint8)).convert("P") for _ in range(frames)]
    file = io.BytesIO()
    images[0].save(file, "gif", save_all=True, append_images=images[1:], duration=50, **settings)
    return file.getvalue()


def sub_blocks(data: bytes, lengths: list[int]) -> bytes:
    """The data in blocks of these lengths, in turns."""
    blocks, number = b"", 0
    while data:
        length = lengths[number % len(lengths)]
        blocks += bytes([len(data[:length])]) + data[:length]
        data, number = data[length:], number + 1
    return blocks + b"\0"


def joined(blocks: bytes) -> bytes:
    data = b""
    while blocks and blocks[0]:
        data, blocks = data + blocks[1 : 1 + blocks[0]], blocks[1 + blocks[0] :]
    return data


@pytest.mark.parametrize("settings", [{}, {"loop": 0, "comment": b"x" * 700}, {"interlace": True}])
def test_the_first_frame_alone_is_kept(settings):
    moving = gif(4, **settings)
    shorter, size = FRAME(moving)
    with Image.open(io.BytesIO(shorter.numpy())) as found, Image.open(io.BytesIO(moving)) as expected:
        assert (found.n_frames, expected.n_frames) == (1, 4)
        np.testing.assert_array_equal(found.convert("RGB"), expected.convert("RGB"))
        np.testing.assert_array_equal(decode(moving), expected.convert("RGB"))
    assert size.numpy().tolist() == [40, 50] and len(shorter.numpy()) < len(moving) / 3


@pytest.mark.parametrize("lengths", [[255], [1], [254, 255], [7, 7, 7, 200], list(range(1, 256))])
def test_blocks_of_any_length(lengths):
    still = gif(1)
    descriptor = still.rindex(struct.pack("<BHHHH", 0x2C, 0, 0, 50, 40))
    begin = descriptor + 10 + (3 * 2 ** (still[descriptor + 9] % 8 + 1) if still[descriptor + 9] & 128 else 0) + 1
    again = still[:begin] + sub_blocks(joined(still[begin:]), lengths)
    assert FRAME(again + b"\x21\xfe\x03abc\0;")[0].numpy() == again + b";"
    np.testing.assert_array_equal(decode(again), decode(still))


def test_many_large_frames_take_the_memory_of_one(peak_growth):
    frame = np.zeros((1500, 1500), np.uint8)
    file = io.BytesIO()
    images = [Image.fromarray(frame + number).convert("P") for number in range(2)]
    images[0].save(file, "gif", save_all=True, append_images=images[1:])
    two = file.getvalue()
    one = FRAME(two)[0].numpy()
    # The second frame again and again: 400 frames of 1500 x 1500 are 900 MB as indices, 2.7 GB as colours.
    moving = one[:-1] + two[len(one) - 1 : -1] * 399 + b";"
    assert len(moving) < 5e6
    decode(one)
    assert peak_growth(lambda: np.testing.assert_array_equal(decode(moving), decode(one))) < 1e8


@pytest.mark.parametrize("contents", [b"GIF89a", b"GIF89a" + bytes(40), gif(1)[:900]])
def test_without_a_whole_frame_there_is_nothing(contents):
    shorter, size = FRAME(contents)
    assert shorter.numpy() == b"" and size.numpy().tolist() == [0, 0]
    with pytest.raises(tf.errors.OpError):
        decode(contents)
