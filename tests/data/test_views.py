"""Views: an example's image comes again after so many epochs, wherever in the order the example stands."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import (
    NORMALIZATIONS,
    Augmentation,
    Cutout,
    Mixing,
    RandAugment,
    Split,
    load,
    training_batches,
    view_batches,
)

EXAMPLES, BATCH, VIEWS = 22, 6, 2
STEPS = EXAMPLES // BATCH
RECIPE = {
    "seed": 5,
    "normalization": NORMALIZATIONS["c100"],
    "augmentation": Augmentation(pad=2, mode="reflect", flip=True),
    "randaugment": RandAugment(operations=1),
    "cutout": Cutout(3),
}


@pytest.fixture(scope="module")
def split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 10, 8, 3), dtype=np.uint8)
    return Split.in_memory(images, np.arange(EXAMPLES) % 5).take(np.arange(EXAMPLES)[::-1])


def train(split, **changes):
    return training_batches(split, **{**RECIPE, "batch_size": BATCH, "views": VIEWS, **changes})


def images_by_epoch(split, **changes) -> list[dict[int, np.ndarray]]:
    """For each of five epochs the image of each example, by its place in the original split."""
    found: list[dict[int, np.ndarray]] = [{} for _ in range(5)]
    for step, batch in enumerate(itertools.islice(train(split, **changes).as_numpy_iterator(), 5 * STEPS)):
        found[step // STEPS] |= dict(zip(batch["index"].tolist(), batch["images"], strict=True))
    return found


def test_an_image_comes_again_after_so_many_epochs_and_is_that_of_the_view(split):
    whole = images_by_epoch(split)
    views = []
    for view in range(VIEWS):
        batches = list(view_batches(split, view, batch_size=8, **RECIPE).as_numpy_iterator())
        index, images = (np.concatenate([batch[name] for batch in batches]) for name in ("index", "images"))
        assert index[:EXAMPLES].tolist() == split.index.tolist() and len(index) == 24
        views.append(dict(zip(index.tolist(), images, strict=True)))
    for epoch, found in enumerate(whole):
        assert len(found) == STEPS * BATCH
        for index, image in found.items():
            np.testing.assert_array_equal(image, views[epoch % VIEWS][index], err_msg=f"epoch {epoch}")
    # The order is new in every epoch, and the two views of an example are different images.
    assert list(whole[0]) != list(whole[2])
    assert sum(np.array_equal(image, views[1][index]) for index, image in views[0].items()) < EXAMPLES // 2
    assert len({image.tobytes() for view in views for image in view.values()}) > 1.5 * EXAMPLES


def test_parts_of_workers_and_what_goes_along_belong_to_the_same_examples(split):
    def along(view, positions):
        return {"told": 100 * view + positions}

    whole, *pieces = (
        list(itertools.islice(train(split, along=along, first_step=2, **part).as_numpy_iterator(), 3))
        for part in ({}, {"part": 0, "parts": 2}, {"part": 1, "parts": 2})
    )
    for step, (batch, *parts) in enumerate(zip(whole, *pieces, strict=True), start=2):
        for name, values in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values, err_msg=name)
        assert batch["told"].tolist() == [100 * (step // STEPS % VIEWS) + EXAMPLES - 1 - one for one in batch["index"]]


def test_random_crops_have_views_too(tmp_path):
    random = np.random.default_rng(0)
    for part, kind, number in itertools.product(("train", "test"), "ab", range(3)):
        path = tmp_path / part / kind / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(random.integers(0, 256, (20, 16, 3), dtype=np.uint8)).numpy())
    files = load("image_folder", data_dir=str(tmp_path), image_size=8, reading="crop").train
    recipe = {"seed": 5, "normalization": NORMALIZATIONS["none"], "augmentation": RECIPE["augmentation"]}
    first, other, again = training_batches(files, **recipe, batch_size=6, views=2, steps=3).as_numpy_iterator()
    in_order = [batch["images"][batch["index"].argsort()] for batch in (first, other, again)]
    np.testing.assert_array_equal(in_order[0], in_order[2])
    assert not np.array_equal(in_order[0], in_order[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"views": -1}, "views must be 0 or more, got -1"),
        ({"views": 0, "along": dict}, "along must be left out without views"),
        ({"mixing": Mixing(1.0), "classes": 5}, "views: an image that is mixed .* leave mixing out"),
        ({"balance": "sampling"}, "views: sampling draws .* give balance 'loss' or 'none'"),
    ],
)
def test_what_has_no_views_is_refused(split, changes, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        train(split, **changes)
