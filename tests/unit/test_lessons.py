"""Reading lessons and profiles: their faults, and that each file is read once."""

import importlib.metadata
import os
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from course_lessons import write_course, write_lesson

from nbhelpers.course import lessons, machine, paths


@pytest.fixture
def course(tmp_path):
    write_course(tmp_path / "notebooks")
    return tmp_path / "notebooks"


def test_a_run_has_the_core_lessons_unless_all_are_asked_for(course, tmp_path, monkeypatch):
    from nbhelpers.course import cli, paths
    from nbhelpers.course.command import run

    write_lesson(course, "08_more", "x = 1")
    assert [lesson.number for lesson in lessons.core_lessons(course)] == ["01", "02", "03"]
    monkeypatch.setattr(paths, "NOTEBOOKS", course)
    chosen = []
    monkeypatch.setattr(run, "run_lessons", lambda picked, *_, **__: chosen.append([x.number for x in picked]) or [])
    for arguments in ([], ["--all"], ["8", "1"]):
        with pytest.raises(Exception, match="stopped after 0 of"):
            cli.app(["run", *arguments], standalone_mode=False)
    assert chosen == [["01", "02", "03"], ["01", "02", "03", "08"], ["01", "08"]]
    with pytest.raises(lessons.CourseError, match="--all runs every lesson"):
        cli.app(["run", "--all", "3"], standalone_mode=False)


def test_two_cells_with_parameters_are_refused(tmp_path):
    write_lesson(tmp_path, "01_two", "x = 1")
    notebook = nbformat.read(tmp_path / "01_two.ipynb", 4)
    notebook.cells[2].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "01_two.ipynb")
    with pytest.raises(lessons.CourseError, match="2 cells are tagged"):
        lessons.all_lessons(tmp_path)


def test_a_parameters_cell_with_code_is_refused(tmp_path):
    write_lesson(tmp_path, "01_code", "x = 1")
    notebook = nbformat.read(tmp_path / "01_code.ipynb", 4)
    notebook.cells[1].source = "seed = 1 + len('x')"
    nbformat.write(notebook, tmp_path / "01_code.ipynb")
    with pytest.raises(lessons.CourseError, match="only lines name = literal"):
        lessons.all_lessons(tmp_path)


def test_a_folder_without_lessons_is_refused(tmp_path):
    with pytest.raises(lessons.CourseError, match="there are no lessons"):
        lessons.all_lessons(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("'01': {epochs: 3}", "no parameter 'epochs' in 01"),
        ("all: {epochs: 3}", "no parameter 'epochs' in all"),
        ("1: {seed: 3}", '1 is neither "all" nor a lesson'),
        ("'01': {rate: 1e-5}", "rate is '1e-5', but the lesson's is 0.5"),
    ],
)
def test_a_faulty_profile_is_refused(course, content, message):
    (course / "profiles.yml").write_text(f"default:\n  {content}\n")
    with pytest.raises(lessons.CourseError, match=message):
        lessons.profile_parameters("default", lessons.all_lessons(course)[0], course)


def test_every_profile_of_the_course_fits_its_lessons():
    for profile in lessons.profiles():
        for lesson in lessons.all_lessons():
            lessons.profile_parameters(profile, lesson)


def test_each_lesson_is_read_once(course, monkeypatch):
    reads = []
    read = nbformat.read
    monkeypatch.setattr(nbformat, "read", lambda path, **options: reads.append(path) or read(path, **options))
    monkeypatch.setattr(paths, "NOTEBOOKS", course)
    for lesson in lessons.all_lessons():
        lessons.profile_parameters("other", lesson)
    assert len(reads) == 3


def test_a_changed_lesson_is_read_again(course):
    (first, *_) = lessons.all_lessons(course)
    write_lesson(course, "01_good", "x = 1")
    notebook = nbformat.read(first.path, 4)
    notebook.cells[1].source = "size = 3"
    nbformat.write(notebook, first.path)
    os.utime(first.path, ns=(0, 0))  # a clock too coarse to tell the two writes apart would hide the change
    assert dict(lessons.read_lesson(first.path).parameters) == {"size": 3}
    assert "seed" in first.parameters


def test_doctor_reads_each_lesson_once(monkeypatch, course):
    reads = []
    read = nbformat.read
    monkeypatch.setattr(nbformat, "read", lambda path, **options: reads.append(path) or read(path, **options))
    for lesson in course.glob("*.ipynb"):  # doctor asks for the corpus and the encoder of the course
        notebook = read(lesson, 4)
        notebook.cells[1].source += '\ncorpus = "dialogues"\nencoder = "embedded"'
        nbformat.write(notebook, lesson)
    monkeypatch.setattr(paths, "NOTEBOOKS", course)
    assert [row[0] for row in machine.profile_rows()] == ["default", "other"]
    assert len(reads) == 3


@pytest.mark.parametrize(
    ("installed", "pins"),
    [
        ({"torch": "2.9", "numpy": "2.1"}, "torch==2.9\nnumpy==2.1\n"),  # Colab, had it no pandas
        ({"numpy": "2.1"}, (paths.ROOT / "constraints.txt").read_text()),  # a server with JupyterLab alone
    ],
)
def test_the_first_cell_keeps_the_torch_that_is_there_or_takes_the_tested_one(
    installed, pins, tmp_path, monkeypatch, capsys
):
    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    calls = []
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(subprocess, "check_call", lambda pip: calls.append((pip, Path(pip[6]).read_text())))
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(paths.NOTEBOOKS / "colab.py"))
    ((pip, kept),) = calls
    assert kept == pins
    assert pip[1:6] + pip[7:] == ["-m", "pip", "install", "-q", "-c", "-e", f"{paths.ROOT}[lessons]"]
    assert capsys.readouterr().out.startswith("Installing the course")
    assert not list(tmp_path.iterdir())
