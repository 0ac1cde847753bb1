"""A table on a page is what its record gives: nobody has edited it, and no record is newer than its page."""

from pathlib import Path

from tfdistill.tables import Outcome, Scores, read_table
from tfdistill.tables.record import read_record, write_record
from tfdistill.tables.rendering import marks, with_table, write_markdown
from tfdistill.tables.summary import summarize

REPOSITORY = Path(__file__).resolve().parents[2]


def stale(pages, record_file, configs):
    """The pages on which the record's table stands, and is not what the record gives."""
    record = read_record(record_file)
    summary = summarize(read_table(configs / f"{record.table}.toml"), record.outcomes, record.head)
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    shown = {page: text for page, text in texts.items() if marks(record.table)[0] in text}
    return [page.name for page, text in shown.items() if with_table(text, summary) != text]


def test_tables_on_pages_are_their_records():
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    for record in (REPOSITORY / "docs" / "results").glob("*.json"):
        assert stale(pages, record, REPOSITORY / "configs") == [], record.name


def test_a_figure_edited_on_a_page_is_found(tmp_path):
    (tmp_path / "made.toml").write_text('[rows.alone]\nflags.method = "supervised"\n')
    scores = Scores(("a",), last={"a": 0.5}, best={"a": 0.5}, epochs=1.0)
    runs = [Outcome("alone", 1, "run", "finished", scores=scores)]
    summary = summarize(read_table(tmp_path / "made.toml"), runs)
    write_record(tmp_path / "made.json", summary, runs)
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("50.00\n")
    write_markdown(page, summary)
    assert stale([page, other], tmp_path / "made.json", tmp_path) == []
    page.write_text(page.read_text().replace("50.00", "60.00"))
    assert stale([page, other], tmp_path / "made.json", tmp_path) == ["page.md"]
