"""What is reported class by class, on the terminal, in files and as a picture."""

import csv
import json

import numpy as np
import pytest

from tfdistill.runs import class_tables
from tfdistill.tasks import Classification
from tfdistill.tasks.confusion import by_class

MATRIX = np.array([[3.0, 1, 0, 0], [0, 0, 0, 0], [2, 2, 4, 0], [1, 0, 0, 3]])
NAMES = ("ant", "bee", "cat", "dog")
TABLES = {"first/confusion": MATRIX, "ensemble/confusion": np.diag([4.0, 0, 8, 4]), "first/other": MATRIX}


def test_the_terminal_has_the_worst_first_and_counts_the_rest():
    assert class_tables.class_lines("first", by_class(MATRIX), NAMES) == [
        "classes of first, worst first",
        "  cat   50.00% of 8  2 taken for ant",
        "  ant   75.00% of 4  1 taken for bee",
        "  dog   75.00% of 4  1 taken for ant",
        "  1 class has no examples here",
    ]
    many = np.diag(np.full(1000, 5.0))
    many[7, 7], many[7, 8] = 1, 4
    lines = class_tables.class_lines("one", by_class(many), [f"c{number}" for number in range(1000)])
    assert len(lines) == 12
    assert lines[1].split() == ["c7", "20.00%", "of", "5", "4", "taken", "for", "c8"]
    assert lines[-1] == "  and 990 more, 100.00% to 100.00%"
    worst = class_tables.worst_classes({"one": by_class(many)}, [f"c{number}" for number in range(1000)])
    assert len(worst["one"]) == 10 and next(iter(worst["one"].items())) == ("c7", 0.2)


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_files_have_every_count_under_the_names_of_the_classes(tmp_path, ending):
    path = tmp_path / f"confusion.{ending}"
    class_tables.write_confusion(path, "test", class_tables.by_network(TABLES, Classification()), NAMES)
    if ending == "json":
        found = json.loads(path.read_text())
        assert found["class_names"] == list(NAMES) and found["split"] == "test"
        assert list(found["networks"]) == ["first", "ensemble"]
        assert found["networks"]["first"]["confusion"] == MATRIX.tolist()
        return
    head, *rows = list(csv.reader(path.open()))
    assert head == ["network", "class", *NAMES] and len(rows) == 8
    assert rows[2] == ["first", "cat", "2", "2", "4", "0"] and rows[6][:2] == ["ensemble", "cat"]


def test_a_picture_is_white_where_nothing_is_and_large_enough_to_see():
    found = class_tables.picture(MATRIX)
    assert found.shape == (256, 256, 3) and found.dtype == np.uint8
    assert (found[64:128] == 255).all(), "a class without examples"
    assert (found[-1, -1] < found[0, 64]).all() and (found[0, -1] == 255).all()
    assert class_tables.picture(np.eye(1000)).shape == (1000, 1000, 3)
    text = class_tables.markdown("first", by_class(MATRIX), NAMES, most=2)
    assert text.splitlines()[2:] == ["| cat | 50.00% | 8 |", "| ant | 75.00% | 4 |", "", "and 1 more"]
