"""The runner and the command, on small lessons of their own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbhelpers.course import lessons, results, runner

PARAMETERS = new_code_cell('seed = 0\nrate = 0.5\nname = "x"\nfast = False', metadata={"tags": ["parameters"]})


def write_lesson(folder, name, *cells):
    notebook = new_notebook(cells=[new_markdown_cell(f"# {name}"), PARAMETERS, *map(new_code_cell, cells)])
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture
def course(tmp_path):
    """Three lessons: the first passes, the second fails in its fourth cell, the third sleeps when told to."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    headline = "from nbhelpers.course.headline import headline\nheadline('seed seen', seed)"
    write_lesson(folder, "01_good", "memory = b'x' * 300_000_000", headline)
    write_lesson(folder, "02_bad", "x = 1", "y = x / 0  # the fault")
    write_lesson(folder, "03_slow", "import time\nif name == 'sleep':\n    time.sleep(600)", headline)
    (folder / "profiles.yml").write_text("default: {}\nother:\n  all: {seed: 5}\n  '03': {seed: 6}\n")
    return folder


def command(course, *arguments, **options):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # a background job ignores Ctrl-C
        "from pathlib import Path; from nbhelpers.course import lessons, cli; import sys;"
        "folder = Path(sys.argv.pop(1));"
        "all_lessons, profiles, values = lessons.all_lessons, lessons.profiles, lessons.profile_parameters;"
        "lessons.all_lessons = lambda *_: all_lessons(folder); lessons.profiles = lambda f=None: profiles(folder);"
        "lessons.profile_parameters = lambda p, x, f=None: values(p, x, folder); cli.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(course), *arguments], cwd=course.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "120"}, **options,
    )  # fmt: skip


def run(course, *arguments):
    process = command(course, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_run_goes_on_after_a_failure_and_says_where_it_was(course):
    code, out, err = run(course, "run", "-p", "seed=7")
    assert code == 1, err
    for expected in ("02_bad, cell 4", "y = x / 0  # the fault", "ZeroDivisionError: division by zero", "seed seen 7"):
        assert expected in out
    folder = next((course.parent / "runs").iterdir())
    summary = json.loads((folder / "summary.json").read_text())
    good, bad, slow = summary["lessons"]
    assert [bool(x["failure"]) for x in summary["lessons"]] == [False, True, False]
    assert bad["failure"]["cell"] == 4
    assert good["headline"] == slow["headline"] == {"seed seen": 7}
    assert good["peak_gib"] > bad["peak_gib"] + 0.2
    assert 0 < good["minutes"] < 1
    assert {path.name for path in folder.glob("*.ipynb")} == {"01_good.ipynb", "02_bad.ipynb", "03_slow.ipynb"}
    assert (
        "outputs" not in nbformat.read(course / "01_good.ipynb", 4).cells[2]
        or not nbformat.read(course / "01_good.ipynb", 4).cells[2].outputs
    )


def test_a_profile_sets_what_lessons_have_and_a_passing_run_ends_with_0(course):
    code, _, _ = run(course, "run", "1", "03", "--profile", "other")
    assert code == 0
    summary = json.loads(next((course.parent / "runs").glob("*/summary.json")).read_text())
    assert [x["headline"]["seed seen"] for x in summary["lessons"]] == [5, 6]


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
def test_wrong_requests_are_one_sentence_and_exit_code_2(course, arguments, message):
    code, _, err = run(course, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (course.parent / "runs").exists()


def sleeping(runs):
    """Whether the cell that sleeps has been started, by the executed copy (written anew at each cell)."""
    for copy in runs.glob("*/03_slow.ipynb"):
        with contextlib.suppress(ValueError):
            cells = json.loads(copy.read_text())["cells"]
            return any("sleep(600)" in "".join(c["source"]) and c["metadata"]["papermill"]["start_time"] for c in cells)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_kernel_and_leaves_no_process(course, number):
    process = command(course, "run", "03", "-p", "name=sleep", start_new_session=True)
    deadline = time.monotonic() + 60
    while not sleeping(course.parent / "runs"):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.3)
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not psutil.wait_procs(kernels, timeout=5)[1]


def test_a_kernel_that_dies_is_a_failure_with_its_cell(tmp_path):
    write_lesson(tmp_path, "04_dies", "fine = 1", "import os\nos._exit(9)")
    (tmp_path / "out").mkdir()
    lesson = lessons.read_lesson(tmp_path / "04_dies.ipynb")
    result = runner.run_lesson(lesson, {"seed": 1}, tmp_path / "out")
    assert result.failure.cell == 4
    assert "os._exit(9)" in result.failure.source
    assert "ran out of memory" in result.failure.error


def test_exactly_one_cell_holds_the_parameters(tmp_path):
    write_lesson(tmp_path, "01_two", "x = 1")
    notebook = nbformat.read(tmp_path / "01_two.ipynb", 4)
    notebook.cells[2].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "01_two.ipynb")
    with pytest.raises(lessons.CourseError, match="2 cells are tagged"):
        lessons.all_lessons(tmp_path)


def test_a_checkout_without_lessons_is_one_sentence(tmp_path):
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


def test_a_parameters_cell_with_code_is_refused(tmp_path):
    write_lesson(tmp_path, "01_code", "x = 1")
    notebook = nbformat.read(tmp_path / "01_code.ipynb", 4)
    notebook.cells[1].source = "seed = 1 + len('x')"
    nbformat.write(notebook, tmp_path / "01_code.ipynb")
    with pytest.raises(lessons.CourseError, match="only lines name = literal"):
        lessons.all_lessons(tmp_path)


def test_every_profile_of_the_course_fits_its_lessons():
    for profile in lessons.profiles():
        for lesson in lessons.all_lessons():
            lessons.profile_parameters(profile, lesson)


def test_an_unfinished_line_is_not_a_result_and_does_not_spoil_the_next(tmp_path):
    results.append("t", {"row": "a"}, tmp_path)
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"row": "b", "te')
    results.append("t", {"row": "c"}, tmp_path)
    assert [row["row"] for row in results.read("t", tmp_path)] == ["a", "c"]


def test_an_emptied_file_begins_with_its_first_row(tmp_path):
    (tmp_path / "t.jsonl").touch()
    results.append("t", {"row": "a"}, tmp_path)
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 1


def test_measuring_skips_what_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    rows = results.table_rows("dialogues")
    facts = results.circumstances()
    here = {"device": facts["device"], "precision": facts["precision"]}
    there = {"row": "the turn alone", "config": rows["the turn alone"], **here}
    elsewhere = {**there, "device": "an abacus"}

    def missing(*measured):
        monkeypatch.setattr(results, "read", lambda _: list(measured))
        return [seed for _, _, seed in results.missing_runs("dialogues", 3, "the turn alone")]

    assert missing({**there, "seed": 0}) == [1, 2]
    assert missing({**there, "seed": 0}, {**elsewhere, "seed": 1}) == [1, 2]  # a row belongs on one kind of device
    assert missing({**there, "seed": 0}, *({**elsewhere, "seed": i} for i in range(3))) == []
    assert [seed for name, _, seed in results.missing_runs("dialogues", 3, "tf-idf")] == [0]  # it draws nothing


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{method: tf-idf}", "t, a: C is missing; mend"),
        ("{method: tf-idf, C: 1, c: 2}", "t, a: c is unknown; mend"),
        ("{method: magic}", "t, a: method 'magic' is not one of majority, tf-idf, fine-tuning, average"),
        ("{method: average, members: [{method: tf-idf, D: 1}]}", "D is unknown, C is missing"),
        ("{method: fine-tuning, class_weight_power: 1, shift: 1}", "class_weight_power does not go with shift; mend"),
    ],
)
def test_a_row_that_would_not_be_what_it_says_is_refused(monkeypatch, tmp_path, row, words):
    (tmp_path / "t.yml").write_text(f"defaults: {{corpus: reviews}}\nrows: {{a: {row}}}\n")
    monkeypatch.setattr(results, "TABLES", tmp_path)
    with pytest.raises(lessons.CourseError, match=words):
        list(results.missing_runs("t", 1, None))


def test_a_run_that_fails_takes_no_other_with_it(monkeypatch, tmp_path):
    rows = "{bad: {method: tf-idf, C: 1, corpus: nowhere}, good: {method: majority}}"
    (tmp_path / "t.yml").write_text(f"defaults: {{corpus: reviews}}\nrows: {rows}\n")
    monkeypatch.setattr(results, "TABLES", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "read", lambda table, read=results.read: read(table, tmp_path))
    monkeypatch.setattr(results, "append", lambda table, row, append=results.append: append(table, row, tmp_path))
    with pytest.raises(lessons.CourseError, match=r"^t, bad: .*nowhere"):
        results.measure("t", 1, None, lambda line: None)
    (row,) = results.read("t")
    assert row["row"] == "good"
    assert row["commit"] == results.commit()


def test_measuring_runs_beside_each_other_and_keeps_each_row(monkeypatch, tmp_path):
    """Cheap rows for real, each in a process of its own; an average finds its members there."""
    (tmp_path / "t.yml").write_text(
        "defaults: {corpus: reviews}\nrows: {majority: {method: majority}, bag: {method: tf-idf, C: 1},\n"
        "  both: {method: average, members: [{method: tf-idf, C: 1}, {method: tf-idf, C: 1}]}}\n"
        "published: [[theirs, 5, '63.7', '', '', '', somewhere]]\n"
    )
    monkeypatch.setattr(results, "TABLES", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "read", lambda table, read=results.read: read(table, tmp_path))
    monkeypatch.setattr(results, "append", lambda table, row, append=results.append: append(table, row, tmp_path))
    said = []
    results.measure("t", 1, None, said.append, jobs=2)
    rows = {row["row"]: row for row in results.read("t")}
    assert sorted(rows) == ["bag", "both", "majority"]
    assert rows["both"]["predictions"] == rows["bag"]["predictions"] != rows["majority"]["predictions"]
    assert rows["both"]["seconds"] == pytest.approx(2 * rows["bag"]["seconds"], abs=0.11)  # trained once, counted twice
    assert all(row["jobs"] == 2 and row["threads"] == 1 and row["device"] for row in rows.values())
    assert len(said) == 3
    results.measure("t", 1, None, said.append)
    assert len(said) == 3  # nothing is measured twice
    assert list(results.summary("t")["row"]) == ["majority", "bag", "both", "theirs"]
    assert list(results.summary("t", rows=["theirs", "bag"], costs=True)["weighted F1"].str.len()) == [4, 4]
    with pytest.raises(lessons.CourseError, match="no row 'sack'; there are majority, bag, both, theirs"):
        results.summary("t", rows=["sack"])


def test_rows_are_compared_with_the_baseline_on_the_seeds_both_have(monkeypatch, tmp_path):
    from nbhelpers.course import experiments

    rows = "{a: {lr: 1}, b: {lr: 2}, c: {lr: 4}, not measured: {lr: 3}, floor: {method: majority}}"
    table = f"defaults: {{corpus: c, method: fine-tuning}}\nbaseline: a\nagainst: {{c: b}}\nrows: {rows}\n"
    (tmp_path / "t.yml").write_text(table, encoding="utf-8")
    gold = [0, 1] * 20
    split = experiments.Split([], gold, [], [row // 4 for row in range(40)], [])
    circumstances = {"device": "cpu", "precision": "fp32", "seconds": 1.0, "threads": 1}
    score = {"weighted_f1": 0.5, "macro_f1": 0.5, "accuracy": 0.5}
    measured = [
        {"row": row, "config": {"corpus": "c", "method": "fine-tuning", "lr": lr}, "seed": seed, "test": score,
         "predictions": digits, **circumstances}
        for row, lr, digits, seeds in (
            ("a", 1, "0" * 40, (0, 1, 2)), ("b", 2, "01" * 20, (1, 2, 5)), ("c", 4, "01" * 20, (5,))
        ) for seed in seeds
    ]  # fmt: skip
    monkeypatch.setattr(results, "TABLES", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "read", lambda _: measured)
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    results.write_tests("t")
    found = json.loads((tmp_path / "t.tests.json").read_text())
    assert list(found) == ["a", "b", "c"]
    assert "against" not in found["a"]
    assert found["b"]["seeds"] == [1, 2]
    assert (found["c"]["against"], found["c"]["seeds"], found["c"]["difference"]) == ("b", [5], 0)
    assert found["b"]["difference"] == pytest.approx(1 - 1 / 3, abs=1e-4)
    shown = results.summary("t").set_index("row")[["difference", "against"]]
    assert re.fullmatch(r"\+66\.7 \([\d.]+ to [\d.]+\), p 0\.\d{3}", shown["difference"]["b"])
    assert list(shown["against"]) == ["", "a", "b", "", ""]


def test_seeds_vote_on_each_test_row(monkeypatch, tmp_path):
    from nbhelpers.course import experiments

    (tmp_path / "t.yml").write_text(
        "defaults: {corpus: c, method: fine-tuning}\nrows: {a: {}, not measured: {lr: 3}}\n", encoding="utf-8"
    )
    circumstances = {"device": "cpu", "precision": "fp32", "config": {"corpus": "c", "method": "fine-tuning"}}
    score = {"weighted_f1": 0.5, "macro_f1": 0.25, "accuracy": 0.5}
    made = ["0111", "0100", "0010", "0011"]  # the last three are wrong, their vote with the first is not
    order = (2, 0, 3, 1)  # in which they were done; a tie goes to the label of seed 0 all the same
    measured = [{"row": "a", "seed": i, "test": score, "predictions": made[i], **circumstances} for i in order]
    monkeypatch.setattr(results, "TABLES", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "read", lambda _: measured)
    split = experiments.Split([], [0, 1, 1, 1], [], [], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    results.write_tests("t")
    first, second = results.votes("t", ["a", "not measured"]).to_dict("records")
    assert (first["seeds"], first["weighted F1"], first["weighted F1 of their vote"]) == (4, "50.0 ± 0.0", "100.0")
    assert (first["macro F1"], first["macro F1 of their vote"]) == ("25.0 ± 0.0", "100.0")
    assert (second["seeds"], second["weighted F1"]) == (0, "")


def test_a_table_of_results_fits_into_80_columns():
    tool = Path(sys.executable).with_name("nbhelpers")
    done = subprocess.run(
        [tool, "results", "meld", "--show"], capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    assert re.search(r"^ +utterance only +5 +\d\d\.\d ± \d\.\d ", done.stdout, re.MULTILINE)
    assert re.search(r"^ +LoRA: [+-]\d\.\d \(.*\), p 0\.\d+, against utterance only$", done.stdout, re.MULTILINE)


def test_doctor_and_list_show_the_course():
    tool = Path(sys.executable).with_name("nbhelpers")
    for arguments, words in ((["doctor"], ["precision", "smoke", "gpu", "torch"]), (["list"], ["03", "num_epochs=3"])):
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=120, check=True)
        for word in words:
            assert word in done.stdout
