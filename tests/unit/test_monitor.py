"""The monitor: reads a stream line by line, classifies what is new, and goes on after a stop."""

import json
import re
import threading

import pandas as pd
import pytest
from typer.testing import CliRunner

from nbhelpers import alerts
from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError
from nbhelpers.course.monitor import command, following
from nbhelpers.course.monitor.page import full_page, live_part
from nbhelpers.course.monitor.reading import read_rows
from nbhelpers.course.monitor.stream import load_stream

RULES = {"negative": alerts.Rule(12, 8, 45)}
USUAL = {"negative": 0.2}
HEADER = "text,date,company,topic"


def lines(days, word="bad", company="Aeroquena"):
    texts = [f'"It is {word}, {company} says, for the {day}th time.",2041-06-{day:02},{company},' for day in days]
    return [HEADER, *texts]


def classify(texts):
    """A classifier that knows one word."""
    return ["negative" if "bad" in text else "neutral" for text in texts]


@pytest.fixture
def watch(tmp_path):
    return alerts.Watch(tmp_path / "state.db", RULES)


# ---- reading ----


def test_csv_and_json_lines_give_the_same_rows():
    row = {"id": "7", "text": 'He said: "No, never."', "date": "2041-06-03", "company": "A, B & Söhne", "topic": "deal"}
    text = '\ufeffid,company,date,topic,text\r\n7,"A, B & Söhne",2041-06-03,deal,"He said: ""No, never."""\r\n'
    assert list(read_rows(text.splitlines(keepends=True))) == [row]
    assert list(read_rows(["\n", json.dumps({**row, "id": 7})])) == [row]


def test_a_text_with_line_breaks_is_one_row():
    assert [row["text"] for row in read_rows(["text,date,company\n", '"one\n', 'two",2041-06-03,A\n'])] == ["one\ntwo"]


def test_columns_may_have_other_names():
    given = ["headline,day,firm", "All is well.,2041-06-03,Aeroquena"]
    columns = {"text": "headline", "date": "day", "company": "firm"}
    assert list(read_rows(given, columns)) == [{"text": "All is well.", "date": "2041-06-03", "company": "Aeroquena"}]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "the input is empty"),
        (["text,date", "x,2041-06-03"], "the input has no column 'company'; it has text, date; use --company"),
        (['{"text": "x"}'], "the input has no column 'date'"),
    ],
)
def test_an_input_without_its_columns_is_refused(given, sentence):
    with pytest.raises(CourseError, match=sentence):
        list(read_rows(given))


@pytest.mark.parametrize(
    ("faulty", "sentence"),
    [
        (
            ["text,date,company", "x,2041", "y,2041-06-03,A"],
            "line 2 is left out: it has 2 cells, and the header 3",
        ),
        (["text,date,company", ",2041-06-03,A", "y,2041-06-03,A"], "line 2 is left out: it has no text"),
        (['{"text": "y", "date": "2041-06-03", "company": "A"}', "{"], "line 2 is left out: it is no JSON object"),
    ],
)
def test_a_faulty_row_is_reported_and_the_stream_goes_on(faulty, sentence):
    said = []
    assert [row["text"] for row in read_rows(faulty, on_fault=said.append)] == ["y"]
    assert said == [sentence]


# ---- following ----


def test_a_stream_is_classified_watched_and_counted(watch):
    said = []
    totals = following.follow(read_rows(lines([1, 8, 15, 22])), classify, watch, log=said.append)
    assert totals == {"new": 4, "doubled": 0, "conflicting": 0, "left out": 0, "alerts": 1}
    assert said == ["Aeroquena: 4 of the last 4 stories are negative, from 2041-06-01 to 2041-06-22"]


def test_what_is_known_is_not_classified_again(watch):
    seen = []

    def counting(texts):
        seen.extend(texts)
        return classify(texts)

    following.follow(read_rows(lines([1, 8])), counting, watch)
    totals = following.follow(read_rows(lines([1, 8, 15])), counting, watch)
    assert (totals["new"], totals["doubled"], len(seen)) == (1, 2, 3)


def test_a_sentence_without_a_date_is_left_out(watch):
    said = []
    given = [{"text": "x", "date": "yesterday", "company": "A"}, {"text": "y", "date": "2041-06-03", "company": "A"}]
    totals = following.follow(given, classify, watch, log=said.append)
    assert (totals["new"], totals["left out"]) == (1, 1)
    assert said == ["left out: 'yesterday' is no date; write it as 2041-03-05"]


def test_a_live_stream_is_answered_before_it_ends(watch):
    """The rows come one by one, and the next one only when the last one is stored."""
    stored = threading.Event()

    def slowly():
        for row in read_rows(lines([1, 8, 15])):
            stored.clear()
            yield row
            assert stored.wait(20)

    def add(*arguments, **options):
        added = original(*arguments, **options)
        if added.new:
            stored.set()
        return added

    original, watch.add = watch.add, add
    assert following.follow(slowly(), classify, watch)["new"] == 3


def test_an_error_of_the_input_ends_the_monitor_after_what_came_before(watch):
    def broken():
        yield from read_rows(lines([1, 8]))
        raise CourseError("the input broke off")

    with pytest.raises(CourseError, match="broke off"):
        following.follow(broken(), classify, watch)
    assert len(watch.store.sentences()) == 2


def test_an_alert_that_nobody_takes_is_kept_and_said(watch):
    said = []
    url = "http://127.0.0.1:9/hook"
    following.follow(read_rows(lines([1, 8, 15, 22])), classify, watch, url, log=said.append, patience=0.0)
    assert said[1] == "an alert was not delivered: no answer (ConnectError); it is tried again"
    assert said[-1] == "1 alert is not delivered yet; the same command tries again"


def test_the_usual_share_counts_stories():
    table = pd.read_csv(paths.DATA / "finance" / "train.csv", dtype=str)
    share = following.usual_share(table.to_dict("records"), "negative", ["negative"])
    assert 0.15 < share < 0.3
    with pytest.raises(CourseError, match="the history tells 1 stories; a usual share needs at least 50"):
        following.usual_share(table.head(1).to_dict("records"), "negative", ["negative"])


# ---- the page without a browser ----


def test_the_page_of_an_empty_state_says_so(watch):
    assert "There is no sentence yet." in full_page(watch, USUAL)


def test_the_page_shows_text_of_others_as_text(watch):
    attack = "<script>alert(1)</script>\"&'"
    for day in (1, 8, 15, 22):
        names = {"company": attack, "topic": attack, "text": attack}
        watch.add([{"date": f"2041-06-{day:02}", "label": "negative", **names}])
    page = full_page(watch, USUAL)
    assert page.count("<script>") == 1  # its own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_page_says_what_has_become_of_an_alert(watch):
    following.follow(read_rows(lines([1, 8, 15, 22])), classify, watch)
    assert "Waiting to be delivered." in live_part(watch, USUAL)
    key = watch.store.alerts()[0].key
    for status, reason, sentence in (
        ("waiting", "answered 503", "Waiting after 1 attempt: answered 503."),
        ("refused", "answered 404", "The webhook refused it: it answered 404."),
        ("sent", "", "Delivered after 3 attempts."),
    ):
        watch.store.update_delivery(key, status, 0.0, reason)
        assert sentence in live_part(watch, USUAL)
    assert "do not raise it any more" not in live_part(watch, USUAL)
    late = [
        {"date": f"2041-06-{day:02}", "company": "Aeroquena", "topic": "deal", "label": "neutral", "text": "Good."}
        for day in (2, 9, 16)
    ]
    watch.add(late)
    assert "the sums do not raise it any more" in live_part(watch, USUAL)


def test_every_picture_of_numbers_is_described(watch):
    following.follow(read_rows(lines([1, 8, 15, 22])), classify, watch)
    pictures = re.findall(r"<svg[^>]*>", live_part(watch, USUAL))
    assert len(pictures) == 3
    described = [re.search('aria-label="([^"]*)"', picture) for picture in pictures if "aria-hidden" not in picture]
    assert [found[1].partition(":")[0] for found in described] == [
        "Share of negative stories in each of 4 weeks from 2041-05-27 to 2041-06-17, from 100 to 100 %; usual",
        "Aeroquena, negative",
    ]
    assert "the sum is 0 of 45; the highest in 180 days was 48, alarms: 2041-06-22" in described[1][1]


# ---- the command ----


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs the command with a stand-in for the model."""
    import typer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "PATIENCE", 0.0)
    monkeypatch.setattr(command, "load_classifier", lambda folder: (classify, ["negative", "neutral"]))
    (tmp_path / "model").mkdir()
    app = typer.Typer()
    app.command()(command.monitor)

    def run(*arguments, **options):
        done = CliRunner().invoke(app, ["model", *arguments], **options)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_the_command_watches_a_file_and_goes_on(run, tmp_path):
    (tmp_path / "news.csv").write_text("\n".join(lines([1, 8, 15, 22])))
    done = run("--input", "news.csv", "--watch", "negative=0.2")
    assert done.exit_code == 0, done.output
    assert "4 of the last 4 stories are negative" in done.output
    assert "new: 4, doubled: 0, conflicting: 0, left out: 0, alerts: 1" in done.output
    again = run("--input", "news.csv")  # the usual share is known from the first start
    assert "new: 0, doubled: 4, conflicting: 0, left out: 0, alerts: 0" in again.output


def test_the_command_reads_the_standard_input(run):
    done = run("--input", "-", "--watch", "negative=0.2", input="\n".join(lines([1, 8, 15, 22])))
    assert "new: 4" in done.output


def test_the_history_gives_the_usual_share_and_no_alert_is_sent(run, tmp_path):
    table = pd.read_csv(paths.DATA / "finance" / "train.csv", dtype=str)
    table["text"] = table["text"].where(table["label"] != "negative", "bad. " + table["text"])
    table.to_csv(tmp_path / "history.csv", index=False)
    (tmp_path / "news.csv").write_text("\n".join(lines([1, 8, 15, 22])))
    done = run("--input", "news.csv", "--history", "history.csv", "--webhook", "http://127.0.0.1:9/")
    assert done.exit_code == 0
    store = alerts.Store(tmp_path / "monitor.db")
    assert 0.15 < store.setting("usual")["negative"] < 0.3
    of_history = [alert for alert in store.alerts() if alert.company != "Aeroquena"]
    assert of_history
    assert {alert.status for alert in of_history} == {"not sent"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--input", "nowhere.csv", "--watch", "negative=0.2"], "nowhere.csv does not exist"),
        (["--input", "-"], "the usual share of negative is not known; write --watch negative=0.2, or give --history"),
        (["--input", "-", "--watch", "bad=0.2"], "--watch bad: the model has the labels negative, neutral"),
        (["--input", "-", "--watch", "negative=often"], "'often' is no number; write a share such as 0.2"),
        (["--input", "-", "--watch", "negative=0.95"], "a rule needs one from 0.005 to 0.8"),
        (["--input", "-", "--webhook", "example.org"], "the webhook is no web address"),
    ],
)
def test_a_wrong_request_is_answered_with_a_sentence(run, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(*arguments, input="")


# ---- the stream of the lesson ----


def test_the_stream_has_all_splits_in_order_and_the_phases():
    sentences, phases = load_stream()
    assert len(sentences) == 1200
    assert sentences["date"].is_monotonic_increasing
    assert set(sentences["split"]) == {"train", "dev", "test"}
    assert set(phases["company"]) <= set(sentences["company"])
    assert len(load_stream(num_rows=10)[0]) == 30


def test_a_stream_of_ones_own_needs_four_columns(tmp_path):
    table = pd.DataFrame({"text": ["x", "y"], "label": "neutral", "date": ["2041-06-04", "2041-06-03"], "company": "A"})
    for split in ("train", "dev", "test"):
        table.to_csv(tmp_path / f"{split}.csv", index=False)
    sentences, phases = load_stream(str(tmp_path))
    assert sentences["text"].tolist() == ["y"] * 3 + ["x"] * 3
    assert (sentences["topic"] == "").all()
    assert list(phases) == ["company", "start", "end", "kind", "what"]
    table.assign(date="June").to_csv(tmp_path / "dev.csv", index=False)
    with pytest.raises(CourseError, match="a date cannot be read"):
        load_stream(str(tmp_path))
    table.drop(columns="company").to_csv(tmp_path / "dev.csv", index=False)
    with pytest.raises(CourseError, match=r"dev.csv has no column 'company'; it has text, label, date"):
        load_stream(str(tmp_path))
    (tmp_path / "test.csv").unlink()
    (tmp_path / "dev.csv").unlink()
    with pytest.raises(CourseError, match=r"dev.csv does not exist; a stream is a folder with train.csv"):
        load_stream(str(tmp_path))
