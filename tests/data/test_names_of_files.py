"""Names that TensorFlow could not open."""

import os

import pytest
from PIL import Image

from tfdistill import data


@pytest.mark.parametrize("name", [b"train/caf\xe9/0.png", b"train/a/caf\xe9.png", b"test/a/caf\xe9.png"])
def test_a_name_in_latin_1_is_told_before_tensorflow_stumbles_over_it(tmp_path, name):
    paths = [os.path.join(os.fsencode(tmp_path), one) for one in (b"train/a/1.png", b"test/a/1.png", name)]
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            Image.new("RGB", (8, 8)).save(file, "PNG")
    with pytest.raises(ValueError, match=r"^data_dir: the name '.*caf\\udce9.*' is not in UTF-8, .*; rename it$"):
        data.load("image_folder", data_dir=tmp_path, image_size=8)
