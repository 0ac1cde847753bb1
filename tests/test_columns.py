"""Columns of text."""

from tfdistill.columns import aligned, markdown


def test_cells_stand_under_each_other_and_numbers_end_there():
    rows = [("network", "top-1", ""), ("a", "9.1%", "kept"), ("a longer one", "100.0%", "")]
    assert aligned(rows, right={1}, indent=" ") == [
        " network        top-1",
        " a               9.1%  kept",
        " a longer one  100.0%",
    ]
    assert aligned([]) == []


def test_numbers_of_markdown_are_right_aligned():
    expected = "| name | a | b |\n| --- | ---: | ---: |\n| x | 1 | 2 |\n"
    assert markdown(("name", "a", "b"), [("x", "1", "2")], numbers=2) == expected
