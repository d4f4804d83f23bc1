"""Runs of a results table: each form of input and each extra of the loss, on a few turns."""

import math

import pytest
from transformers import AutoTokenizer

from nbhelpers import encoders, objectives
from nbhelpers.course import experiments, results

PLAIN = {"corpus": "dialogues", "method": "fine-tuning", "encoder": "embedded", "pooling": "mean", "num_epochs": 1}
PLAIN |= {"lr": 1e-4, "head_lr": 1e-3, "schedule": "linear", "warmup_ratio": 0.1, "label_smoothing": 0.0}
PLAIN |= {"batch_size": 64, "max_tokens": 1024}


@pytest.fixture
def few(monkeypatch):
    """The first 24 turns of each split."""

    def read(name, whole=experiments.read):
        splits, names = whole(name)
        return {x: experiments.Split(*(column[:24] for column in split)) for x, split in splits.items()}, names

    monkeypatch.setattr(experiments, "read", read)
    return read("dialogues")[0]


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
        {"r_drop": 1.0, "label_smoothing": 0.1},
    ],
    ids=lambda extra: " ".join(extra),
)
def test_a_run_measures_what_a_row_needs(few, extra):
    config = {**PLAIN, **extra}
    row = experiments.scored(config, [experiments.run(config, seed=0)])
    assert len(row["predictions"]) == len(few["test"].texts)
    assert set(row["predictions"]) <= set("0123456")  # never a sentiment
    assert {"dev", "test", "per_class", "seconds", "peak_gib", "threads", "tokens_per_second"} <= set(row)
    assert row["saved_bytes"] > 4 * row["trainable_parameters"] * 0.99
    assert (row["trainable_parameters"] < 1e6) == ("tuning" in extra)


def test_an_average_is_that_of_what_its_members_give_by_themselves(few):
    members = [PLAIN, {**PLAIN, "context": "whole_dialogues", "add_to_seed": 3}]
    config = {"corpus": "dialogues", "method": "average", "members": members}
    parts = results.trainings(config, seed=1)
    assert parts == [(PLAIN, 1), ({**PLAIN, "context": "whole_dialogues"}, 4)]
    outcomes = [experiments.run(*part) for part in parts]
    row = experiments.scored(config, outcomes)
    mean = sum(outcome.probabilities["test"] for outcome in outcomes) / 2
    assert row["predictions"] == "".join(str(i) for i in mean.argmax(-1))
    single = experiments.scored(PLAIN, outcomes[:1])
    assert row["trainable_parameters"] == 2 * single["trainable_parameters"]
    assert row["saved_bytes"] == pytest.approx(2 * single["saved_bytes"], rel=0.01)
    assert row["seconds"] > single["seconds"]


def test_sentiments_and_labels_belong_to_the_same_turns(few):
    tokenizer = AutoTokenizer.from_pretrained(encoders.embedded_folder())
    for form in ({"context": "whole_dialogues"}, {"context": "windows", "past": 1}):
        examples = experiments.inputs(few["train"], tokenizer, form, sentiments=True)
        assert [label for x in examples for label in x["labels"]] == few["train"].labels
        assert [label for x in examples for label in x["sentiments"]] == few["train"].sentiments
        assert all("sentiments" not in x for x in experiments.inputs(few["dev"], tokenizer, form))


def test_the_objective_is_the_one_that_the_configuration_names():
    smoothing = {"label_smoothing": 0.1}
    for extra, function in (
        ({}, objectives.cross_entropy),
        ({"r_drop": 1.0}, objectives.r_drop),
        ({"shift": 0.5}, objectives.emotion_shift),
        ({"shift": 0}, objectives.cross_entropy),
        ({"sentiment": 0.5}, objectives.multi_task),
    ):
        made = experiments.objective({**smoothing, **extra}, [0, 0, 0, 0, 1], 2)
        assert made.func is function
        assert math.isclose(made.keywords["label_smoothing"], 0.1)
        assert "class_weights" not in made.keywords
    for extra in ({}, {"r_drop": 1.0}):
        made = experiments.objective({**smoothing, **extra, "class_weight_power": 0.5}, [0, 0, 0, 0, 1], 2)
        rare_to_common = made.keywords["class_weights"][1] / made.keywords["class_weights"][0]
        assert math.isclose(rare_to_common, 2, rel_tol=1e-6)  # four times as rare, twice the weight
