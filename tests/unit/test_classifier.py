"""From a file of texts to a classifier: train, resume, evaluate, predict."""

import csv
import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from nbhelpers import classifier, corpora
from nbhelpers.classifier import predicting, report, settings
from nbhelpers.classifier.served import load
from nbhelpers.classifier.trainer import OutOfMemory, Trainer, parts

pytestmark = pytest.mark.slow


def reviews(path, num_rows=160):
    """A csv with columns that nobody named, of the written reviews."""
    split = corpora.load("reviews")["train"]
    names = split.features["label"].names
    rows = [{"id": i, "Review": row["text"], "stars": names[row["label"]]} for i, row in enumerate(split)]
    pd.DataFrame(rows[:num_rows]).to_csv(path, index=False)
    return path


OPTIONS = {"num_epochs": 2, "max_length": 48, "lr": 2e-4}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return reviews(tmp_path_factory.mktemp("own") / "reviews.csv")


@pytest.fixture(scope="module")
def folder(source):
    seen = []
    folder = classifier.train(source, source.parent / "model", progress=seen.append, **OPTIONS)
    last = seen[-1]
    assert last.update == last.num_updates == len({step.update for step in seen})
    assert [min(step.update for step in seen if step.epoch == epoch) for epoch in (1, 2)] == [1, 1 + last.update // 2]
    assert last.epoch == last.num_epochs == 2
    assert 0 < last.score < 1
    return folder


def test_the_folder_tells_how_good_the_classifier_is(folder):
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "scores.json", "mistakes.csv", "confusion.png", "config.json", "model.safetensors"} <= names
    found = json.loads((folder / "scores.json").read_text())
    assert found["split"] == "test"
    assert found["rows"] == 16
    assert set(found["scores"]) == {"this classifier", "TF-IDF", "most frequent class"}
    ours = found["scores"]["this classifier"]
    assert ours["weighted F1, from"] <= ours["weighted F1"] <= ours["weighted F1, to"]
    assert set(found["per class"]) == {"negative", "neutral", "positive"}
    card = (folder / "README.md").read_text()
    assert "one of these labels: negative, neutral, positive" in card
    assert f"{100 * ours['weighted F1']:.1f}" in card
    assert found["verdict"] in card
    for term in ("F1", "support", "TF-IDF", "most frequent class", "accuracy"):
        assert f"- {term}: " in card
    assert "- micro F1" not in card
    assert "fits the probabilities to 16 dev rows, of which" in card
    assert not list(folder.parent.glob("*.checkpoints"))
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["corpus_options"] == {
        "text": "Review",
        "label": "stars",
        "dev_share": 0.1,
        "test_share": 0.1,
    }


def test_evaluation_of_the_test_split_gives_the_same_scores(folder, source, tmp_path):
    test = corpora.load(source, dev_share=0.1, test_share=0.1)["test"]
    names = test.features["label"].names
    path = tmp_path / "more.csv"
    pd.DataFrame({"Review": test["text"][:], "stars": [names[i] for i in test["label"]]}).to_csv(path, index=False)
    found = classifier.evaluate(folder, path, text="Review", label="stars")
    saved = json.loads((folder / "scores.json").read_text())["scores"]["this classifier"]
    assert found.scores.loc["this classifier", "weighted F1"] == pytest.approx(saved["weighted F1"], abs=1e-6)
    with pytest.raises(classifier.ClassifierError, match="are not the classifier's"):
        classifier.evaluate(
            folder, path, text="Review", label="stars", labels={"positive": "yes", "neutral": "no", "negative": "no"}
        )


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_predictions_keep_rows_and_columns(folder, source, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 30)
    frame = pd.read_csv(source)
    frame.loc[3, "Review"] = None
    write = {
        "csv": frame.to_csv,
        "tsv": lambda p, index: frame.to_csv(p, sep="\t", index=index),
        "parquet": frame.to_parquet,
    }
    path = tmp_path / f"big.{suffix}"
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        write[suffix](path, index=False)
    out = classifier.predict(folder, path, tmp_path / f"out.{suffix}", text="Review", all_probabilities=True)
    read = {"csv": pd.read_csv, "tsv": lambda p: pd.read_csv(p, sep="\t"), "parquet": pd.read_parquet}
    found = pd.read_json(out, lines=True) if suffix == "jsonl" else read[suffix](out)
    assert found["id"].tolist() == frame["id"].tolist()
    assert list(found.columns)[:5] == ["id", "Review", "stars", "predicted", "probability"]
    assert found["Review"].fillna("").tolist() == frame["Review"].fillna("").tolist()
    assert pd.isna(found.loc[3, "predicted"])
    model = load(folder, 1)
    from nbhelpers.serving import probabilities

    i = 17
    alone = probabilities(model.predict(model.encode([frame.loc[i, "Review"]])), 1, 3)[0]
    columns = [f"probability of {name}" for name in model.labels]
    assert np.abs(found.loc[i, columns].to_numpy(float) - alone).max() < 1e-4
    assert found.loc[i, "predicted"] == model.labels[alone.argmax()]
    assert not list(tmp_path.glob("*.parts"))


def test_a_stopped_prediction_goes_on_without_a_lost_or_doubled_row(folder, source, tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 30)
    whole = classifier.predict(folder, source, tmp_path / "whole.csv", text="Review")
    calls = []

    def stop(rows):
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classifier.predict(folder, source, tmp_path / "out.csv", text="Review", progress=stop)
    assert calls == [30, 60]
    (tmp_path / "out.csv.parts" / "000000000090.csv.new").write_text("half a part")
    with pytest.raises(classifier.ClassifierError, match="is of another file, model or call"):
        classifier.predict(folder, source, tmp_path / "out.csv", text="stars")
    calls = []
    classifier.predict(folder, source, tmp_path / "out.csv", text="Review", progress=calls.append)
    assert calls == [90, 120, 150, 160]
    assert (tmp_path / "out.csv").read_bytes() == whole.read_bytes()


def test_what_cannot_be_predicted(folder, source, tmp_path):
    def message(*arguments, **options):
        with pytest.raises((classifier.ClassifierError, corpora.CorpusError)) as caught:
            classifier.predict(folder, *arguments, **options)
        return str(caught.value)

    assert (
        "no column 'txt'; the columns are id, Review, stars; pass text=, and columns= if there is no header"
        in message(source, tmp_path / "new" / "a.csv", text="txt")
    )
    assert "does not exist" in message(tmp_path / "no.csv", tmp_path / "b.csv")
    assert "is a folder, but a file is needed" in message(tmp_path, tmp_path / "b.csv")
    assert "cannot be written" in message(source, tmp_path / "b.xlsx")
    assert "exists already" in message(source, source)
    bad = tmp_path / "bad.csv"
    bad.write_text("Review\nfine, really\n")
    assert "bad.csv, row 2: the number of fields is 2 instead of 1" in message(bad, tmp_path / "c.csv", text="Review")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"], "a failure leaves nothing behind"


@pytest.mark.parametrize("kind", ["semicolons", "txt", "xlsx", "json", "cp1252"])
def test_a_file_that_train_reads_can_be_predicted(folder, source, tmp_path, kind):
    frame, options, said = pd.read_csv(source).head(20), {}, []
    frame["Review"] = [f"{text}; so schön, \u201cja\u201d" for text in frame["Review"]]
    path = tmp_path / f"more.{kind if kind in ('txt', 'xlsx', 'json') else 'csv'}"
    if kind == "txt":
        path.write_text("".join(f"{text}\n" for text in frame["Review"]), encoding="utf-8")
        options = {"columns": ["Review"], "quotes": False}
    elif kind == "xlsx":
        frame.to_excel(path, index=False)
    elif kind == "json":
        frame.to_json(path, orient="records", force_ascii=False)
    else:
        options = {"encoding": kind} if kind == "cp1252" else {}
        frame.to_csv(path, index=False, sep=";", encoding=options.get("encoding", "utf-8"))
    found = pd.read_csv(classifier.predict(folder, path, tmp_path / "out.csv", log=said.append, **options))
    assert found["Review"].tolist() == frame["Review"].tolist()
    assert found["predicted"].notna().all()
    told = ["more.csv: a semicolon separates the columns, not a comma"] if path.suffix == ".csv" else []
    assert said == told
    if kind == "cp1252":
        with pytest.raises(corpora.CorpusError, match=r"the file is probably in cp1252; pass encoding='cp1252'"):
            classifier.predict(folder, path, tmp_path / "again.csv")


def test_the_options_of_training_are_those_of_prediction(tmp_path, shallow_encoder):
    rows = [f'{i}~"Nr. {i}", so {"gut" if i % 2 else "schlecht"}~{"ja" if i % 2 else "nein"}\n' for i in range(60)]
    path = tmp_path / "a.csv"
    path.write_text("".join(rows), encoding="utf-8")
    options = {"columns": ["id", "said", "kind"], "delimiter": "~", "quotes": False, "text": "said", "label": "kind"}
    folder = classifier.train(path, tmp_path / "model", encoder=shallow_encoder, num_epochs=1, **options)
    found = pd.read_csv(classifier.predict(folder, path, tmp_path / "out.csv"))
    assert found["said"][1] == '"Nr. 1", so gut'
    assert len(found) == 60


def test_a_call_that_wrote_no_part_does_not_block_the_next(folder, source, tmp_path):
    parts = tmp_path / "out.csv.parts"
    parts.mkdir()
    (parts / "run.json").write_text('{"source": "of another call"}')
    classifier.predict(folder, source, tmp_path / "out.csv")
    assert not parts.exists()


def test_what_was_trained_on_is_named_in_an_evaluation(folder, source, tmp_path):
    told = classifier.evaluate(folder, source).verdict
    assert told.startswith("128 of these 160 texts are also in its training data, so the scores are too good")
    fresh = corpora.load("reviews")["test"].to_pandas().head(40)
    names = corpora.load("reviews")["test"].features["label"].names
    rows = pd.DataFrame({"Review": fresh["text"], "stars": [names[i] for i in fresh["label"]]})
    rows.loc[3, "stars"] = None
    rows.to_csv(tmp_path / "more.csv", index=False, sep=";")
    with pytest.raises(corpora.CorpusError, match=r"more.csv, row 5: stars is missing; fill it in or delete the row$"):
        classifier.evaluate(folder, tmp_path / "more.csv")
    said = []
    found = classifier.evaluate(folder, tmp_path / "more.csv", on_fault="drop", log=said.append)
    assert (found.split, found.num_rows, found.verdict) == ("more.csv", 39, "")
    assert said == [
        "more.csv: a semicolon separates the columns, not a comma",
        "more.csv: rows left out: stars missing (1)",
    ]


def test_a_model_that_does_not_exist(source, tmp_path):
    with pytest.raises(classifier.ClassifierError, match="nothere is no folder; pass the folder that train"):
        classifier.evaluate(tmp_path / "nothere", source)


def test_evaluation_does_not_leave_out_rows_because_training_did(source, tmp_path, shallow_encoder):
    frame = pd.read_csv(source)
    frame.loc[3, "stars"] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    options = {"encoder": shallow_encoder, "num_epochs": 1, "max_length": 32}
    folder = classifier.train(tmp_path / "a.csv", tmp_path / "model", on_fault="drop", **options)
    with pytest.raises(corpora.CorpusError, match="row 5: stars is missing"):
        classifier.evaluate(folder, tmp_path / "a.csv")


def test_typos_among_the_labels_are_named_beside_the_verdict(source, tmp_path, shallow_encoder):
    frame = pd.read_csv(source)
    frame.loc[3, "stars"] = "positve"
    frame.to_csv(tmp_path / "a.csv", index=False)
    options = {"encoder": shallow_encoder, "num_epochs": 1, "max_length": 32}
    folder = classifier.train(tmp_path / "a.csv", tmp_path / "model", **options)
    told = "Look at the labels before you trust it: stars: 'positve' may be a typo of 'positive'."
    assert json.loads((folder / "scores.json").read_text())["verdict"].endswith(told)
    assert told in (folder / "README.md").read_text()


def killed_and_resumed(source, output, options):
    """The folder of a run that was killed in its second half, and then resumed."""
    script = (
        "import os\nfrom nbhelpers import classifier\n"
        "def progress(step):\n"
        "    if step.score is not None and step.update > step.num_updates / 2: os._exit(9)\n"
        f"classifier.train({str(source)!r}, {str(output)!r}, progress=progress, **{options!r})\n"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", script], env=env, stdout=subprocess.DEVNULL).returncode == 9
    with pytest.raises(classifier.ClassifierError, match="is a run that was stopped; go on with resume"):
        classifier.train(source, output, **options)
    with pytest.raises(classifier.ClassifierError, match=r"is a run with lr=.*, not 0.1; resume it with the same"):
        classifier.train(source, output, resume=True, **{**options, "lr": 0.1})
    return classifier.train(source, output, resume=True, **options)


def assert_same_weights(folder, other):
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, other))
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)
    assert (folder / "scores.json").read_bytes() == (other / "scores.json").read_bytes()


def test_a_run_that_was_killed_ends_with_the_same_weights(source, tmp_path, shallow_encoder, one_thread):
    options = {**OPTIONS, "encoder": shallow_encoder}
    resumed = killed_and_resumed(source, tmp_path / "model", options)
    assert_same_weights(resumed, classifier.train(source, tmp_path / "other", **options))


def test_a_run_on_dialogues_that_was_killed_ends_with_the_same_weights(talks, tmp_path, shallow_encoder, one_thread):
    """It is killed in the second phase, which reads whole dialogues."""
    options = {"dialogue": "scene", "speaker": "who", "text": "said", "label": "kind", "num_epochs": 2}
    options["encoder"] = shallow_encoder
    resumed = killed_and_resumed(talks, tmp_path / "model", options)
    assert_same_weights(resumed, classifier.train(talks, tmp_path / "other", **options))


@pytest.mark.parametrize("method", ["lora", "ia3", "frozen"])
def test_the_methods_can_be_used_like_a_whole_model(source, tmp_path, shallow_encoder, method):
    options = {"encoder": shallow_encoder, "num_epochs": 1, "max_length": 32}
    folder = classifier.train(source, tmp_path / "model", method=method, **options)
    out = classifier.predict(folder, source, tmp_path / "out.csv", text="Review")
    with out.open() as file:
        assert len(list(csv.reader(file))) == 161


def test_a_folder_that_exists_and_a_run_that_does_not(folder, source, tmp_path):
    with pytest.raises(classifier.ClassifierError, match="exists already"):
        classifier.train(source, folder)
    with pytest.raises(classifier.ClassifierError, match="so nothing can be resumed"):
        classifier.train(source, tmp_path / "new", resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method 'magic' is not one of full, lora, frozen, ia3"),
        ({"past_only": True}, "past_only is for whole dialogues"),
        ({"lr": -1.0}, "lr is -1.0, but must be above 0"),
        ({"max_length": 9999}, "max_length is 9999, but embedded reads 512 tokens"),
        ({"context": "whole_dialogues"}, "needs dialogues"),
        ({"txt": "Review"}, "load_table has no option 'txt'"),
    ],
)
def test_settings_that_are_not_possible(source, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        classifier.train(source, tmp_path / "model", **options)


def test_predicting_with_an_export_starts_without_torch():
    code = "import sys; from nbhelpers.classifier import predicting; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_small_files_get_more_epochs():
    assert settings.complete(settings.Settings(), 10_000).num_epochs == 4
    assert settings.complete(settings.Settings(), 500).num_epochs == 5


def test_parts_of_a_batch_have_every_example_once():
    batch = {"input_ids": torch.arange(14).reshape(7, 2), "labels": torch.arange(7)}
    for num_parts in (1, 2, 3, 7):
        found = parts(batch, num_parts)
        assert torch.cat([part["labels"] for part in found]).tolist() == list(range(7))


def test_too_little_memory_halves_the_batches(source, tmp_path, shallow_encoder, monkeypatch):
    seen = []
    step = Trainer.training_step

    def too_large(self, model, inputs, num_items=None):
        seen.append(self.num_parts)
        if self.num_parts < 4:
            raise OutOfMemory
        return step(self, model, inputs, num_items)

    monkeypatch.setattr(Trainer, "training_step", too_large)
    options = {"encoder": shallow_encoder, "num_epochs": 1, "max_length": 32}
    folder = classifier.train(source, tmp_path / "model", **options)
    assert seen[:3] == [1, 2, 4]
    assert folder.is_dir()


def test_a_batch_that_this_machine_has_no_memory_for_is_computed_in_parts(source, tmp_path, monkeypatch):
    said, seen = [], []
    step = Trainer.training_step
    monkeypatch.setattr(
        Trainer, "training_step", lambda self, *given: (seen.append(self.num_parts), step(self, *given))[1]
    )
    monkeypatch.setattr("nbhelpers.environment.memory_gib", lambda: 0.5)
    classifier.train(source, tmp_path / "model", num_epochs=1, max_length=32, log=said.append)
    assert set(seen) == {2}
    assert any("; this machine has 0.5 GiB; each batch is computed in 2 parts" in sentence for sentence in said)
    monkeypatch.setattr("nbhelpers.environment.memory_gib", lambda: 0.1)
    with pytest.raises(
        classifier.ClassifierError, match=r"training embedded takes at least 0\.3 GiB.* smaller encoder"
    ):
        classifier.train(source, tmp_path / "other", num_epochs=1, max_length=32)


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    """Dialogues with columns and classes of their own: a turn's class is that of the turn before, or "start"."""
    lines = ["scene,who,said,kind"]
    for i in range(40):
        scene = f"scene {i}"
        lines += [f"{scene},Ann,Good morning number {i},start", f"{scene},Bo,Good morning to you,answer"]
        lines += [f"{scene},Ann,How are you,question", f"{scene},Bo,I am well number {i},answer"]
    path = tmp_path_factory.mktemp("talks") / "talks.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("options", [{}, {"past_only": True}, {"context": "none"}], ids=["whole", "past", "none"])
def test_dialogues_of_ones_own(talks, tmp_path, shallow_encoder, options):
    columns = {"encoder": shallow_encoder, "dialogue": "scene", "speaker": "who", "text": "said", "label": "kind"}
    folder = classifier.train(talks, tmp_path / "model", **columns, num_epochs=1, **options)
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"].get("context", "none") == (
        "none" if options == {"context": "none"} else "whole_dialogues"
    )
    assert config["causal_turns"] == bool(options.get("past_only"))
    assert json.loads((folder / "scores.json").read_text())["rows"] == 16  # four whole dialogues
    out = classifier.predict(folder, talks, tmp_path / "out.csv")
    found, whole = pd.read_csv(out), classifier.evaluate(folder, talks)
    assert found["said"].tolist() == pd.read_csv(talks)["said"].tolist()
    assert (found["predicted"] == found["kind"]).mean() == pytest.approx(whole.scores["accuracy"].iloc[0])


def test_dialogues_whose_rows_are_apart_are_not_predicted(talks, tmp_path, shallow_encoder):
    columns = {"encoder": shallow_encoder, "dialogue": "scene", "speaker": "who", "text": "said", "label": "kind"}
    folder = classifier.train(talks, tmp_path / "model", **columns, num_epochs=1, max_length=64)
    lines = talks.read_text().splitlines()
    (tmp_path / "apart.csv").write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(classifier.ClassifierError, match="the rows of scene 'scene 0' are not together; sort the file"):
        classifier.predict(folder, tmp_path / "apart.csv", tmp_path / "out.csv")


def test_chinese_texts_and_many_classes(tmp_path, shallow_encoder):
    rows = [f"这家店的第{i}道菜很{'好' if i % 2 else '差'}吃,{'类'}{i % 30}" for i in range(240)]
    path = tmp_path / "餐.csv"
    path.write_text("review,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    folder = classifier.train(path, tmp_path / "model", encoder=shallow_encoder, num_epochs=1, max_length=32)
    assert len(json.loads((folder / "scores.json").read_text())["per class"]) == 30
    assert "类7" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_verdict_says_what_the_interval_allows():
    assert report.compared(0.05, 0.01, 0.09).startswith("It has 5.0 points of weighted F1 more than TF-IDF")
    assert report.compared(-0.05, -0.09, -0.01).startswith("It has 5.0 points of weighted F1 less than TF-IDF")
    assert report.compared(0.02, -0.03, 0.07).startswith("It is not certain to be better than TF-IDF: +2.0 points")


@pytest.mark.parametrize("module", pkgutil.iter_modules(classifier.__path__), ids=lambda module: module.name)
def test_the_examples_in_the_docstrings_are_right(module):
    assert doctest.testmod(importlib.import_module(f"nbhelpers.classifier.{module.name}")).failed == 0
