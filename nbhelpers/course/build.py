"""Makes notebooks/*.ipynb from notebooks/source/*.py: executed, with outputs, without what changes from run to run.

    python -m nbhelpers.course.build [--record] [--facts-only] [01 03 ...]

It also writes the outline of each lesson, and from data/results/course.jsonl its fact line and the table of lessons in
README.md.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from nbhelpers.course import lessons, paths, results, runner
from nbhelpers.course.command.run import record_lesson

SOURCE = paths.NOTEBOOKS / "source"
FACTS = re.compile(r"(<!-- facts -->\n)(.*?)((?:# )?<!-- /facts -->)", re.DOTALL)
OUTLINE = re.compile(r"(<!-- outline -->\n)(.*?)((?:# )?<!-- /outline -->)", re.DOTALL)
WORDS_PER_MINUTE = 150  # of reading a text with code and figures, in a language that is not one's own
WIDGET = "application/vnd.jupyter.widget-view+json"
PROFILES = {"default": "default", "meld": "MELD", "gpu": "GPU"}  # profile -> how lessons call it


def measured(lesson: str) -> dict[str, dict[str, Any]]:
    """Profile -> the last row that `nbhelpers run --record` wrote for this lesson."""
    return {row["profile"]: row for row in results.read("course") if row["lesson"] == lesson}


def fact_line(lesson: str) -> str:
    """Minutes and memory of a lesson for each profile, and which profiles were not measured."""
    known = measured(lesson)
    if not known:
        return "Minutes and memory: not measured yet."
    parts = []
    for profile, name in PROFILES.items():
        if profile in known:
            row = known[profile]
            # The device of a CPU has its features in parentheses, which mean nothing to most readers.
            on_cpu = "GPU" not in row["device"] and "(" in row["device"]
            device = f"{row['threads']} CPU threads" if on_cpu else row["device"]
            parts.append(f"{name} profile {minutes(row['minutes'])}, {row['peak_gib']:.1f} GiB on {device}")
    absent = [name for profile, name in PROFILES.items() if profile not in known]
    return "Measured: " + "; ".join(parts) + "." + (f" Not run with: {', '.join(absent)}." if absent else "")


def minutes(value: float) -> str:
    """Minutes as text, and less than a minute in seconds.

    >>> minutes(2.34), minutes(0.5)
    ('2.3 min', '30 s')
    """
    return f"{60 * value:.0f} s" if value < 1 else f"{value:.1f} min"


def write_facts(path: Path) -> None:
    """Put the fact line between a source's <!-- facts --> marks."""
    text = path.read_text(encoding="utf-8")
    path.write_text(FACTS.sub(rf"\g<1># {fact_line(path.stem)}\n\g<3>", text), encoding="utf-8")


def outline(cells: list[Any]) -> str:
    """The sections of an executed lesson, with the minutes to read and to run each."""
    sections: dict[str, float] = {}
    for cell in cells:
        is_text = cell.cell_type == "markdown"
        duration = 0.0 if is_text else cell.metadata.get("papermill", {}).get("duration") or 0.0
        # A cell may end one section and begin the next ones
        for part in re.split(r"(?m)^(?=## )", cell.source) if is_text else [""]:
            if part.startswith("## "):
                sections[part.splitlines()[0].removeprefix("## ")] = 0.0
            if sections:
                sections[list(sections)[-1]] += len(part.split()) / WORDS_PER_MINUTE + duration / 60
    return "\n".join(f"# | {name} | {max(1, round(value))} |" for name, value in sections.items())


def write_outline(path: Path, cells: list[Any]) -> None:
    """Put the outline of an executed lesson between its source's <!-- outline --> marks."""
    table = f"# | part | minutes |\n# |---|---|\n{outline(cells)}\n"
    text = path.read_text(encoding="utf-8")
    path.write_text(OUTLINE.sub(lambda found: f"{found[1]}#\n{table}#\n{found[3]}", text), encoding="utf-8")


def lesson_table() -> str:
    """The table of lessons in README.md: title, first goal, and minutes and memory for two profiles."""
    rows = ["| lesson | you will be able to | default profile | MELD |", "|---|---|---|---|"]
    for path in sorted(SOURCE.glob("*.py")):
        notebook = jupytext.read(path)
        intro = next(cell.source for cell in notebook.cells if cell.source.startswith("# "))
        title = intro.splitlines()[0].removeprefix("# ")
        goal = re.search(r"^- (.+?)(?=\n-|\n\n)", intro, re.DOTALL | re.MULTILINE)
        goal_text = " ".join(goal[1].split()).rstrip(",.") if goal else ""
        known = measured(path.stem)
        times = " | ".join(cost(known.get(profile)) for profile in ("default", "meld"))
        rows.append(f"| [{title}](notebooks/{path.stem}.ipynb) | {goal_text} | {times} |")
    return "\n".join(rows)


def cost(row: dict[str, Any] | None) -> str:
    """Minutes and memory of a row, or "-" where there is none."""
    return f"{minutes(row['minutes'])}, {row['peak_gib']:.1f} GiB" if row else "-"


def write_table(readme: Path = paths.ROOT / "README.md") -> None:
    """Put the table of lessons between README's <!-- facts --> marks."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(FACTS.sub(lambda found: f"{found[1]}{lesson_table()}\n{found[3]}", text), encoding="utf-8")


def unexecuted(path: Path) -> Any:
    """The notebook of a source, with the same cell ids each time."""
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem[:2]}-{number:03d}"
    # Not paired for jupytext's JupyterLab extension: after a git clone it refuses to open files whose times disagree.
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def build(path: Path) -> runner.Result:
    """Execute a source with its own parameters, and write the notebook with its outputs.

    Raises:
        SystemExit: a cell failed; the notebook stays as it was.
    """
    write_facts(path)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain", f"{path.stem}.ipynb")
        plain.parent.mkdir()
        nbformat.write(unexecuted(path), plain)
        result = runner.run_lesson(lessons.read_lesson(plain), {}, Path(folder))
        if result.failure:
            raise SystemExit(f"{path.name}, cell {result.failure.cell}:\n{result.failure.error}")
        executed = nbformat.read(Path(folder, plain.name), as_version=4)
    write_outline(path, executed.cells)
    # Only outputs are copied: papermill's metadata holds times and paths of this machine.
    clean = unexecuted(path)
    for cell, done in zip(clean.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = joined(without_widgets(done.outputs))
            cell.execution_count = done.execution_count
    nbformat.write(clean, paths.NOTEBOOKS / f"{path.stem}.ipynb")
    return result


def without_widgets(outputs: list[Any]) -> list[Any]:
    """Outputs as a notebook without a kernel can show them: a stored widget would be empty.

    What also has a form in HTML, such as a quiz, keeps that. Of other widgets nothing is kept; lessons show a static
    picture beside each.
    """
    for output in outputs:
        if WIDGET in output.get("data", {}):
            del output["data"][WIDGET]
            output["data"] = output["data"] if "text/html" in output["data"] else {}
    return [output for output in outputs if output.get("data", True)]


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs in which printed texts that follow each other are one, because a line may arrive in two parts.

    nbclient's own option also joins texts that have a picture between them.
    """
    kept: list[Any] = []
    for output in outputs:
        is_text = output["output_type"] == "stream"
        if is_text and kept and kept[-1].get("name") == output["name"]:
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    return kept


def refresh(path: Path) -> None:
    """Bring the fact line of a source and of its notebook up to date without executing it."""
    write_facts(path)
    target = paths.NOTEBOOKS / f"{path.stem}.ipynb"
    notebook, plain = nbformat.read(target, as_version=4), unexecuted(path)
    notebook.metadata = plain.metadata
    for cell, fresh in zip(notebook.cells, plain.cells, strict=True):
        if cell.cell_type == "markdown":
            cell.source = fresh.source
    nbformat.write(notebook, target)


def main() -> None:
    """Read the arguments, build or refresh the lessons, and write README's table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    sources = {path.stem[:2]: path for path in sorted(SOURCE.glob("*.py"))}
    parser.add_argument("lessons", nargs="*", metavar="NUMBER", help=f"{', '.join(sources)}; default: all")
    parser.add_argument(
        "--facts-only", action="store_true", help="execute nothing; only bring the minutes and the memory up to date"
    )
    parser.add_argument(
        "--record", action="store_true", help="also add minutes, memory and headline to data/results/course.jsonl"
    )
    options = parser.parse_args()
    if not paths.is_checkout():
        parser.error("an installed package has no sources of lessons; run this in a checkout of the course")
    if unknown := set(options.lessons) - set(sources):
        parser.error(f"there is no lesson {', '.join(sorted(unknown))}; choose from {', '.join(sources)}")
    for path in [sources[number] for number in options.lessons or sources]:
        if options.facts_only:
            refresh(path)
        else:
            result = build(path)
            if options.record:
                record_lesson(result, "default")
                refresh(path)
            print(f"{path.stem}: {60 * result.minutes:.0f} s, {result.peak_gib:.1f} GiB, {result.headline}")
    write_table()


if __name__ == "__main__":
    main()
