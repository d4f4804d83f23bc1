"""The rules that every lesson follows, checked on its source and on its executed notebook; nothing is run here."""

import ast
import importlib
import importlib.metadata
import itertools
import json
import re
import sys
import tomllib

import jupytext
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def test_every_source_has_a_notebook_and_every_notebook_a_source():
    assert sorted(lessons.NOTEBOOKS.glob("*.ipynb")) == NOTEBOOKS
    assert len(NOTEBOOKS) >= 3


@each_lesson
def test_notebook_has_the_cells_of_its_source(path):
    expected = build.unexecuted(build.SOURCE / f"{path.stem}.py")
    notebook = jupytext.read(path)
    assert [(c.cell_type, c.source, c.id, dict(c.metadata)) for c in notebook.cells] == [
        (c.cell_type, c.source, c.id, dict(c.metadata)) for c in expected.cells
    ], "the notebook is older than its source; run: make lessons"


@each_lesson
def test_fact_line_is_the_measured_one(path):
    text = (build.SOURCE / f"{path.stem}.py").read_text()
    assert f"<!-- facts -->\n# {build.fact_line(path.stem)}\n# <!-- /facts -->" in text


def test_readme_has_the_table_of_lessons():
    assert build.lesson_table() in (lessons.ROOT / "README.md").read_text()


@each_lesson
def test_parameters_cell_is_a_form_with_plain_literals(path):
    (cell,) = [c for c in code_cells(path) if "parameters" in c["metadata"].get("tags", [])]
    assert cell["metadata"]["cellView"] == "form"
    lines = source(cell).splitlines()
    for comment, line in zip(lines[::2], lines[1::2], strict=True):
        assert re.match(r"# @markdown [A-Z\"].+\.$", comment), comment
        assert re.match(r"[a-z_]+ = \S.*  # @param (\{type: \"\w+\"\}|\[.+\])$", line), line
        ast.literal_eval(line.partition(" = ")[2].partition("  #")[0])


@each_lesson
def test_all_lessons_have_the_same_setup_cell(path):
    setups = [source(c) for c in code_cells(path) if "colab.py" in source(c)]
    assert setups == [source(code_cells(NOTEBOOKS[0])[0])]


@each_lesson
def test_what_a_lesson_imports_is_installed_on_colab(path):
    """The extra `lessons` brings each package that a lesson or the course's helpers for lessons import."""
    project = tomllib.loads((lessons.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in ("lessons", "deploy", "explain") for line in extras[name])]
    wanted = {canonicalize_name(Requirement(line).name) for line in lines} | {"ipython"}  # which ipykernel brings
    distributions = importlib.metadata.packages_distributions()
    for node in ast.walk(ast.parse("\n".join(source(c) for c in code_cells(path)))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for module in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"nbhelpers"}:
            assert {canonicalize_name(name) for name in distributions[module]} & wanted, module


@each_lesson
def test_every_nbhelpers_name_exists(path):
    """A helper that was renamed shows up here, without a run of the lesson."""
    tree = ast.parse("\n".join(source(c) for c in code_cells(path)))
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nbhelpers"):
            for alias in node.names:
                try:
                    imported = importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:  # a function or class, not a module
                    imported = getattr(importlib.import_module(node.module), alias.name)
                modules[alias.asname or alias.name] = imported
    assert modules, "the lesson imports nothing from nbhelpers"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


@each_lesson
def test_executed_without_errors_widgets_paths_or_warnings(path):
    text, notebook = path.read_text(encoding="utf-8"), read(path)
    assert len(text) < 600_000
    assert "widgets" not in notebook["metadata"]
    # With it, jupytext's JupyterLab extension compares the dates of notebook and source, which a clone does not keep.
    assert "jupytext" not in notebook["metadata"]
    assert "papermill" not in text
    assert not re.search(r"/(?:root|home|Users|work|tmp)/\w", text)
    for cell in code_cells(path):
        assert cell["execution_count"], f"this cell was not executed:\n{source(cell)}"
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


@each_lesson
def test_no_printed_output_is_blank(path):
    """A search in a text that has changed its words would print nothing, and no error either."""
    for cell in code_cells(path):
        for output in cell["outputs"]:
            assert output["output_type"] != "stream" or "".join(output["text"]).strip(), source(cell)


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
    median = sorted(lines)[len(lines) // 2]
    # A form's lines "# @markdown ..." are its labels, which Colab shows in place of the code
    without_labels = [sum("# @markdown" not in line for line in source(c).splitlines()) for c in code_cells(path)]
    assert max(without_labels) <= 20, "a code cell has more than 20 lines; divide it"
    assert median <= 6, f"the median code cell has {median} lines, more than 6"
    prose = [build.OUTLINE.sub("", source(c) + "\n") for c in cells if c["cell_type"] == "markdown"]
    words = sum(len(text.split()) for text in prose)
    assert 6 <= words / sum(lines) <= 10, f"{words / sum(lines):.1f} words of text per line of code"
    headings = [
        line for c in cells if c["cell_type"] == "markdown" for line in source(c).splitlines() if line.startswith("#")
    ]
    assert sum(line.startswith("# ") for line in headings) == 1
    levels = [len(line.split()[0]) for line in headings]
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), headings
    assert "## Recap" in headings
    assert any(line.startswith("#") and "What goes wrong" in line for line in headings)


@each_lesson
def test_no_text_is_left_in_a_code_cell(path):
    """Markdown whose cell marker is missing in the source becomes comments of the code cell before it."""
    assert not [line for c in code_cells(path) for line in source(c).splitlines() if line.startswith(("# #", "# - "))]


@each_lesson
def test_links_between_lessons_lead_to_existing_files(path):
    text = "\n".join(source(c) for c in read(path)["cells"] if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target
