"""What every lesson must be, read from its files."""

import ast
import importlib
import itertools
import json
import re

import jupytext
import pytest

from nbhelpers.course import build, lessons

SOURCES = sorted(build.SOURCE.glob("*.py"))
NOTEBOOKS = [lessons.NOTEBOOKS / f"{path.stem}.ipynb" for path in SOURCES]
each_lesson = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def test_sources_and_notebooks_pair_up():
    assert sorted(lessons.NOTEBOOKS.glob("*.ipynb")) == NOTEBOOKS
    assert len(NOTEBOOKS) >= 3


@each_lesson
def test_notebook_and_source_agree(path):
    fresh = build.unexecuted(build.SOURCE / f"{path.stem}.py")
    kept = jupytext.read(path)
    assert [(c.cell_type, c.source, c.id, dict(c.metadata)) for c in kept.cells] == [
        (c.cell_type, c.source, c.id, dict(c.metadata)) for c in fresh.cells
    ], "run: make lessons"


@each_lesson
def test_facts_are_those_measured(path):
    text = (build.SOURCE / f"{path.stem}.py").read_text()
    assert f"<!-- facts -->\n# {build.fact_line(path.stem)}\n# <!-- /facts -->" in text


def test_readme_has_the_measured_table():
    assert build.lesson_table() in (lessons.ROOT / "README.md").read_text()


@each_lesson
def test_one_parameters_cell_as_a_form_of_plain_literals(path):
    (cell,) = [c for c in code_cells(path) if "parameters" in c["metadata"].get("tags", [])]
    assert cell["metadata"]["cellView"] == "form"
    lines = source(cell).splitlines()
    for comment, line in zip(lines[::2], lines[1::2], strict=True):
        assert re.match(r"# @markdown [A-Z\"].+\.$", comment), comment
        assert re.match(r"[a-z_]+ = \S+  # @param (\{type: \"\w+\"\}|\[.+\])$", line), line
        ast.literal_eval(line.partition(" = ")[2].partition("  #")[0])


@each_lesson
def test_setup_cell_is_the_same_everywhere(path):
    setups = [source(c) for c in code_cells(path) if '"-m", "pip"' in source(c)]
    assert setups == [source(code_cells(NOTEBOOKS[0])[0])]


@each_lesson
def test_every_nbhelpers_name_exists(path):
    tree = ast.parse("\n".join(source(c) for c in code_cells(path)))
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nbhelpers"):
            for alias in node.names:
                try:
                    found = importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:
                    found = getattr(importlib.import_module(node.module), alias.name)
                modules[alias.asname or alias.name] = found
    assert modules
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


@each_lesson
def test_executed_without_errors_widgets_paths_or_warnings(path):
    text, notebook = path.read_text(encoding="utf-8"), read(path)
    assert len(text) < 600_000
    assert "widgets" not in notebook["metadata"]
    assert "jupytext" not in notebook["metadata"]  # its JupyterLab extension would compare times of files
    assert "papermill" not in text
    assert not re.search(r"/(?:root|home|Users|work|tmp)/\w", text)
    for cell in code_cells(path):
        assert cell["execution_count"], source(cell)
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


@each_lesson
def test_every_picture_has_alt_text_and_a_summary(path):
    for cell in code_cells(path):
        for number, output in enumerate(cell["outputs"]):
            if "image/png" in output.get("data", {}):
                assert len(output["metadata"]["image/png"]["alt"]) > 20
                assert cell["outputs"][number + 1]["name"] == "stdout"


@each_lesson
def test_cells_are_short_and_explained(path):
    cells = read(path)["cells"]
    lines = [len(source(c).splitlines()) for c in code_cells(path)]
    assert max(lines) <= 20
    assert sorted(lines)[len(lines) // 2] <= 8
    words = sum(len(source(c).split()) for c in cells if c["cell_type"] == "markdown")
    assert 3 <= words / sum(lines) <= 12
    headings = [
        line for c in cells if c["cell_type"] == "markdown" for line in source(c).splitlines() if line.startswith("#")
    ]
    assert sum(line.startswith("# ") for line in headings) == 1
    levels = [len(line.split()[0]) for line in headings]
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), headings
    assert "## Recap" in headings
    assert any(line.startswith("#") and "What goes wrong" in line for line in headings)


@each_lesson
def test_no_prose_is_hidden_in_a_code_cell(path):
    """Markdown that lost its cell marker becomes comments."""
    assert not [line for c in code_cells(path) for line in source(c).splitlines() if line.startswith(("# #", "# - "))]


@each_lesson
def test_links_between_lessons_lead_somewhere(path):
    text = "\n".join(source(c) for c in read(path)["cells"] if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target
