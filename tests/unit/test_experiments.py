"""Runs of a results table: each kind of input and each addition to the loss, on a few turns."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from nbhelpers import adversarial, augmentation, corpora, dialogue, encoders, imbalance, objectives, training
from nbhelpers.course import experiments, paths, results
from nbhelpers.course.errors import CourseError
from nbhelpers.course.experiments import perturbing
from nbhelpers.course.experiments.data import read_for
from nbhelpers.course.experiments.fine_tuning import unfreezing
from nbhelpers.course.results.tables import configuration_faults

pytestmark = pytest.mark.slow

PLAIN = {
    "corpus": "dialogues",
    "method": "fine-tuning",
    "encoder": "embedded",
    "pooling": "mean",
    "num_epochs": 1,
    "lr": 1e-4,
    "head_lr": 1e-3,
    "schedule": "linear",
    "warmup_ratio": 0.1,
    "label_smoothing": 0.0,
    "batch_size": 64,
    "max_tokens": 1024,
}


@pytest.fixture(scope="module")
def splits():
    """The first 24 turns of each split, wherever a corpus is loaded."""
    load = corpora.load

    def load_few(name):
        return {split: part.select(range(24)) for split, part in load(name).items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "load", load_few)
        yield experiments.read("dialogues")[0]


@pytest.mark.parametrize(
    "extra",
    [
        {
            "context": "whole_dialogues",
            "speaker_format": "id",
            "causal_turns": True,
            "single_turns_first": 1,
            "shift": 0.5,
        },
        {"context": "windows", "speaker_format": "name", "past": 2, "sentiment": 0.5},
        {"tuning": {"method": "lora"}},
        {"context": "windows", "speaker_format": "id", "past": 1, "tuning": {"method": "lora"}},
        {"r_drop": 1.0, "label_smoothing": 0.1},
    ],
    ids=lambda extra: " ".join(extra),
)
def test_a_run_measures_everything_that_a_row_needs(splits, extra):
    config = {**PLAIN, **extra}
    row = experiments.score_run(config, [experiments.run(config, seed=0)])
    assert len(row["predictions"]) == len(splits["test"].texts)
    assert set(row["predictions"]) <= set(range(7))  # never one of the classes of sentiment
    assert {"dev", "test", "per_class", "seconds", "peak_gib", "threads", "tokens_per_second"} <= set(row)
    assert row["saved_bytes"] > 4 * row["trainable_parameters"] * 0.99
    assert (row["trainable_parameters"] < 1e6) == ("tuning" in extra)


def test_an_average_is_the_mean_of_its_members_probabilities(splits):
    members = [PLAIN, {**PLAIN, "context": "whole_dialogues", "add_to_seed": 3}]
    config = {"corpus": "dialogues", "method": "average", "members": members}
    trainings = results.trainings(config, seed=1)
    assert trainings == [(PLAIN, 1), ({**PLAIN, "context": "whole_dialogues"}, 4)]
    outcomes = [experiments.run(*training) for training in trainings]
    row = experiments.score_run(config, outcomes)
    mean = sum(outcome.probabilities["test"] for outcome in outcomes) / 2
    assert row["predictions"] == mean.argmax(-1).tolist()
    single = experiments.score_run(PLAIN, outcomes[:1])
    assert row["trainable_parameters"] == 2 * single["trainable_parameters"]
    assert row["saved_bytes"] == pytest.approx(2 * single["saved_bytes"], rel=0.01)
    assert row["seconds"] > single["seconds"]


def test_sentiments_and_labels_belong_to_the_same_turns(splits):
    tokenizer = AutoTokenizer.from_pretrained(encoders.embedded_folder())
    for settings in ({"context": "whole_dialogues"}, {"context": "windows", "past": 1}):
        examples = experiments.inputs(splits["train"], tokenizer, settings, sentiments=True)
        assert [label for example in examples for label in example["labels"]] == splits["train"].labels
        assert [label for example in examples for label in example["sentiments"]] == splits["train"].sentiments
        assert all("sentiments" not in x for x in experiments.inputs(splits["dev"], tokenizer, settings))


@pytest.mark.parametrize(
    ("extra", "function"),
    [
        ({}, objectives.cross_entropy),
        ({"r_drop": 1.0}, objectives.r_drop),
        ({"shift": 0.5}, objectives.emotion_shift),
        ({"shift": 0}, objectives.cross_entropy),
        ({"sentiment": 0.5}, objectives.multi_task),
    ],
)
def test_the_objective_is_the_one_that_the_configuration_names(extra, function):
    objective = experiments.make_objective({"label_smoothing": 0.1, **extra}, [0, 0, 0, 0, 1], 2)
    assert objective.func is function
    assert math.isclose(objective.keywords["label_smoothing"], 0.1)
    assert "class_weights" not in objective.keywords


@pytest.mark.parametrize("extra", [{}, {"r_drop": 1.0}])
def test_class_weights_grow_with_rarity_to_the_power_that_the_configuration_names(extra):
    config = {"label_smoothing": 0.1, **extra, "class_weight_power": 0.5}
    objective = experiments.make_objective(config, [0, 0, 0, 0, 1], 2)
    rare_to_common = objective.keywords["class_weights"][1] / objective.keywords["class_weights"][0]
    assert math.isclose(rare_to_common, 2, rel_tol=1e-6)  # four times as rare, twice the weight


def test_tf_idf_keeps_the_class_numbers_when_train_lacks_a_class():
    texts, labels = ["bad awful", "good fine", "bad", "good"] * 3, [0, 2, 0, 2] * 3  # nothing is neutral (1)
    split = experiments.Split(texts, labels, [], [], [])
    config, names = {"method": "tf-idf", "C": 10}, ["negative", "neutral", "positive"]
    probabilities, _ = experiments.tf_idf({"train": split, "dev": split, "test": split}, names, config, seed=0)
    for table in probabilities.values():
        assert table.shape == (12, 3)
        assert table.argmax(1).tolist() == labels
        assert not table[:, 1].any()


def test_the_first_dialogues_of_a_split_are_whole():
    split = experiments.Split(list("abcde"), [0, 1, 0, 1, 0], [], [7, 7, 8, 8, 9], [])
    assert experiments.first_dialogues(split, 2) == experiments.Split(list("abcd"), [0, 1, 0, 1], [], [7, 7, 8, 8], [])
    assert experiments.first_dialogues(split, 5) == split


@pytest.mark.parametrize("method", ["head", "ia3", "prefix"])
def test_speaker_tokens_that_would_stay_random_are_refused(splits, method):
    config = {**PLAIN, "context": "windows", "past": 1, "speaker_format": "id", "tuning": {"method": method}}
    with pytest.raises(CourseError, match=f"speaker_format id does not go with tuning by {method}"):
        experiments.run(config, seed=0)
    (fault,) = configuration_faults(config)  # also before a table is measured
    assert fault.startswith(f"speaker_format id does not go with tuning by {method}")


def test_speaker_tokens_are_trained_beside_lora(splits):
    config = {**PLAIN, "context": "windows", "past": 1, "speaker_format": "id", "tuning": {"method": "lora"}}
    assert list(configuration_faults(config)) == []
    model = experiments.train(splits, list(corpora.EMOTIONS), config, seed=0).model
    (rows,) = [p for name, p in model.named_parameters() if "trainable_tokens" in name]
    assert rows.requires_grad
    assert len(rows) == len(dialogue.speaker_tokens())


@pytest.mark.parametrize(
    ("extra", "function"),
    [
        ({"focal_gamma": 2.0}, imbalance.focal_loss),
        ({"logit_adjustment": 1.0}, imbalance.logit_adjusted_loss),
        ({"mixup": 0.2}, augmentation.mixup),
        ({"adversarial": {"method": "fgm", "epsilon": 0.5}}, adversarial.fgm),
        ({"effective_number_beta": 0.99}, objectives.cross_entropy),
    ],
)
def test_the_methods_of_the_electives_train(splits, extra, function):
    objective = experiments.make_objective({**PLAIN, **extra}, [0, 0, 0, 0, 1], 2)
    assert objective.func is function
    tokenizer, model = encoders.load("embedded", ["a", "b"])
    batch = dict(tokenizer(["Hello there.", "No."], padding=True, return_tensors="pt")) | {
        "labels": torch.tensor([0, 1])
    }
    loss = objective(model.train(), {name: batch[name] for name in ("input_ids", "attention_mask", "labels")})
    assert 0 < loss.item() < 10


def test_a_run_is_scored_on_perturbed_texts_as_well(splits, monkeypatch):
    monkeypatch.setattr(perturbing, "NUM_SEARCHED", 8)
    data, _ = read_for(PLAIN)
    config = {**PLAIN, "perturbations": ["typos", "words searched"]}
    outcome = experiments.run(config, seed=0)
    row = experiments.score_run(config, [outcome])
    assert set(row["perturbed"]) == {"typos", "words searched"}
    # The search only keeps a change that lowers the probability of the label, so no text becomes right by it.
    assert len(outcome.probabilities["test, words searched"]) == 8
    before = outcome.probabilities["test"][:8].argmax(-1) == data["test"].labels[:8]
    assert row["perturbed"]["words searched"]["accuracy"] <= before.mean()
    assert not np.allclose(outcome.probabilities["test"], outcome.probabilities["test, typos"])


def test_layers_are_unfrozen_from_the_last_one_down(splits):
    _, model = encoders.load("embedded", ["a", "b"])
    evaluate = unfreezing(model, 2, lambda model: 0.5)
    found = []
    for _ in range(5):
        trained = [layer for layer in range(6) if next(model.encoder.encoder.layer[layer].parameters()).requires_grad]
        found.append((trained, model.get_input_embeddings().weight.requires_grad))
        assert all(parameter.requires_grad for parameter in model.classifier.parameters())
        assert evaluate(model) == 0.5
    layers = [[], [4, 5], [2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert found == list(zip(layers, [False, False, False, False, True], strict=True))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_is_unfrozen_in_a_run_is_trained_and_a_low_layer_has_a_low_rate(splits, monkeypatch):
    seen = []
    make = training.make_optimizer
    monkeypatch.setattr(training, "make_optimizer", lambda *a, **options: seen.append(options) or make(*a, **options))
    before = encoders.load("embedded", ["a", "b"])[1].state_dict()
    for extra, moved in (({"unfreeze_per_epoch": 1, "num_epochs": 2}, [5]), ({"layer_decay": 0.8}, range(6))):
        _, model, *_ = experiments.train(read_for(PLAIN)[0], read_for(PLAIN)[1], {**PLAIN, **extra}, 0)
        assert seen[-1]["layer_decay"] == extra.get("layer_decay", 1.0)
        now = model.state_dict()
        names = [name for name in before if name.startswith("encoder.") and not torch.equal(now[name], before[name])]
        assert {int(name.split(".")[3]) for name in names if ".layer." in name} <= set(moved)


def test_students_learn_from_teachers_that_are_trained_once(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    config = {**PLAIN, "layers": [0, 3], "teachers": [{}, {"seed": 7}]}
    config["distillation"] = {"temperature": 2.0, "alpha": 0.9}
    outcome = experiments.run(config, seed=0)
    kept = sorted((tmp_path / "teachers").glob("*.safetensors"))
    assert len(kept) == 2
    whole = experiments.run(PLAIN, seed=0)
    assert outcome.costs["trainable_parameters"] < 0.75 * whole.costs["trainable_parameters"]
    again = experiments.run(config, seed=0)
    assert sorted((tmp_path / "teachers").glob("*.safetensors")) == kept
    assert np.allclose(again.probabilities["test"], outcome.probabilities["test"], atol=1e-5)
