"""Pages, of which a part is written anew."""

import pytest

from tfdistill.files import between


def test_what_is_between_two_lines_is_replaced():
    assert between("a\n<\nold\n>\nb\n", "<\n", ">\n", "new\n") == "a\n<\nnew\n>\nb\n"
    for page in ("a\n>\n", "a\n<\n", ">\n<\n"):
        with pytest.raises(ValueError, match="must have the lines '<' and '>'"):
            between(page, "<\n", ">\n", "new\n")
