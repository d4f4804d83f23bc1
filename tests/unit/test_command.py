"""The command `nbhelpers`: wrong requests, and what `list`, `doctor` and `results` show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from course_lessons import run_command, write_course

from nbhelpers.course import cli, paths

TOOL = Path(sys.executable).with_name("nbhelpers")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """A function that calls the command in this process, in `tmp_path`, on three small lessons."""
    write_course(tmp_path / "notebooks")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nbhelpers", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "07"], "there is no lesson '07'; there are 01_good, 02_bad, 03_slow"),
        (["run", "--profile", "huge"], "there is no profile 'huge'; there are default, other"),
        (["run", "-p", "epochs=3"], "no chosen lesson has a parameter 'epochs'; there are seed, rate, name, fast"),
        (["run", "-p", "seed"], "write name=value"),
        (["run", "-p", "seed=many"], "the value must be a whole number"),
        (["run", "-p", "rate=fast"], "the value must be a number"),
        (["run", "-p", "rate=nan"], "the value must be a number"),
        (["run", "-p", "seed=1", "--record"], "--record measures a profile as it is"),
        (["run", "-p", "fast=perhaps"], "the value must be true or false"),
        (["results", "nothing"], "there is no table 'nothing'; there are context, dialogues, meld, reviews, transfer"),
        (["results", "meld", "--only", "magic"], "no row 'magic'"),
        (["run", "--output", "notebooks/profiles.yml"], "it cannot hold a new folder (Not a directory)"),
        (["walk"], "No such command 'walk'"),
        (["run", "--fast"], "No such option"),
    ],
)
def test_a_wrong_request_gets_one_sentence_and_exit_code_2(command, tmp_path, arguments, message):
    code, _, err = command(*arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_wrong_request_ends_without_a_traceback_in_a_process_of_its_own(command, tmp_path):
    code, _, err = run_command(tmp_path / "notebooks", "run", "07")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["run", "01", "--record"], "--record"),
        (["results", "meld"], "measuring a results table"),
    ],
)
def test_an_installed_package_is_never_written_into(command, monkeypatch, tmp_path, arguments, action):
    monkeypatch.setattr(paths, "ROOT", tmp_path)  # not a checkout
    code, _, err = command(*arguments)
    assert code == 2
    assert f"{action} needs a checkout of the course" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_results_table_fits_into_80_columns():
    done = subprocess.run(
        [TOOL, "results", "meld", "--show"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert re.search(r"^ +utterance only +5 +\d\d\.\d ± \d\.\d ", done.stdout, re.MULTILINE)
    assert re.search(r"^ +LoRA: [+-]\d\.\d \(.*\), p 0\.\d+, against utterance only$", done.stdout, re.MULTILINE)
    assert "cover other seeds" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_doctor_and_list_show_the_course():
    for arguments, words in ((["doctor"], ["precision", "smoke", "gpu", "torch"]), (["list"], ["03", "num_epochs=3"])):
        done = subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=120, check=True)
        for word in words:
            assert word in done.stdout
