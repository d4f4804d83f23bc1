"""The pages of the site that are made from something else: lessons from notebooks, the reference from docstrings.

`docs/conf.py` calls `write_pages` before Sphinx reads the folder. Nothing is executed: pages show the stored outputs.
"""

from __future__ import annotations

import html
import pkgutil
import re
from pathlib import Path
from typing import Any

import nbformat

import nbhelpers
from nbhelpers.course import lessons

# Fences as long as these do not occur in a lesson
FENCE = "~~~~~~"
EMPTY = "<th></th>"  # the corner of a DataFrame: a header without words puzzles a screen reader
# Cells that a reader of the page need not see at first: their first words, and what the fold is called
FOLDED = {"try:\n    from nbhelpers": "Code of the first cell", "# @markdown": "Code of the settings"}


def write_pages(docs: Path, links: dict[str, str]) -> None:
    """Write docs/lessons and docs/reference.

    Args:
        docs: the folder of the site's sources.
        links: what to open a lesson with -> address, in which NAME stands for the name of the notebook.
    """
    for name in ("lessons", "reference"):
        (docs / name).mkdir(exist_ok=True)
        for old in (docs / name).glob("*.md"):
            old.unlink()
    for lesson in lessons.all_lessons():
        page = lesson_page(lesson.path, links)
        (docs / "lessons" / f"{lesson.path.stem}.md").write_text(page, encoding="utf-8")
    units = [each.name for each in pkgutil.iter_modules(nbhelpers.__path__) if each.name != "course"]
    for unit in units:
        (docs / "reference" / f"{unit}.md").write_text(reference_page(unit), encoding="utf-8")
    (docs / "reference" / "index.md").write_text(contents("The helpers", REFERENCE_INTRO, units), encoding="utf-8")
    stems = [lesson.path.stem for lesson in lessons.all_lessons()]
    (docs / "lessons" / "index.md").write_text(contents("The lessons", LESSONS_INTRO, stems), encoding="utf-8")


REFERENCE_INTRO = """Each helper is a unit: one file or one folder with one subject. No unit imports another one, so
you can copy the one you need and nothing else. These pages are made from the docstrings."""
LESSONS_INTRO = """Each lesson is a notebook, shown here with the outputs of its last run. To try things, download it,
or clone the course and open it in JupyterLab."""


def contents(title: str, intro: str, names: list[str]) -> str:
    """A page that lists others, in the order in which one reads them."""
    return f"# {title}\n\n{intro}\n\n```{{toctree}}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n"


def reference_page(unit: str) -> str:
    """The page of a unit, which Sphinx fills from the docstrings."""
    lines = [f".. automodule:: nbhelpers.{unit}", "   :members:", "   :undoc-members:"]
    if (Path(nbhelpers.__path__[0]) / unit).is_dir():
        lines.append(
            "   :imported-members:"
        )  # a package imports from its files what it offers, and lists it in __all__
    return f"# {unit}\n\n```{{eval-rst}}\n" + "\n".join(lines) + "\n```\n"


def to_rst(lines: list[str]) -> list[str]:
    """A docstring in the markup that Sphinx reads: code that is indented, and tables, become literal blocks.

    >>> to_rst(["Load it:", "", "    load()"])
    ['Load it::', '', '    load()']
    """
    found: list[str] = []
    for i, line in enumerate(lines):
        after = lines[i + 1 : i + 3]
        starts_code = len(after) == 2 and not after[0].strip() and after[1].startswith("    ")
        if line.startswith("|"):
            found += [*([] if found[-1].startswith("    |") else ["::", ""]), f"    {line}"]
        elif line == "Example:":
            found += ["Example::", ""]
        elif line.endswith(":") and not line.startswith(" ") and starts_code:
            found.append(f"{line}:")
        else:
            found.append(line)
    return found


def lesson_page(path: Path, links: dict[str, str]) -> str:
    """A lesson in MyST Markdown, with the stored output below each cell.

    Args:
        path: of the executed notebook.
        links: as in `write_pages`.
    """
    cells = nbformat.read(path, as_version=4).cells
    title, _, rest = cells[0].source.partition("\n")
    ways = [f"{{download}}`Download the notebook <../../notebooks/{path.name}>`"]
    ways += [f"[Open in {name}]({address.replace('NAME', path.name)})" for name, address in links.items()]
    description = " ".join(rest.strip().partition("\n\n")[0].split()).replace('"', "'")
    head = f'---\nmyst:\n  html_meta:\n    description: "{description}"\n---\n\n{title}\n\n{" | ".join(ways)}\n'
    cells[0].source = rest
    return "\n\n".join([head, *(part for cell in cells for part in cell_parts(cell))]) + "\n"


def cell_parts(cell: Any) -> list[str]:
    """A cell as pieces of Markdown: the text, or the code and its outputs."""
    if cell.cell_type == "markdown":
        return [site_links(cell.source)]
    code = fenced("python", cell.source)
    for start, name in FOLDED.items():
        if cell.source.startswith(start):
            code = f"<details><summary>{name}</summary>\n\n{code}\n\n</details>"
    return [code, *(output_part(output) for output in cell.outputs)]


def site_links(text: str) -> str:
    """Markdown whose links lead to pages of the site instead of files of the repository.

    >>> site_links("[LoRA](04_lora.ipynb) and [token](../docs/glossary.md#token)")
    '[LoRA](04_lora.md) and [token](../glossary.md#token)'
    >>> site_links("[LoRA](../notebooks/04_lora.ipynb#rank)")
    '[LoRA](lessons/04_lora.md#rank)'
    """
    text = re.sub(r"<!-- /?\w+ -->\n?", "", text)
    text = text.replace("](../docs/", "](../").replace("](../notebooks/", "](lessons/")
    return re.sub(r"(\]\((?:lessons/)?\d\d_\w+)\.ipynb", r"\1.md", text)


def output_part(output: Any) -> str:
    """One output: HTML, a diagram, a picture with its alt text, or text."""
    if output.output_type == "stream":
        return preformatted(output.text)
    data = output.data
    if "text/latex" in data:  # a source code that is shown: its own HTML has colors for one background only
        return fenced("python", data["text/plain"])
    if "text/html" in data:
        return raw(f'<div class="output" tabindex="0">{data["text/html"].replace(EMPTY, "<td></td>")}</div>')
    if "image/svg+xml" in data:
        return raw(f'<div class="output" tabindex="0">{data["image/svg+xml"]}</div>')
    if "image/png" in data:
        alt = html.escape(output.metadata["image/png"]["alt"])
        picture = data["image/png"].replace("\n", "")
        return raw(f'<div class="output"><img alt="{alt}" src="data:image/png;base64,{picture}"></div>')
    return fenced("markdown", data["text/markdown"]) if "text/markdown" in data else preformatted(data["text/plain"])


def preformatted(text: str) -> str:
    """Printed text. `tabindex` lets a keyboard scroll what is wider than the page."""
    return raw(f'<pre class="output" tabindex="0">{html.escape(text.rstrip())}</pre>')


def raw(content: str) -> str:
    """HTML that Sphinx takes as it is."""
    return fenced("{raw} html", content)


def fenced(kind: str, content: str) -> str:
    """A block of code, or a directive."""
    return f"{FENCE}{kind}\n{content}\n{FENCE}"
