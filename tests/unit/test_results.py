"""Results tables: what is checked, what is measured, what is stored, and what is reported."""

import importlib
import json
import re

import pytest

from nbhelpers.course import experiments, paths, provenance, results
from nbhelpers.course.errors import CourseError

SCORES = {"weighted_f1": 0.5, "macro_f1": 0.5, "accuracy": 0.5}
ELSEWHERE = {"device": "another CPU", "precision": "fp32", "seconds": 1.0, "threads": 1}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder that is used for the tables as well as for their results."""
    monkeypatch.setattr(paths, "TABLES", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    return tmp_path


def write_rows(folder, rows):
    """Store rows as if they had been measured."""
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_an_unfinished_line_is_ignored_and_does_not_spoil_the_next_row(tmp_path):
    results.append("t", {"row": "a"}, tmp_path)
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"row": "b", "te')
    results.append("t", {"row": "c"}, tmp_path)
    assert [row["row"] for row in results.read("t", tmp_path)] == ["a", "c"]


def test_the_first_row_of_an_empty_file_is_its_first_line(tmp_path):
    (tmp_path / "t.jsonl").touch()
    results.append("t", {"row": "a"}, tmp_path)
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 1


def test_a_row_keeps_what_it_says_itself(tmp_path):
    results.append("t", {"row": "a", "threads": 77}, tmp_path)
    (row,) = results.read("t", tmp_path)
    assert row["threads"] == 77
    assert {"device", "precision", "versions", "commit", "date"} <= set(row)


def test_stored_runs_are_not_measured_again(folder):
    rows = "{bag: {method: tf-idf, C: 1}, both: {method: average, members: [{method: tf-idf, C: 1}]}}"
    (folder / "t.yml").write_text(f"defaults: {{corpus: reviews}}\nrows: {rows}\n")
    config = results.table_rows("t")["both"]
    circumstances = provenance.circumstances()
    here = {"row": "both", "config": config, **{name: circumstances[name] for name in ("device", "precision")}}
    there = {**here, "device": ELSEWHERE["device"]}

    def missing(*stored):
        write_rows(folder, stored)
        return [seed for _, _, seed in results.missing_runs("t", 3, "both")]

    assert missing({**here, "seed": 0}) == [1, 2]
    # all runs of a row are to come from one kind of device
    assert missing({**here, "seed": 0}, {**there, "seed": 1}) == [1, 2]
    assert missing({**here, "seed": 0}, *({**there, "seed": seed} for seed in range(3))) == []
    # tf-idf does not depend on the seed
    assert [seed for row, _, seed in results.missing_runs("t", 3, None) if row == "bag"] == [0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{method: tf-idf}", "t, a: C is missing; correct"),
        ("{method: tf-idf, C: 1, c: 2}", "t, a: c is unknown; correct"),
        ("{method: magic}", "t, a: method 'magic' is not one of majority, tf-idf, fine-tuning, average"),
        ("{method: average, members: [{method: tf-idf, D: 1}]}", "D is unknown, C is missing"),
        (
            "{method: fine-tuning, class_weight_power: 1, shift: 1}",
            "class_weight_power does not go with shift; correct",
        ),
    ],
)
def test_a_faulty_configuration_is_refused_before_anything_is_measured(folder, row, message):
    (folder / "t.yml").write_text(f"defaults: {{corpus: reviews}}\nrows: {{a: {row}}}\n")
    with pytest.raises(CourseError, match=message):
        list(results.missing_runs("t", 1, None))


@pytest.mark.parametrize("table", ["context", "dialogues", "meld", "reviews", "transfer"])
def test_every_configuration_of_the_course_is_right(table):
    results.check_rows(table)


@pytest.mark.slow
def test_a_failing_run_does_not_keep_others_from_being_measured(folder, monkeypatch):
    monkeypatch.setenv("NBHELPERS_DATA", "nowhere")  # the folder in which the first row looks for its corpus
    rows = "{bad: {method: tf-idf, C: 1, corpus: imdb}, good: {method: majority}}"
    (folder / "t.yml").write_text(f"defaults: {{corpus: reviews}}\nrows: {rows}\n")
    with pytest.raises(CourseError, match=r"^t, bad: .*nowhere"):
        results.measure("t", 1, None, lambda line: None, jobs=2)
    (row,) = results.read("t")
    assert row["row"] == "good"
    assert row["commit"] == provenance.commit()


@pytest.mark.slow
def test_runs_are_measured_side_by_side_and_stored(folder):
    """Quick rows for real, each in a process of its own. An average shares the training of another row."""
    (folder / "t.yml").write_text(
        "defaults: {corpus: reviews}\nrows: {majority: {method: majority}, bag: {method: tf-idf, C: 1},\n"
        "  both: {method: average, members: [{method: tf-idf, C: 1}, {method: tf-idf, C: 1}]}}\n"
        "published: [[theirs, 5, '63.7', '', '', '', somewhere]]\n"
    )
    said = []
    results.measure("t", 1, None, said.append, jobs=2)
    rows = {row["row"]: row for row in results.read("t")}
    assert sorted(rows) == ["bag", "both", "majority"]
    assert rows["both"]["predictions"] == rows["bag"]["predictions"] != rows["majority"]["predictions"]
    # the members of the average are the same training, which was done once and counts twice
    assert rows["both"]["seconds"] == pytest.approx(2 * rows["bag"]["seconds"], abs=0.11)
    assert all(row["jobs"] == 2 and row["threads"] == 1 and row["device"] for row in rows.values())
    assert len(said) == 3
    results.measure("t", 1, None, said.append)
    assert len(said) == 3  # nothing was missing
    assert list(results.summary("t")["row"]) == ["majority", "bag", "both", "theirs"]
    assert list(results.summary("t", rows=["theirs", "bag"], costs=True)["weighted F1"].str.len()) == [4, 4]
    with pytest.raises(CourseError, match="no row 'sack'; there are majority, bag, both, theirs"):
        results.summary("t", rows=["sack"])


def test_rows_are_compared_on_the_seeds_that_both_have(monkeypatch, folder):
    rows = "{a: {lr: 1}, b: {lr: 2}, c: {lr: 4}, not measured: {lr: 3}, floor: {method: majority}}"
    table = f"defaults: {{corpus: c, method: fine-tuning}}\nbaseline: a\nagainst: {{c: b}}\nrows: {rows}\n"
    (folder / "t.yml").write_text(table, encoding="utf-8")
    gold = [0, 1] * 20
    split = experiments.Split([], gold, [], [row // 4 for row in range(40)], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    measured = (("a", 1, "0" * 40, (0, 1, 2)), ("b", 2, "01" * 20, (1, 2, 5)), ("c", 4, "01" * 20, (5,)))
    stored = []
    for row, lr, digits, seeds in measured:
        run = {"row": row, "config": {"corpus": "c", "method": "fine-tuning", "lr": lr}, "predictions": digits}
        stored += [{**run, "seed": seed, "test": SCORES, **ELSEWHERE} for seed in seeds]
    write_rows(folder, stored)
    results.write_tests("t")
    kept = json.loads((folder / "t.tests.json").read_text())
    assert list(kept) == ["a", "b", "c"]
    assert "against" not in kept["a"]
    assert kept["b"]["seeds"] == [1, 2]
    assert (kept["c"]["against"], kept["c"]["seeds"], kept["c"]["difference"]) == ("b", [5], 0)
    assert kept["b"]["difference"] == pytest.approx(1 - 1 / 3, abs=1e-4)
    shown = results.summary("t").set_index("row")[["difference", "against"]]
    assert re.fullmatch(r"\+66\.7 \([\d.]+ to [\d.]+\), p (0\.\d{3}|< 0\.001)", shown["difference"]["b"])
    assert list(shown["against"]) == ["", "a", "b", "", ""]


def test_a_row_of_another_corpus_is_not_compared_with_the_baseline(folder):
    rows = "{a: {}, b: {}, c: {corpus: d}, d: {corpus: d}, e: {test: d}, f: {corpus: d, test: c}}"
    table = f"defaults: {{corpus: c, method: fine-tuning}}\nbaseline: a\nagainst: {{d: c}}\nrows: {rows}\n"
    (folder / "t.yml").write_text(table, encoding="utf-8")
    found = {row: results.tables.compared_with("t", row) for row in "abcdef"}
    assert found == {"a": None, "b": "a", "c": None, "d": "c", "e": None, "f": "a"}


def test_comparisons_cover_the_seeds_and_are_corrected_for_their_number(monkeypatch, folder):
    """Each seed of b and of c has its own accuracy; c differs from a by more than seeds explain."""
    rows = "{a: {lr: 1}, b: {lr: 2}, c: {lr: 3}}"
    table = f"defaults: {{corpus: c, method: fine-tuning}}\nbaseline: a\nrows: {rows}\n"
    (folder / "t.yml").write_text(table, encoding="utf-8")
    split = experiments.Split([], [0] * 400, [], [], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    right = {"a": [200] * 5, "b": [196, 190, 166, 128, 199], "c": [240, 250, 245, 255, 248]}
    stored = []
    for lr, (row, numbers) in enumerate(right.items(), start=1):
        run = {"row": row, "config": {"corpus": "c", "method": "fine-tuning", "lr": lr}, "test": SCORES, **ELSEWHERE}
        stored += [
            {**run, "seed": seed, "predictions": "0" * number + "1" * (400 - number)}
            for seed, number in enumerate(numbers)
        ]
    write_rows(folder, stored)
    results.write_tests("t")
    kept = results.tests("t")
    assert kept["b"]["low"] < 0 < kept["b"]["high"]
    assert kept["c"]["low"] > 0
    p_b, p_c = (max(kept[row]["p_bootstrap"], kept[row]["p_permutation"]) for row in "bc")
    assert p_c < p_b
    assert kept["c"]["p_holm"] == pytest.approx(2 * p_c, abs=1e-5)  # the smaller of two is doubled
    assert kept["b"]["p_holm"] == pytest.approx(p_b, abs=1e-5)
    assert results.summary("t").set_index("row")["difference"]["b"].endswith(f", p {p_b:.3f}")
    # tests of earlier versions left the seeds out, so they are not shown
    del kept["b"]["p_holm"]
    (folder / "t.tests.json").write_text(json.dumps(kept))
    assert results.summary("t").set_index("row")["difference"]["b"] == ""


def test_a_row_is_compared_with_a_row_of_another_table_as_well(monkeypatch, folder):
    """Both comparisons count for the correction, and both are shown."""
    start = "defaults: {corpus: c, method: fine-tuning}\n"
    other = "against_other_table: {large: {table: small, row: s}}\n"
    (folder / "t.yml").write_text(f"{start}baseline: plain\n{other}rows: {{plain: {{lr: 1}}, large: {{lr: 2}}}}\n")
    (folder / "small.yml").write_text(f"{start}rows: {{s: {{lr: 3}}}}\n")
    split = experiments.Split([], [0] * 40, [], [], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    for table, row, lr, right in (("t", "plain", 1, 20), ("t", "large", 2, 40), ("small", "s", 3, 10)):
        config = {"corpus": "c", "method": "fine-tuning", "lr": lr}
        run = {"row": row, "config": config, "test": SCORES, "predictions": "0" * right + "1" * (40 - right)}
        for seed in range(3):
            results.append(table, {**run, **ELSEWHERE, "seed": seed})
    results.write_tests("t")
    kept = results.tests("t")["large"]
    assert (kept["against"], kept["other table"]["against"]) == ("plain", "s of table small")
    assert kept["other table"]["difference"] > kept["difference"] > 0
    assert kept["p_holm"] == pytest.approx(2 * max(kept["p_bootstrap"], kept["p_permutation"]), abs=1e-4)
    (line,) = results.summary("t").attrs["other tables"]
    assert line.startswith("large: +")
    assert line.endswith(", against s of table small")


def test_a_comparison_with_a_row_that_does_not_exist_is_refused_before_anything_is_measured(folder):
    rows = "defaults: {corpus: c, method: majority}\nrows: {a: {}}\n"
    (folder / "small.yml").write_text(rows)
    for other in ("{a: {table: small, row: b}}", "{b: {table: small, row: a}}", "{a: {table: none, row: a}}"):
        (folder / "t.yml").write_text(f"{rows}against_other_table: {other}\n")
        with pytest.raises(CourseError, match=r"does not exist|no table 'none'"):
            results.check_rows("t")


def test_an_average_can_have_fewer_runs_than_the_other_rows(folder):
    average = "{method: average, seeds: 1, members: []}"
    (folder / "t.yml").write_text(f"defaults: {{corpus: c}}\nrows: {{both: {average}}}\n", encoding="utf-8")
    assert [run.seed for run in results.missing_runs("t", 3, None)] == [0]


def test_an_interrupted_measurement_goes_on_behind_the_trainings_that_had_ended(folder, monkeypatch):
    """The second training of an average fails, then the whole is measured again: the first is not trained twice."""
    measuring = importlib.import_module("nbhelpers.course.results.measure")
    monkeypatch.setattr(paths, "ROOT", folder)
    members = [{"method": "fine-tuning", "lr": lr} for lr in (1, 2)]
    trained, broken = [], {2}

    def run(function, config, seed, threads):
        if config["lr"] in broken:
            raise CourseError("no memory")
        trained.append(config["lr"])
        return experiments.Outcome({}, {"seconds": 1.0}, "abc")

    monkeypatch.setattr(measuring, "in_own_process", run)
    assert measuring.outcome_of(members[0], 0, 1, 1).commit == "abc"
    with pytest.raises(CourseError, match="no memory"):
        measuring.outcome_of(members[1], 0, 1, 1)
    broken.clear()
    assert [measuring.outcome_of(member, 0, 1, 1).commit for member in members] == ["abc", "abc"]
    assert trained == [1, 2]
    # with another commit, nothing is taken over; and what no row needs any more is removed
    run_of = {lr: measuring.Run("r", {"method": "fine-tuning", "lr": lr}, 0) for lr in (1, 2)}
    both = measuring.Run("both", {"method": "average", "members": members}, 0)
    files = [measuring.outcome_file((member, 0), 1) for member in members]
    measuring.forget_outcomes(run_of[1], [both], 1)
    assert all(file.is_file() for file in files)
    measuring.forget_outcomes(both, [run_of[2]], 1)
    assert [file.is_file() for file in files] == [False, True]
    monkeypatch.setattr(measuring, "circumstances", lambda: {**provenance.circumstances(), "commit": "later"})
    assert measuring.outcome_file((members[1], 0), 1) != files[1] != measuring.outcome_file((members[1], 0), 2)


def test_predictions_of_many_classes_come_back_and_old_files_stay_readable(monkeypatch, folder):
    (folder / "t.yml").write_text("defaults: {corpus: c, method: fine-tuning}\nrows: {a: {}, b: {lr: 1}}\n")
    config, here = {"corpus": "c", "method": "fine-tuning"}, {**ELSEWHERE, "test": SCORES}
    write_rows(folder, [{"row": "a", "config": config, "seed": 0, "predictions": "0190", **here}])  # an old file
    results.append("t", {"row": "a", "config": config, "seed": 1, "predictions": [0, 10, 149, 9], **here})
    results.append("t", {"row": "a", "config": config, "seed": 2, "predictions": [0, 1, 9, 0], **here})
    assert results.predictions("t", "a") == {0: [0, 1, 9, 0], 1: [0, 10, 149, 9], 2: [0, 1, 9, 0]}
    assert results.read("t")[2]["predictions"] == "0190"  # as short as before
    # what an earlier version stored for ten classes or more cannot be told apart, but is noticed
    write_rows(folder, [{"row": "b", "config": {**config, "lr": 1}, "seed": 0, "predictions": "0101499", **here}])
    split = experiments.Split([], [0, 10, 149, 9], [], [], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, [str(i) for i in range(150)]))
    with pytest.raises(CourseError, match="row 'b', seed 0: 7 predictions for the 4 rows of test; remove this run"):
        results.write_tests("t")


def test_seeds_vote_on_each_test_row(monkeypatch, folder):
    (folder / "t.yml").write_text(
        "defaults: {corpus: c, method: fine-tuning}\nrows: {a: {}, not measured: {lr: 3}}\n", encoding="utf-8"
    )
    split = experiments.Split([], [0, 1, 1, 1], [], [], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    run = {"row": "a", "config": {"corpus": "c", "method": "fine-tuning"}, **ELSEWHERE}
    run["test"] = {**SCORES, "macro_f1": 0.25}
    digits = ["0111", "0100", "0010", "0011"]  # only seed 0 is right; two votes of each kind are a tie
    order = (2, 0, 3, 1)  # in which the runs ended; a tie goes to the label of seed 0 all the same
    write_rows(folder, [{**run, "seed": seed, "predictions": digits[seed]} for seed in order])
    results.write_tests("t")
    first, second = results.votes("t", ["a", "not measured"]).to_dict("records")
    assert (first["seeds"], first["weighted F1"], first["weighted F1 of their vote"]) == (4, "50.0 ± 0.0", "100.0")
    assert (first["macro F1"], first["macro F1 of their vote"]) == ("25.0 ± 0.0", "100.0")
    assert (second["seeds"], second["weighted F1"]) == (0, "")


def test_tests_can_be_written_to_another_folder(monkeypatch, folder):
    (folder / "t.yml").write_text("defaults: {corpus: c, method: fine-tuning}\nrows: {a: {}}\n", encoding="utf-8")
    split = experiments.Split([], [0, 1], [], [], [])
    monkeypatch.setattr(experiments, "read", lambda _: ({"test": split}, ["x", "y"]))
    run = {"row": "a", "config": {"corpus": "c", "method": "fine-tuning"}, "test": SCORES, **ELSEWHERE}
    write_rows(folder, [{**run, "seed": 0, "predictions": "01"}])
    (folder / "elsewhere").mkdir()
    results.write_tests("t", folder / "elsewhere")
    assert results.tests("t") == {}
    assert results.tests("t", folder / "elsewhere")["a"]["vote"]["accuracy"] == 1
