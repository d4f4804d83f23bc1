"""The page of myths: each entry ends with a link to a heading that exists in a lesson."""

import functools
import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
# an entry is a heading of level 3 with its text, up to the next entry or to a heading of level 2, which starts a group
ENTRY = re.compile(r"^### ([^\n]+)\n(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
ENTRIES = ENTRY.findall((ROOT / "docs" / "myths.md").read_text(encoding="utf-8"))


@functools.cache
def anchors(notebook):
    """The anchors that GitHub and MyST make of the headings of level 2 to 4 of a lesson."""
    cells = jupytext.read(ROOT / "notebooks" / "source" / f"{notebook}.py").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)  # comments in code are no headings
    headings = re.findall(r"^#{2,4} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_there_are_at_least_twenty_entries_with_different_titles():
    titles = [title for title, _ in ENTRIES]
    assert len(titles) >= 20
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("title", "text"), ENTRIES, ids=[title for title, _ in ENTRIES])
def test_an_entry_ends_with_a_link_to_a_heading_of_a_lesson(title, text):
    last_line = text.strip().splitlines()[-1]
    link = re.fullmatch(r"\[Lesson (\d+) .+\]\(\.\./notebooks/(\d\d_\w+)\.ipynb#([\w-]+)\)", last_line)
    assert link, last_line
    number, notebook, anchor = link.groups()
    assert notebook.startswith(f"{number.zfill(2)}_")
    assert (ROOT / "notebooks" / "source" / f"{notebook}.py").is_file()
    assert anchor in anchors(notebook)
