"""`nbhelpers search`: from a file of texts to an index that answers questions."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from fastapi.testclient import TestClient

from nbhelpers.course import cli
from nbhelpers.course.finding import app, indexing

PAGES = [
    ("a", "Lost bus card", "Report a lost bus card at the counter. A new one costs five euros."),
    ("b", "Opening hours of the pool", "The swimming pool opens at seven and closes at nine in the evening."),
    ("c", "Old furniture", "We collect sofas and cupboards twice a year, free of charge."),
]
ASKED = [("Where is my bus card?", "a"), ("When can I swim?", "b"), ("Who takes my sofa?", "c"), ("Is Mars red?", "")]

pytestmark = pytest.mark.slow


def nbhelpers(*arguments, folder):
    """(exit code, stdout, stderr) of the command, run in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["nbhelpers", "search", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code or 0, " ".join(out.getvalue().split()), " ".join(err.getvalue().split())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pages.csv, questions.csv and an index in runs/pages_index."""
    place = tmp_path_factory.mktemp("search")
    lines = ["id,title,body", *(f'{name},{title},"{body}"' for name, title, body in PAGES)]
    (place / "pages.csv").write_text("\n".join(lines))
    (place / "questions.csv").write_text("\n".join(["text,answer", *(f"{text},{answer}" for text, answer in ASKED)]))
    code, out, err = nbhelpers("pages.csv", "--text", "title", "--text", "body", "Who takes my sofa?", folder=place)
    assert code == 0, err
    assert "Written: runs/pages_index (3 texts)" in out
    assert "c Old furniture We collect sofas" in out
    return place


def test_an_index_answers_and_learns_when_to_be_silent(place):
    code, out, err = nbhelpers("runs/pages_index", "--questions", "questions.csv", "Is Mars red?", folder=place)
    assert code == 0, err
    assert "first is right │ 100.0 │ 100 to 100" in out
    assert "No text is near enough to this question." in out
    assert json.loads((place / "runs" / "pages_index" / "search.json").read_text())["encoder"] == "embedded"
    _, out, _ = nbhelpers("runs/pages_index", "When can I swim?", folder=place)
    assert "b Opening hours of the pool" in out


def test_the_service_answers(place):
    with TestClient(app.create_app(indexing.load(place / "runs" / "pages_index"))) as client:
        assert client.get("/health").json() == {"texts": 3}
        found = client.post("/search", json={"question": "When can I swim?", "k": 1}).json()["results"]
        assert [hit["id"] for hit in found] == ["b"]
        assert client.post("/search", json={"question": " "}).status_code == 422
        assert client.post("/search", json={"question": "x", "k": 0}).status_code == 422
        page = client.get("/")
        assert "<label>Question" in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pages.csv", "-o", "x", "--text", "answer"), "no column 'answer', only id, title, body; pass --text or --id"),
        (("pages.csv", "-o", "runs"), "runs exists already"),
        (("none.csv",), "none.csv does not exist"),
        (("runs", "x"), "runs is no index that can be loaded"),
        (("runs/pages_index", "--questions", "pages.csv"), "pages.csv has no column 'text'; it needs text and answer"),
        (("runs/pages_index", "--questions", "other.csv"), "has the answer 'z', which is not in the index"),
        (("runs/pages_index", " "), "the question is empty"),
        (("twice.csv", "-o", "y", "--text", "body"), "has the id 'a', which another text has"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(place, arguments, message):
    (place / "other.csv").write_text("text,answer\nWhere?,z\n")
    (place / "twice.csv").write_text("id,body\na,one\na,two\n")
    code, _, err = nbhelpers(*arguments, folder=place)
    assert code == 2
    assert message in err
    assert err.count("nbhelpers:") == 1
    assert not (place / "x").exists()
    assert not (place / "y").exists()
