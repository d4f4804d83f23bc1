"""Results tables whose rows are tasks, long texts in a table, and rows for one's own encoder."""

import json

import pytest
import yaml

from nbhelpers import encoders
from nbhelpers.course import paths, results
from nbhelpers.course.errors import CourseError
from nbhelpers.course.experiments import tasks
from nbhelpers.course.experiments.lengths import join_windows, long_inputs

TABLE = {
    "scores": {"entity_f1": "entity F1", "recall": "recall"},
    "defaults": {"method": "task", "task": "tagging", "corpus": "entities", "encoder": None},
    "baseline": "names",
    "rows": {"names": None, "other": {"lower_case": True}},
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder for tables and one for results, in place of those of the course."""
    for name in ("TABLES", "RESULTS"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(paths, name, tmp_path / name)
    (tmp_path / "TABLES" / "mine.yml").write_text(yaml.safe_dump(TABLE, sort_keys=False))
    return tmp_path


def test_a_task_is_measured_by_its_name():
    scores = tasks.run_task({**TABLE["defaults"]}, seed=0)["test"]
    assert 0.05 < scores["entity_f1"] < 0.4
    assert scores["token_f1"] > scores["entity_f1"]
    assert scores["capitals_f1"] < 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"task": "none"}, "task 'none' is not one of"),
        ({"epochs": 3}, "epochs is unknown"),
        ({"corpus": None}, ""),
    ],
)
def test_wrong_settings_of_a_task_are_found_before_it_runs(change, fault):
    faults = list(tasks.task_faults({**TABLE["defaults"], **change}))
    assert [x for x in faults if fault and fault in x] or not fault
    assert "encoder is missing" in list(tasks.task_faults({"task": "tagging", "corpus": "entities"}))


def store(folder, row, gains):
    config = results.table_rows("mine")[row]
    for seed, f1 in enumerate(gains):
        run = {"row": row, "config": config, "seed": seed, "test": {"entity_f1": f1, "recall": 0.5}, "seconds": 1.0}
        run |= {"threads": 1, "device": "cpu", "precision": "fp32"}
        with (folder / "RESULTS" / "mine.jsonl").open("a") as file:
            file.write(json.dumps(run) + "\n")


def test_rows_of_tasks_are_compared_over_seeds(places):
    store(places, "names", [0.20, 0.22, 0.21, 0.19, 0.20])
    store(places, "other", [0.30, 0.31, 0.32, 0.29, 0.31])
    results.write_tests("mine", places / "RESULTS")
    kept = results.tests("mine")["other"]
    assert kept["difference"] == pytest.approx(0.102)
    assert 0.08 < kept["low"] < kept["difference"] < kept["high"] < 0.13
    assert kept["p_holm"] < 0.001
    table = results.summary("mine")
    assert table.attrs["scores"] == ["entity F1", "recall"]
    assert table.loc[1, "entity F1"] == "30.6 ± 1.1"
    assert table.loc[1, "difference"].startswith("+10.2 (")
    assert "other seeds, not other test items" in table.attrs["covers"]


def test_rows_for_another_encoder_are_added_once(places):
    rows = {"reviews, embedded": {"method": "fine-tuning", "encoder": "embedded", "lr": 1e-4}, "reviews, TF-IDF": None}
    path = places / "TABLES" / "encoders.yml"
    path.write_text(yaml.safe_dump({"defaults": {}, "rows": rows}, sort_keys=False))
    for _ in range(2):
        results.add_encoder("encoders", "roberta-base")
    added = results.table_rows("encoders")
    assert list(added) == [*rows, "reviews, roberta-base"]
    assert added["reviews, roberta-base"]["encoder"] == "roberta-base"
    with pytest.raises(CourseError, match='no rows "CORPUS, embedded"'):
        results.add_encoder("mine", "roberta-base")


@pytest.mark.parametrize("part", ["head", "tail", "head and tail", "windows"])
def test_long_texts_become_inputs_that_fit(part):
    import torch

    tokenizer, _ = encoders.load()
    texts = ["short", "word " * 100]
    config = {"long_texts": part, "max_length": 64}
    examples, text_ids = long_inputs(texts, [0, 1], tokenizer, config)
    assert all(len(example["input_ids"]) <= 64 for example in examples)
    assert [example["labels"] for example in examples] == text_ids
    logits = torch.arange(2.0 * len(examples)).reshape(-1, 2)
    joined = join_windows(logits, texts, [0, 1], tokenizer, config)
    assert joined.shape == (2, 2)
    if part == "windows":
        assert len(examples) > 2
        assert torch.allclose(joined[1], logits[1:].mean(0))
