"""Running lessons: what the runner reports, and what `nbhelpers run` leaves behind."""

import contextlib
import doctest
import json
import signal
import subprocess
import sys
import tempfile
import time

import nbformat
import psutil
import pytest
from course_lessons import run_command, start_command, write_course, write_lesson

from nbhelpers.course import kernel, lessons, runner

pytestmark = pytest.mark.slow


@pytest.fixture
def course(tmp_path):
    write_course(tmp_path / "notebooks")
    return tmp_path / "notebooks"


def test_run_continues_after_a_failure_and_shows_where_it_was(course):
    code, out, err = run_command(course, "run", "-p", "seed=7")
    assert code == 1, err
    for expected in ("02_bad, cell 4", "y = x / 0  # the fault", "ZeroDivisionError: division by zero", "seed seen 7"):
        assert expected in out
    folder = next((course.parent / "runs").iterdir())
    summary = json.loads((folder / "summary.json").read_text())
    good, bad, slow = summary["lessons"]
    assert [bool(lesson["failure"]) for lesson in summary["lessons"]] == [False, True, False]
    assert bad["failure"]["cell"] == 4
    assert good["headline"] == slow["headline"] == {"seed seen": 7}
    assert good["peak_gib"] > bad["peak_gib"] + 0.2
    assert 0 < good["minutes"] < 1
    assert {path.name for path in folder.glob("*.ipynb")} == {"01_good.ipynb", "02_bad.ipynb", "03_slow.ipynb"}
    assert not nbformat.read(course / "01_good.ipynb", 4).cells[2].get("outputs")  # the lesson itself is not changed


def test_a_profile_sets_parameters_and_a_run_without_failures_exits_with_0(course):
    code, _, _ = run_command(course, "run", "1", "03", "--profile", "other")
    assert code == 0
    summary = json.loads(next((course.parent / "runs").glob("*/summary.json")).read_text())
    assert [lesson["headline"]["seed seen"] for lesson in summary["lessons"]] == [5, 6]


def is_sleeping(runs):
    """Whether the cell that sleeps has started, by the executed copy, which is written again at each cell."""
    for copy in runs.glob("*/03_slow.ipynb"):
        with contextlib.suppress(ValueError):  # it is being written at this moment
            cells = json.loads(copy.read_text())["cells"]
            return any("sleep(600)" in "".join(c["source"]) and c["metadata"]["papermill"]["start_time"] for c in cells)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_kernel_and_leaves_no_process(course, number):
    arguments = ("run", "01", "03", "--profile", "other", "-p", "name=sleep")
    process = start_command(course, *arguments, start_new_session=True)
    deadline = time.monotonic() + 60
    while not is_sleeping(course.parent / "runs"):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "01_good" in out.partition("headline")[2]  # the table has what was done
    assert str(next((course.parent / "runs").iterdir())) in out
    rest = "nbhelpers run 03 --profile other -p name=sleep"
    assert err == f"stopped after 1 of 2 lessons; run the rest with: {rest}\n"
    assert not psutil.wait_procs(kernels, timeout=5)[1]


def test_the_death_of_a_kernel_is_a_failure_of_its_cell(tmp_path):
    write_lesson(tmp_path, "04_dies", "fine = 1", "import os\nos._exit(9)")
    (tmp_path / "out").mkdir()
    lesson = lessons.read_lesson(tmp_path / "04_dies.ipynb")
    result = runner.run_lesson(lesson, {"seed": 1}, tmp_path / "out")
    assert result.failure.cell == 4
    assert "os._exit(9)" in result.failure.source
    assert "ran out of memory" in result.failure.error


def run_alone(folder, *cells, on_cell=lambda index, total: None):
    """The result of a lesson with these cells, which runs in folder/out."""
    write_lesson(folder, "05_alone", *cells)
    (folder / "out").mkdir()
    return runner.run_lesson(lessons.read_lesson(folder / "05_alone.ipynb"), {"seed": 1}, folder / "out", on_cell)


def test_an_error_that_tells_the_user_what_to_do_is_shown_without_its_traceback(tmp_path):
    failure = run_alone(tmp_path, "from nbhelpers import corpora\ncorpora.load('tickets.csv')").failure
    assert failure.cell == 3
    assert failure.error == "tickets.csv does not exist; check the path"


def test_processes_that_the_caller_starts_meanwhile_live_on(tmp_path):
    others = []

    def start_another(index, total):
        others.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))

    try:
        assert run_alone(tmp_path, "x = 1", on_cell=start_another).failure is None
        assert others
        assert [other.poll() for other in others] == [None] * len(others)
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_processes_that_a_lesson_leaves_behind_are_ended(tmp_path):
    start = (
        "import pathlib, subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "pathlib.Path('pid').write_text(str(left.pid))"
    )
    assert run_alone(tmp_path, start).failure is None
    with contextlib.suppress(psutil.NoSuchProcess):  # or it has ended and waits for its parent
        left = psutil.Process(int((tmp_path / "out" / "pid").read_text()))
        assert left.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_the_end_of_a_cell_with_widgets_is_always_noticed(tmp_path):
    """nbclient alone missed it once in some dozen cells, and waited forever."""
    draw = "_ = ipywidgets.interact(lambda x, y: print(x, y), x=(0, 9), y=(0, 9))"
    result = run_alone(tmp_path, "import ipywidgets", *[draw] * 60)
    assert result.failure is None


def test_a_lesson_runs_where_the_path_of_temporary_files_is_long(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert run_alone(tmp_path, "x = 1").failure is None
    assert list(folder.iterdir()) == []


def test_a_lesson_runs_in_the_python_of_the_command_whatever_kernel_is_installed(tmp_path, monkeypatch):
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    foreign = {"argv": [sys.executable, "-c", "raise SystemExit(1)"], "display_name": "x", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(foreign))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    result = run_alone(tmp_path, f"import sys\nassert sys.executable == {sys.executable!r}")
    assert result.failure is None


@pytest.mark.parametrize("module", [kernel, runner])
def test_the_examples_in_the_docstrings_are_right(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed


def test_a_lesson_finds_a_corpus_beside_the_place_where_the_command_was_started(course):
    (course.parent / "mine").mkdir()
    notebook = nbformat.read(course / "01_good.ipynb", 4)
    notebook.cells[1].source += '\ncorpus = "dialogues"'
    notebook.cells.append(nbformat.v4.new_code_cell("import pathlib\nassert pathlib.Path(corpus).is_dir(), corpus"))
    nbformat.write(notebook, course / "01_good.ipynb")
    code, out, err = run_command(course, "run", "01", "-p", "corpus=mine")
    assert code == 0, out + err
    summary = json.loads(next((course.parent / "runs").glob("*/summary.json")).read_text())
    assert summary["parameters"]["01"] == {"corpus": str(course.parent.resolve() / "mine")}
