"""The photographs to try a detector on: their boxes, which the repository keeps, and the folder made of them."""

import importlib
from xml.etree import ElementTree

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def photographs():
    return importlib.import_module("photographs")


@pytest.fixture(scope="module")
def annotations(photographs):
    return {path.stem: ElementTree.parse(path) for path in (photographs.BOXES / "Annotations").glob("*.xml")}


def test_every_box_lies_in_its_photograph_and_no_class_is_for_the_test_alone(photographs, annotations):
    lists = photographs.BOXES / "ImageSets" / "Main"
    train, test = ((lists / f"{name}.txt").read_text().split() for name in ("trainval", "test"))
    assert sorted([*train, *test]) == sorted(annotations) and len(annotations) == 15
    classes = {name: set() for name in annotations}
    for name, tree in annotations.items():
        width, height = (int(tree.findtext(f"size/{side}")) for side in ("width", "height"))
        for one in tree.iterfind("object"):
            left, top, right, bottom = (
                int(one.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            assert 1 <= left < right <= width and 1 <= top < bottom <= height, name
            classes[name].add(one.findtext("name"))
    assert sum(not one for one in classes.values()) == 3
    assert set().union(*map(classes.get, test)) < set().union(*map(classes.get, train))


def test_the_folder_is_made_of_what_packages_have(photographs, annotations, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with pytest.raises(LookupError, match="there is no photograph astronaut in"):
        photographs.make(tmp_path / "voc", [pictures])
    assert not (tmp_path / "voc").exists()
    for name in [*annotations, "further"]:
        Image.new("L", (2, 2)).save(pictures / f"{name}.png")
    assert photographs.make(tmp_path / "voc", [tmp_path, pictures]) == sorted(annotations)
    assert sorted(path.stem for path in (tmp_path / "voc" / "JPEGImages").iterdir()) == sorted(annotations)
    assert (tmp_path / "voc" / "ImageSets" / "Main" / "trainval.txt").is_file()
    with pytest.raises(FileExistsError):
        photographs.make(tmp_path / "voc", [pictures])
