"""`nbhelpers train`, `evaluate` and `predict`, as a user types them."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from course_lessons import nbhelpers

from nbhelpers import classifier, corpora
from nbhelpers.course import own_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory, shallow_encoder):
    """A folder with reviews.csv, whose columns are Review and stars, and a trained classifier in runs/reviews."""
    place = tmp_path_factory.mktemp("place")
    part = corpora.load("reviews")["train"]
    names = part.features["label"].names
    frame = pd.DataFrame({"Review": part["text"][:200], "stars": [names[i] for i in part["label"][:200]]})
    frame.to_csv(place / "reviews.csv", index=False)
    frame.assign(stars=frame["stars"].mask(frame.index > 195)).to_csv(place / "faulty.csv", index=False, sep=";")
    options = ["--encoder", shallow_encoder, "--epochs", "1", "--max-length", "32"]
    code, out, err = nbhelpers("train", "reviews.csv", *options, folder=place)
    assert code == 0, err
    (place / "train.log").write_text(out)
    return place


def test_train_tells_what_it_read_how_good_it_is_and_what_to_do_next(place):
    out = (place / "train.log").read_text()
    assert "reviews.csv: read with --text 'Review', --label 'stars'" in out
    assert "160 texts in train, 20 texts in dev, 20 texts in test; 3 classes: negative, neutral, positive" in out
    assert "training takes about" in out
    for row in ("this classifier", "TF-IDF", "most frequent class", "negative", "neutral", "positive"):
        assert row in out
    assert "points of weighted F1" in out  # the sentence that compares it with TF-IDF
    assert "nbhelpers predict runs/reviews texts.csv -o labels.csv" in out
    assert "nbhelpers serve runs/reviews" in out


def test_evaluate_and_predict(place):
    code, out, err = nbhelpers("evaluate", "runs/reviews", "reviews.csv", folder=place)
    assert code == 0, err
    assert "reviews.csv, 200 rows" in out
    assert "160 of these 200 texts are also in its training data, so the scores are too good" in out
    arguments = ("predict", "runs/reviews", "faulty.csv", "-o", "labels.csv")
    code, out, err = nbhelpers(*arguments, folder=place)
    assert code == 0, err
    assert "faulty.csv: a semicolon separates the columns, not a comma" in out
    found = pd.read_csv(place / "labels.csv")
    assert list(found.columns) == ["Review", "stars", "predicted", "probability"]
    assert len(found) == 200
    assert set(found["predicted"]) <= {"negative", "neutral", "positive"}


def test_export_knows_the_data(place):
    code, _out, err = nbhelpers("export", "runs/reviews", "--force", folder=place)
    assert code == 0, err
    code, _out, err = nbhelpers("predict", "runs/reviews_onnx", "reviews.csv", "-o", "exported.csv", folder=place)
    assert code == 0, err
    exported = pd.read_csv(place / "exported.csv")
    nbhelpers("predict", "runs/reviews", "reviews.csv", "-o", "original.csv", folder=place)
    assert (exported["probability"] - pd.read_csv(place / "original.csv")["probability"]).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "review.csv"], "review.csv does not exist; did you mean reviews.csv?"),
        (["train", "reviews.csv", "--test", "./zz"], "./zz does not exist; check the path"),
        (["train", "reviews.csv"], "runs/reviews exists already; remove it, or choose another folder with --output"),
        (
            ["train", "reviews.csv", "--text", "text", "-o", "x"],
            "no column 'text'; the columns are Review, stars; pass --text ",
        ),
        (["train", "reviews.csv", "--resume", "-o", "x"], "so nothing can be resumed"),
        (["predict", "runs/reviews", "no.csv", "-o", "x.csv"], "no.csv does not exist; check the path"),
        (["evaluate", "runs/reviews", "nofile.csv"], "nofile.csv does not exist; check the path"),
        (["predict", "runs/reviews", "runs", "-o", "x.csv"], "runs is a folder, but a file is needed"),
        (
            ["predict", "runs/reviews", "reviews.csv", "--text", "x", "-o", "x.csv"],
            "stars; pass --text, and --columns if",
        ),
        (["train", "faulty.csv", "-o", "x"], "3 more rows are faulty, and --on-fault 'drop' leaves all of them out"),
        (["predict", "run", "reviews.csv", "-o", "x.csv"], "run does not exist; did you mean runs?"),
        (["evaluate", "runs/review", "reviews.csv"], "runs/review does not exist; did you mean reviews"),
        (["export", "runs/review"], "runs/review does not exist; did you mean reviews"),
        (["export", "runs/reviews", "--output", "runs"], "runs exists already; remove it, or choose another folder"),
        (["serve", "runs/review"], "runs/review does not exist; did you mean reviews"),
        (
            ["evaluate", "runs/reviews", "reviews.csv", "--label", "Review"],
            "is named twice; pass different columns as --text ",
        ),
    ],
)
def test_a_wrong_request_ends_with_one_sentence(place, arguments, message):
    code, _out, err = nbhelpers(*arguments, folder=place)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_wrong_path_is_reported_before_torch_is_imported(place):
    code = "import sys; from nbhelpers import course; sys.modules.update(torch=None, pandas=None); course.main()"
    for arguments in (["train", "no.csv"], ["evaluate", "no", "x.csv"], ["export", "no"], ["serve", "no"]):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == f"nbhelpers: {arguments[1]} does not exist; check the path\n"


def test_ctrl_c_says_how_a_training_goes_on(place, monkeypatch):
    def interrupted(source, folder, **options):
        Path("new.checkpoints").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier.training, "train", interrupted)
    arguments = ("train", "reviews.csv", "-o", "new")
    assert nbhelpers(*arguments, folder=place)[::2] == (130, "stopped; the same command with --resume goes on\n")
    code, _out, err = nbhelpers(*arguments, folder=place)
    assert code == 2
    assert "new.checkpoints is a run that was stopped; go on with --resume, or remove it" in err


def test_arguments_become_options():
    assert own_data.as_options("go on with resume=True, or pass quotes=False") == (
        "go on with --resume, or pass --no-quotes"
    )
    assert own_data.as_options("pass text= and label=, or columns= if there is no header") == (
        "pass --text and --label, or --columns if there is no header"
    )
    assert own_data.as_options("correct the row or pass labels=...") == "correct the row or pass --labels"
    assert own_data.as_options("context=5 is no option") == "context=5 is no option"
