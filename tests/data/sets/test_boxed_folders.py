"""Images with boxes in VOC's folders and COCO's files: what is read, counted, and refused in one line."""

import json
import re

import numpy as np
import pytest
from PIL import Image, ImageOps

from tfdistill.data import load
from tfdistill.data.sets import annotations, load_coco_json, load_voc_folder

pytestmark = pytest.mark.usefixtures("decoders_traced_once")

# Two parts of two images: (left, top, right, bottom) in continuous pixels, class and difficult of each object.
PARTS = {
    "train": {
        "a": ((40, 20), [((0, 0, 10, 20), "cat", False), ((30, 5, 40, 15), "dog", True)]),
        "b": ((20, 30), []),
    },
    "test": {
        "c": ((20, 20), [((5, 5, 10, 15), "dog", False)]),
        "d": ((10, 10), [((1, 2, 3, 4), "dog", False)]),
    },
}


def write_image(path, size, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 100, 50)).save(path)


def shade_of(name):
    return 20 * (1 + "abcd".index(name))


def xml(size, objects):
    boxes = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{left + 1}</xmin>"
        f"<ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for (left, top, right, bottom), name, difficult in objects
    )
    size = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation>{size}{boxes}</annotation>"


@pytest.fixture
def voc(tmp_path):
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (tmp_path / "Annotations").mkdir()
    for part, images in PARTS.items():
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in images))
        for name, (size, objects) in images.items():
            write_image(tmp_path / "JPEGImages" / f"{name}.jpg", size, shade_of(name))
            (tmp_path / "Annotations" / f"{name}.xml").write_text(xml(size, objects))
    return tmp_path


def coco_content(images):
    numbered = list(enumerate(images.items(), 5))
    return {
        "images": [
            {"id": key, "file_name": f"{name}.png", "width": size[0], "height": size[1]}
            for key, (name, (size, _)) in numbered
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {
                "image_id": key,
                "category_id": {"cat": 3, "dog": 9}[name],
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": int(difficult),
            }
            for key, (_, (_, objects)) in numbered
            for (left, top, right, bottom), name, difficult in objects
        ],
    }


@pytest.fixture
def coco(tmp_path):
    for part, images in PARTS.items():
        (tmp_path / f"{part}.json").write_text(json.dumps(coco_content(images)))
        for name, (size, _) in images.items():
            write_image(tmp_path / part / f"{name}.png", size, shade_of(name))
    return tmp_path


@pytest.fixture
def unread(monkeypatch):
    """Images are found and not decoded, which takes seconds to trace."""
    monkeypatch.setattr(annotations, "unreadable_positions", lambda split: np.empty(0, np.int64))
    monkeypatch.setattr(annotations, "into_memory", lambda split: split)


@pytest.mark.parametrize("kind", ["voc", "coco"])
def test_boxes_are_shares_of_their_images(kind, request, caplog):
    root = request.getfixturevalue(kind)
    loaded = {"voc": load_voc_folder, "coco": load_coco_json}[kind](root, image_size=16)
    assert loaded.class_names == ("cat", "dog")
    train, test = loaded.train, loaded.test
    assert (train.image_shape, train.labels.shape, test.labels.shape) == ((16, 16, 3), (2, 2, 6), (2, 1, 6))
    np.testing.assert_allclose(train.labels[0], [[0, 0, 1, 0.25, 0, 0], [0.25, 0.75, 0.75, 1, 1, 1]], atol=1e-6)
    assert (train.labels[1, :, 4] == -1).all(), "an image without objects stays"
    np.testing.assert_allclose(test.labels[:, 0, :5], [[0.25, 0.25, 0.75, 0.5, 1], [0.2, 0.1, 0.4, 0.3, 1]], atol=1e-6)
    assert abs(int(train.images[1, 8, 8, 0]) - shade_of("b")) <= 3
    (line,) = caplog.messages
    assert re.search(r"test\.(txt|json): there is no object to score on of cat$", line)


def test_bad_boxes_are_counted(voc, unread, caplog):
    objects = [
        ((-3, 5, 10, 25), "cat", 0),
        ((4, 4, 4, 9), "cat", 0),
        ((9, 9, 3, 12), "dog", 0),
        ((50, 2, 60, 9), "dog", 0),
        ((5, 5, 5 + 1e-9, 1e300), "dog", 0),
    ]
    (voc / "Annotations" / "a.xml").write_text(xml(None, objects))
    loaded = load_voc_folder(voc, image_size=8)
    np.testing.assert_allclose(loaded.train.labels[0], [[0.25, 0, 1, 0.25, 0, 0]], atol=1e-6)
    cut = "train.txt: boxes cut at the border of their images: 1; left out, as outside, without area or with swapped"
    assert cut in caplog.messages[0] and caplog.messages[0].endswith("corners: 4")
    assert "train.txt: there is no object to train on of dog" in caplog.messages[1]


def test_an_image_of_both_parts_is_told_of(voc, unread, caplog):
    (voc / "JPEGImages" / "c.jpg").write_bytes((voc / "JPEGImages" / "a.jpg").read_bytes())
    (voc / "Annotations" / "c.xml").write_text(xml((40, 20), PARTS["test"]["c"][1]))
    load_voc_folder(voc, image_size=8)
    assert "1 held-out image has the same bytes as a training image" in caplog.text


def test_the_larger_list_is_trained_on(voc, unread, caplog):
    lists = voc / "ImageSets" / "Main"
    (voc / "Annotations" / "d.xml").rename(voc / "Annotations" / "d and e.xml")
    (voc / "JPEGImages" / "d.jpg").rename(voc / "JPEGImages" / "d and e.JPG")
    (lists / "val.txt").write_text("c\n")
    (lists / "test.txt").write_text("c\n")
    assert len(load_voc_folder(voc, image_size=8).train) == 2
    assert f"{lists / 'val.txt'} is neither trained nor scored on" in caplog.text
    caplog.clear()
    (lists / "trainval.txt").write_text("\ufeffa  1\nb -1\n\nd and e\na\n", encoding="utf-8")
    assert len(load_voc_folder(voc, image_size=8).train) == 3
    assert "trainval.txt names images several times, which are taken once: 1 lines" in caplog.messages[0]
    assert "val.txt is neither" not in caplog.text


def test_boxes_turn_with_their_photographs(voc):
    """Measured as the photograph lies in its file, as it is shown, and by a tool that writes no size."""
    pixels, names = np.zeros([20, 40, 3], np.uint8), []
    pixels[2:8, 4:20, 0] = 255
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = voc / "JPEGImages" / f"turned{orientation}.jpg"
        Image.fromarray(pixels).save(path, exif=exif, quality=95)
        shown = np.array(ImageOps.exif_transpose(Image.open(path)))[..., 0] > 127
        rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        written = {"shown": xml(shown.shape[::-1], [(box, "cat", 0)]), "alone": xml(None, [(box, "cat", 0)])}
        if orientation > 4:
            written["lying"] = xml((40, 20), [((4, 2, 20, 8), "cat", 0)])
        for how, text in written.items():
            names.append(f"{how}{orientation}")
            (voc / "Annotations" / f"{names[-1]}.xml").write_text(text)
            (voc / "JPEGImages" / f"{names[-1]}.jpg").write_bytes(path.read_bytes())
    (voc / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(["a", *names]))
    train = load_voc_folder(voc, image_size=40).train
    assert len(train) == 21
    for image, (row, *_) in zip(train.images[1:, ..., 0], train.labels[1:], strict=True):
        top, left, bottom, right = np.rint(row[:4] * 40).astype(int)
        inside = image[top:bottom, left:right] > 127
        assert inside.mean() > 0.9 and (image > 127).sum() - inside.sum() < 40


def laughs():
    """Entities of entities, which would be a billion words."""
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE annotation [<!ENTITY e0 "ha">{lines}]><annotation>&e9;</annotation>'


def changed(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


VOC_FAULTS = {
    "neither .*trainval.txt nor train.txt beside it": lambda root: (root / "ImageSets/Main/train.txt").unlink(),
    "train.txt names a, and there is no .*a.xml": lambda root: (root / "Annotations/a.xml").unlink(),
    "a.xml is no XML: ": lambda root: (root / "Annotations/a.xml").write_text("<annotation><object>"),
    "a.xml is no XML: .*amplification": lambda root: (root / "Annotations/a.xml").write_text(laughs()),
    "a.xml is no annotation of VOC: it begins with <html>": lambda root: (root / "Annotations/a.xml").write_text(
        "<html><object/></html>"
    ),
    "a.xml: object 1: bndbox/xmin must be a number, not nan": lambda root: changed(
        root / "Annotations/a.xml", "<xmin>1<", "<xmin>nan<"
    ),
    "a.xml: object 1: difficult must be 0 or 1, not perhaps": lambda root: changed(
        root / "Annotations/a.xml", "<difficult>0", "<difficult>perhaps"
    ),
    "a.xml says that .*a.jpg has 1e\\+30x20 pixels, it has 40x20": lambda root: changed(
        root / "Annotations/a.xml", "<width>40<", "<width>1e30<"
    ),
    "train.txt has a line that is no name: ": lambda root: (root / "ImageSets/Main/train.txt").write_text("a\na\0\n"),
    "no image of .*test.txt has an object to score on, difficult ones aside": lambda root: [
        (root / "Annotations" / f"{name}.xml").write_text(xml(None, [((1, 2, 3, 4), "dog", 1)])) for name in "cd"
    ],
    "a.xml: object 2 has no bndbox/xmin": lambda root: changed(
        root / "Annotations/a.xml", "<xmin>31</xmin>", "<left>31</left>"
    ),
    "a.xml: object 1: bndbox/ymax must be a number, not ten": lambda root: changed(
        root / "Annotations/a.xml", "<ymax>20<", "<ymax>ten<"
    ),
    "c.xml has the unknown class 'dgo'; the nearest it has is 'dog'": lambda root: changed(
        root / "Annotations/c.xml", "dog", "dgo"
    ),
    "a.xml is about .*a.jpg, which is not there": lambda root: (root / "JPEGImages/a.jpg").unlink(),
    "b.jpg cannot be read: ": lambda root: (root / "JPEGImages/b.jpg").write_bytes(b"no image"),
    "d.jpg cannot be read: ": lambda root: (root / "JPEGImages/d.jpg").write_bytes(
        (root / "JPEGImages/d.jpg").read_bytes()[:300]
    ),
    "c.xml says that .*c.jpg has 20x20 pixels, it has 30x20": lambda root: write_image(
        root / "JPEGImages/c.jpg", (30, 20), 9
    ),
    "no image of .*train.txt has an object to train on; boxes cut .*: 0; left out, .* corners: 1": lambda root: (
        root / "Annotations/a.xml"
    ).write_text(xml((40, 20), [((9, 9, 3, 12), "dog", 0)])),
    "no image of .*train.txt has an object to train on$": lambda root: (root / "Annotations/a.xml").write_text(
        xml((40, 20), [])
    ),
    "test.txt names no image": lambda root: (root / "ImageSets/Main/test.txt").write_text("\n"),
}


@pytest.mark.parametrize("message", VOC_FAULTS)
def test_what_voc_folders_lack_is_one_line_that_names_the_file(voc, message):
    VOC_FAULTS[message](voc)
    with pytest.raises(ValueError, match=rf"^data_dir: .*{message}") as error:
        load_voc_folder(voc, image_size=8)
    assert "\n" not in str(error.value)


def with_json(name, change):
    def write(root):
        content = json.loads((root / f"{name}.json").read_text())
        change(content)
        (root / f"{name}.json").write_text(json.dumps(content))

    return write


COCO_FAULTS = {
    "there is no .*test.json": lambda root: (root / "test.json").unlink(),
    "train.json is no JSON: ": lambda root: (root / "train.json").write_text("{"),
    "train.json has no list 'images', as COCO's files have": lambda root: (root / "train.json").write_text("[]"),
    "train.json: annotation 2 is of the unknown image 77": with_json(
        "train", lambda content: content["annotations"][1].update(image_id=77)
    ),
    "test.json: annotation 1 is of the unknown category 4": with_json(
        "test", lambda content: content["annotations"][0].update(category_id=4)
    ),
    "train.json: annotation 1 must have an image_id, a category_id and a bbox of four numbers": with_json(
        "train", lambda content: content["annotations"][0].update(bbox=[1, 2, None, 4])
    ),
    "train.json: annotation 2 must have an image_id": with_json(
        "train", lambda content: content["annotations"][1].update(bbox=[1, 2, float("nan"), 4])
    ),
    "test.json: annotation 1 must have an image_id": with_json(
        "test", lambda content: content["annotations"][0].update(bbox=[1, 2, 10**400, 4])
    ),
    "train.json has a category without a proper id and name: None is no text": with_json(
        "train", lambda content: content["categories"][0].update(name=None)
    ),
    "a class of .*train.json has the name .* it must have 1 to 200": with_json(
        "train", lambda content: content["categories"][0].update(name=" ")
    ),
    "train.json has an image without a proper id and file_name, or": with_json(
        "train", lambda content: content["images"][0].update(file_name="\ud800.png")
    ),
    "train.json: annotation 1 must have": with_json(
        "train", lambda content: content["annotations"][0].update(bbox="1234")
    ),
    "train.json has two image entries of the id 5": with_json(
        "train", lambda content: content["images"][1].update(id=5)
    ),
    "train.json has two category entries of the id 9": with_json(
        "train", lambda content: content["categories"][1].update(id=9)
    ),
    "train.json has two categories of the name dog": with_json(
        "train", lambda content: content["categories"][1].update(name="dog")
    ),
    "test.json has an image without .* or with a height and width that are no": with_json(
        "test", lambda content: content["images"][0].update(height="x")
    ),
    "no image of .*train.json has an object to train on": with_json(
        "train", lambda content: content.update(annotations=[])
    ),
    "train.json has a category without a proper id and name": with_json(
        "train", lambda content: content["categories"][0].pop("name")
    ),
    "train.json has an image without a proper id and file_name": with_json(
        "train", lambda content: content["images"][0].pop("file_name")
    ),
    "train.json has no categories": with_json("train", lambda content: content.update(categories=[], annotations=[])),
    "test.json has the unknown class 'bird'": with_json(
        "test", lambda content: content["categories"][0].update(name="bird")
    ),
    "train.json is about .*b.png, which is not there": lambda root: (root / "train" / "b.png").unlink(),
}


@pytest.mark.parametrize("message", COCO_FAULTS)
def test_what_coco_files_lack_is_one_line_that_names_the_file(coco, message):
    COCO_FAULTS[message](coco)
    with pytest.raises(ValueError, match=rf"^data_dir: .*{message}") as error:
        load_coco_json(coco, image_size=8)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["voc_folder", "coco_json"])
def test_a_folder_is_loaded_by_name_or_told_not_to_be_there(name, tmp_path, request, unread):
    with pytest.raises(ValueError, match=r"^data_dir: .*nowhere is no folder"):
        load(name, data_dir=tmp_path / "nowhere", image_size=8)
    found = load(name, data_dir=request.getfixturevalue(name.partition("_")[0]), image_size=8)
    assert found.task == "detection" and found.augmentation.mirror and found.train.labels.shape == (2, 2, 6)
