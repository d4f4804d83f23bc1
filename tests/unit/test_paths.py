"""Where the course finds its files, where it writes, and which commit it names, in a checkout and in a wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbhelpers import corpora, encoders
from nbhelpers.course import paths, provenance
from nbhelpers.course.errors import CourseError

SHOW = (
    "from nbhelpers.course import paths, provenance as p; print(paths.NOTEBOOKS, paths.RESULTS, paths.RUNS, p.commit())"
)


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def site_packages(tmp_path):
    """A folder with the package as a wheel has it, in a repository that has nothing to do with the course."""
    folder = tmp_path / "project" / "site-packages"
    inside = folder / "nbhelpers"
    shutil.copytree(paths.PACKAGE / "course", inside / "course", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(paths.PACKAGE / "__init__.py", inside)
    (inside / "notebooks").mkdir()
    (inside / "data" / "results").mkdir(parents=True)
    git(tmp_path / "project", "init", "-q")
    git(tmp_path / "project", "commit", "-q", "--allow-empty", "-m", "another project")
    return folder


def shown(folder, working_directory, **variables):
    environment = {**os.environ, "PYTHONPATH": str(folder), **variables}
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHOW], cwd=working_directory, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_wheel_has_its_own_files_writes_elsewhere_and_ignores_a_foreign_repository(site_packages, tmp_path):
    notebooks, results, runs, commit = shown(site_packages, tmp_path)
    inside = site_packages.resolve() / "nbhelpers"
    assert (Path(notebooks), Path(results)) == (inside / "notebooks", inside / "data" / "results")
    assert Path(runs) == tmp_path.resolve() / "runs"
    assert commit == "unknown"


def test_a_lesson_keeps_models_where_the_command_was_started(site_packages, tmp_path):
    assert shown(site_packages, tmp_path, NBHELPERS_RUNS="kept")[2] == "kept"


def test_a_checkout_has_its_files_beside_the_package():
    assert paths.is_checkout()
    assert paths.ROOT / "notebooks" == paths.NOTEBOOKS
    assert paths.ROOT / "data" / "results" == paths.RESULTS


def test_writing_into_a_wheel_is_refused_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pytest.raises(CourseError, match=r"^recording a measurement needs a checkout of the course, because"):
        paths.require_checkout("recording a measurement")


def test_the_commit_tells_whether_code_was_changed(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert provenance.commit() == "unknown"
    (tmp_path / "data" / "results").mkdir(parents=True)
    row, code = tmp_path / "data" / "results" / "t.jsonl", tmp_path / "code.py"
    row.touch()
    code.touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = provenance.commit()
    row.write_text("{}")
    assert provenance.commit() == clean
    code.write_text("changed")
    assert provenance.commit() == f"{clean}-dirty"


def test_a_path_means_what_it_means_where_the_user_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (*paths.NAMES[1:], "mymeld", "roberta-base"):
        (tmp_path / name).mkdir()
    here = str(tmp_path.resolve())
    assert paths.from_here("mymeld") == f"{here}/mymeld"
    assert paths.from_here("roberta-base") == f"{here}/roberta-base"  # loading takes the folder as well
    assert paths.from_here("mymeld/") == f"{here}/mymeld"
    assert paths.from_here("../other") == str(tmp_path.resolve().parent / "other")  # misspelled, perhaps
    assert paths.from_here("data/absent.csv") == f"{here}/data/absent.csv"
    assert paths.from_here("~") == str(Path.home())
    for name in ("dair-ai/emotion", "roberta-large", "", "dialogues", "reviews", "meld", "embedded"):
        assert paths.from_here(name) == name


def test_the_names_that_are_no_paths_are_those_of_the_course():
    embedded = (encoders.EMBEDDED, encoders.EMBEDDED_BASE, encoders.EMBEDDED_MULTILINGUAL)
    assert {*corpora.OWN, "entities", "faq", "meld", *embedded, ""} == set(paths.NAMES)


def test_variables_with_paths_mean_what_they_mean_where_the_user_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBHELPERS_DATA", "data")
    monkeypatch.setenv("NBHELPERS_CACHE", "")
    paths.fix_environment()
    assert os.environ["NBHELPERS_DATA"] == str(tmp_path.resolve() / "data")
    assert os.environ["NBHELPERS_CACHE"] == ""
