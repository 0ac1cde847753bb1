"""Columns of text."""

from tfdistill.columns import aligned


def test_cells_stand_under_each_other_and_numbers_end_there():
    rows = [("network", "top-1", ""), ("a", "9.1%", "kept"), ("a longer one", "100.0%", "")]
    assert aligned(rows, right={1}, indent=" ") == [
        " network        top-1",
        " a               9.1%  kept",
        " a longer one  100.0%",
    ]
    assert aligned([]) == []
