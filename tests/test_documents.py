"""The documents: their links and the files that they name are there, and one version stands everywhere."""

import pkgutil
import re
from pathlib import Path

import pytest

import tfdistill

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page.relative_to(REPOSITORY).as_posix()
    for folder in ("", "docs", "saved_models")
    for page in (REPOSITORY / folder).glob("*.md")
)
# A path in a page is one from the repository's root, within the package, or a script of launch/.
ROOTS = ("", "tfdistill", "launch")


def content(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def text_of(page: str) -> str:
    return content(REPOSITORY / page)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: str, text: str) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)|src(?:set)?=\"([^\"]+)\"", without_code(text))
    broken = []
    for target in (one or other for one, other in targets):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (REPOSITORY / page).parent / name
        there = not anchor or anchor in anchors(content(file) if name else text)
        if not there or not file.exists():
            broken.append(target)
    return broken


def missing_files(text: str) -> list[str]:
    # Names with a placeholder, such as tests/methods/test_<method>.py, are no paths.
    names = re.findall(
        r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|sh)|(?:[\w.-]+/)+[\w.-]+\.(?:flags|toml)|(?:[\w.-]+/)+)`", without_code(text)
    )
    return [name for name in names if not any((REPOSITORY / root / name).exists() for root in ROOTS)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert broken_links(page, text_of(page)) == []


def test_a_broken_link_is_found():
    text = "# One heading: `a`\n[here](#one-heading-a) [no](#none) [file](README.md#none) [none](none.md) [web](https://a.b/c)\n"
    assert broken_links("README.md", text) == ["#none", "README.md#none", "none.md"]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    assert missing_files(text_of(page)) == []


def test_a_file_at_its_old_place_is_found():
    assert missing_files("`updates.py` is `engine/updates.py`, `train.py` is in `launch/`; `none/`") == [
        "updates.py",
        "none/",
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_names_of_the_package_that_a_page_has_are_there(page):
    for name in re.findall(r"`(tfdistill(?:\.\w+)+)", text_of(page)):
        assert pkgutil.resolve_name(name)


def test_one_version_stands_everywhere():
    version = tfdistill.__version__
    assert f'version="{version}"' in text_of("setup.py")
    assert f"\nversion: {version}\n" in text_of("CITATION.cff")
    assert re.findall(r"^## (\d\S+)", text_of("CHANGELOG.md"), flags=re.MULTILINE)[0] == version


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text_of(page), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("plain_decoding")
def test_the_readme_runs(tmp_path, monkeypatch):
    """Every Python block, pasted one after the other as they stand; only the ten epochs are one."""
    monkeypatch.chdir(tmp_path)
    text = "".join(python_blocks("README.md"))
    assert text.count("epochs=10") == 2
    names: dict = {}
    exec(text.replace("epochs=10", "epochs=1"), names)
    assert (tmp_path / "saved_models" / "digits" / "resnet8" / "1" / "saved_model.pb").is_file()
    assert names["distiller"].networks == [names["student"]]
    assert {"features", "embedding", "logits"} <= set(names["peer"].output)
    assert set(names["named"].output) >= {"features", "logits"}
