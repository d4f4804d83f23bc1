"""The table of lesson 9 with clean and robust scores, from rows that were measured and rows that were not."""

import json

import pytest

from nbhelpers.course import paths, results
from nbhelpers.course.robust_scores import robust_scores

TABLE = """
defaults: {corpus: reviews, method: majority, perturbations: [typos, words searched]}
rows: {plain: {}, FGM: {adversarial: {method: fgm}}}
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "TABLES", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    (tmp_path / "t.yml").write_text(TABLE, encoding="utf-8")
    return tmp_path


def store(folder, row, *runs):
    config, device = results.table_rows("t")[row], {"device": "a CPU", "precision": "fp32"}
    with (folder / "t.jsonl").open("a", encoding="utf-8") as file:
        for seed, (clean, typos, searched) in enumerate(runs):
            perturbed = {"typos": {"weighted_f1": typos}, "words searched": {"weighted_f1": searched}}
            run = {"row": row, "config": config, "seed": seed, "test": {"weighted_f1": clean}, "perturbed": perturbed}
            file.write(json.dumps(run | device | {"tokens_per_second": 1000 + 500 * seed}) + "\n")


def test_clean_and_robust_scores_are_side_by_side(folder):
    store(folder, "plain", (0.9, 0.8, 0.5), (0.9, 0.82, 0.6))
    table = robust_scores("t").set_index("row")
    assert list(table) == ["seeds", "clean", "typos", "words searched", "tokens per second"]
    assert table.loc["plain"].tolist() == [2, "90.0 ± 0.0", "81.0 ± 1.4", "55.0 ± 7.1", "1,250"]
    assert table.loc["FGM"].tolist() == [0, "", "", "", ""]
    store(folder, "FGM", (0.91, 0.85, 0.7))
    assert robust_scores("t", ["FGM"]).iloc[0].tolist() == ["FGM", 1, "91.0", "85.0", "70.0", "1,000"]


def test_before_anything_was_measured_it_names_the_rows(folder):
    assert robust_scores("t")["row"].tolist() == ["plain", "FGM"]
    assert robust_scores("t")["seeds"].tolist() == [0, 0]


def test_the_lessons_table_can_be_shown():
    table = robust_scores("robustness")
    assert table["row"].tolist() == list(results.table_rows("robustness"))
    assert {"clean", "typos", "words searched"} <= set(table)
