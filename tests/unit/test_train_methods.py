"""The methods of the electives as settings of `classifier.train`: losses, copies, a teacher, and a search."""

import json
import sys

import pandas as pd
import pytest
import torch

from nbhelpers import adversarial, classifier, corpora, distillation, imbalance
from nbhelpers.classifier import fitting, searching
from nbhelpers.classifier.data import Task
from nbhelpers.classifier.rows import Rows
from nbhelpers.classifier.settings import CHOICES, Settings, check
from nbhelpers.course.command import options as command

pytestmark = pytest.mark.slow
OPTIONS = {"num_epochs": 1, "max_length": 32, "batch_size": 16}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    split = corpora.load("reviews")["train"]
    names = split.features["label"].names
    path = tmp_path_factory.mktemp("methods") / "reviews.csv"
    texts, labels = split["text"][:80], [names[i] for i in split["label"][:80]]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def teacher(source, shallow_encoder):
    return classifier.train(source, source.parent / "teacher", encoder=shallow_encoder, **OPTIONS)


def make_task(texts=("so good", "so bad", "so so", "it was really good"), labels=(0, 1, 1, 0), **columns):
    rows = Rows(list(texts), list(labels), *(columns.get(name, []) for name in ("pairs", "speakers", "dialogue_ids")))
    return Task({"train": rows, "dev": rows}, ["good", "bad"], several=False)


def test_each_loss_is_that_of_its_unit():
    task = make_task(labels=(0, 1, 1, 1))
    objective = fitting.make_objective(task, Settings(logit_adjustment=0.5))
    assert objective.func is imbalance.logit_adjusted_loss
    assert objective.keywords["tau"] == 0.5
    assert objective.keywords["counts"].tolist() == [1, 3]
    objective = fitting.make_objective(task, Settings(adversarial="freelb", class_weights=1.0))
    assert objective.func is adversarial.freelb
    assert objective.keywords["objective"].keywords["class_weights"].tolist() == pytest.approx([2.0, 2 / 3])
    assert fitting.make_objective(task, Settings(teacher="runs/large")).func is distillation.distill


def test_the_command_offers_the_choices_of_the_settings():
    for name, enum in {
        "method": command.Method,
        "adversarial": command.Adversarial,
        "augment": command.Augment,
    }.items():
        assert set(enum) == set(CHOICES[name]) - {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adversarial": "pgd"}, "adversarial 'pgd' is not one of fgm, freelb"),
        ({"augment": "synonyms"}, "augment 'synonyms' is not one of typos"),
        ({"r_drop": 1.0, "teacher": "a"}, "r_drop and teacher are losses of their own; choose one of them"),
        ({"logit_adjustment": 1.0, "class_weights": 1.0}, "class_weights has no place in the loss of logit_adjustment"),
        ({"teacher": "a", "label_smoothing": 0.1}, "label_smoothing has no place in the loss of teacher"),
        ({"search": -1}, "search is -1, but must be from 0 to below 1000"),
    ],
)
def test_settings_that_do_not_go_together(options, message):
    with pytest.raises(classifier.ClassifierError, match=message):
        check(Settings(**options))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (make_task(dialogue_ids=[0, 0, 1, 1]), {"adversarial": "fgm"}, "adversarial is for texts that stand alone"),
        (make_task(dialogue_ids=[0, 0, 1, 1]), {"teacher": "a"}, "teacher is for texts that stand alone"),
        (make_task(pairs=["a", "b", "c", "d"]), {"augment": "typos"}, "augment is for single texts"),
        (make_task()._replace(several=True), {"logit_adjustment": 1.0}, "logit_adjustment is for one label per text"),
    ],
)
def test_settings_that_do_not_go_with_the_data(task, options, message):
    with pytest.raises(classifier.ClassifierError, match=message):
        fitting.check_task(task, Settings(**options))


def test_copies_with_typing_errors_are_trained_on_but_are_no_rows_of_the_corpus():
    task = make_task(texts=["a wonderful evening", "a terrible evening", "nothing special", "really wonderful"])
    rows = fitting.training_rows(task, Settings(augment="typos"))
    assert rows.texts[:4] == task.splits["train"].texts
    assert rows.labels == [0, 1, 1, 0] * 2
    assert all(new != old for new, old in zip(rows.texts[4:], rows.texts[:4], strict=True))
    assert fitting.training_rows(task, Settings()) is task.splits["train"]


@pytest.mark.parametrize("options", [{"adversarial": "fgm"}, {"logit_adjustment": 1.0}, {"augment": "typos"}])
def test_a_classifier_is_trained_with_a_method(source, shallow_encoder, tmp_path, options):
    folder = classifier.train(source, tmp_path / "model", encoder=shallow_encoder, **OPTIONS, **options)
    assert "\n".join(f"- {name}: {value}" for name, value in options.items()) in (folder / "README.md").read_text()


def test_a_student_learns_from_the_folder_of_a_teacher(source, shallow_encoder, teacher, tmp_path, monkeypatch):
    batches = []
    original = distillation.distill
    monkeypatch.setattr(
        distillation, "distill", lambda model, batch, **_: batches.append(batch) or original(model, batch)
    )
    folder = classifier.train(source, tmp_path / "model", encoder=shallow_encoder, teacher=str(teacher), **OPTIONS)
    logits = torch.cat([batch["teacher_logits"] for batch in batches])
    assert logits.shape == (64, 3)
    assert logits.std() > 0
    assert (folder / "model.safetensors").is_file()


def test_a_teacher_of_other_classes_is_refused_and_the_next_run_can_start(source, shallow_encoder, teacher, tmp_path):
    frame = pd.read_csv(source)
    frame["label"] = frame["label"].replace("neutral", "so-so")
    frame.to_csv(tmp_path / "other.csv", index=False)
    call = (tmp_path / "other.csv", tmp_path / "model")
    with pytest.raises(
        classifier.ClassifierError, match="cannot be the teacher: the teacher's labels are negative, neu"
    ):
        classifier.train(*call, encoder=shallow_encoder, teacher=str(teacher), **OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]
    with pytest.raises(Exception, match=r"nothing\.here"):
        classifier.train(*call, encoder=shallow_encoder, teacher="nothing.here", **OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def scored(monkeypatch, score):
    """Replace the training of a trial by a function (config, seed) -> score, and count the trainings."""
    calls = []

    def dev_score(task, settings, remembered, folder, num_parts):
        calls.append(settings)
        return score(settings)

    monkeypatch.setattr(searching, "dev_score", dev_score)
    return calls


DEFAULT = Settings(lr=1e-4, head_lr=1e-3, batch_size=16, search=12)


def test_a_better_configuration_is_used(monkeypatch, tmp_path):
    calls = scored(monkeypatch, lambda s: 0.5 + 1000 * s.lr + 1e-4 * (s.seed % 3))
    said = []
    found = searching.better_settings(make_task(), DEFAULT, {}, tmp_path, said.append)
    assert found.lr > DEFAULT.lr
    assert len(calls) == 12 + 10
    assert {call.seed for call in calls} == {0, *range(1000, 1005)}
    assert all(2e-5 <= call.lr <= 5e-4 and 2e-4 <= call.head_lr <= 5e-3 for call in calls)
    assert {call.batch_size for call in calls} <= {8, 16, 32}
    assert said[0].startswith("search: 12 trainings, then 10 to compare")
    assert said[1].endswith("Its settings are used")
    calls.clear()
    assert searching.better_settings(make_task(), DEFAULT, {}, tmp_path, said.append) == found
    assert not calls, "all trials are in the folder"


def test_a_configuration_that_was_only_lucky_is_not_used(monkeypatch, tmp_path):
    scored(monkeypatch, lambda s: 0.8 + hash((s.seed, round(1e9 * s.lr))) % 1000 / 1e5)
    said = []
    assert searching.better_settings(make_task(), DEFAULT, {}, tmp_path, said.append) is DEFAULT
    assert "95 % interval -" in said[1]
    assert said[1].endswith("The default is kept")


def test_a_search_in_which_all_scores_are_equal_keeps_the_default(monkeypatch, tmp_path):
    scored(monkeypatch, lambda s: 1.0)
    said = []
    assert searching.better_settings(make_task(), DEFAULT, {}, tmp_path, said.append) is DEFAULT
    assert said[1].endswith("the default is kept")


def test_search_without_optuna_ends_with_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in [name for name in sys.modules if name.startswith("nbhelpers.search")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("nbhelpers.search", raising=False)
    with pytest.raises(classifier.ClassifierError, match="search needs optuna; run pip install optuna"):
        searching.better_settings(make_task(), DEFAULT, {}, tmp_path, print)


def test_a_search_trains_real_models_and_the_folder_is_as_usual(source, shallow_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "NUM_SEEDS", 2)
    said = []
    options = {**OPTIONS, "encoder": shallow_encoder, "search": 2, "log": said.append}
    folder = classifier.train(source, tmp_path / "model", **options)
    assert sum(sentence.startswith("search: ") for sentence in said) == 2
    assert json.loads((folder / "scores.json").read_text())["rows"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_turns_of_dialogues_can_be_adjusted(shallow_encoder, tmp_path):
    split = corpora.load("dialogues")["train"]
    names = split.features["emotion"].names
    rows = split.select(range(120)).to_pandas()
    rows["emotion"] = [names[i] for i in rows["emotion"]]
    rows.to_csv(tmp_path / "talks.csv", index=False)
    options = {**OPTIONS, "max_length": None, "encoder": shallow_encoder, "dialogue": "dialogue_id"}
    folder = classifier.train(
        tmp_path / "talks.csv", tmp_path / "model", logit_adjustment=1.0, label="emotion", **options
    )
    assert "- logit_adjustment: 1.0" in (folder / "README.md").read_text()


def test_several_labels_are_copied_with_their_texts(shallow_encoder, tmp_path):
    texts = [f"a wonderful evening with {word}" for word in ("music", "friends", "dinner", "children")] * 15
    labels = ["good;music", "good", "food;good", "family"] * 15
    pd.DataFrame({"text": [f"{text} {i}" for i, text in enumerate(texts)], "label": labels}).to_csv(
        tmp_path / "visits.csv", index=False
    )
    options = {**OPTIONS, "encoder": shallow_encoder, "label_separator": ";"}
    folder = classifier.train(tmp_path / "visits.csv", tmp_path / "model", augment="typos", **options)
    assert "- augment: typos" in (folder / "README.md").read_text()
