"""Alerts: intervals, charts whose false alarms are known, stories that count once, and a state that forgets nothing."""

import http.server
import itertools
import json
import math
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nbhelpers import alerts
from nbhelpers.course import paths

RULE = alerts.Rule(up=12, down=8, limit=45)  # for 20 % and 60 %
RULES = {"negative": RULE}


def finance():
    files = [pd.read_csv(paths.DATA / "finance" / f"{split}.csv", dtype=str) for split in ("train", "dev", "test")]
    return pd.concat(files, ignore_index=True)


# ---- counts ----


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilsons_interval_is_that_of_scipy(level):
    pairs = [(k, n) for n in (1, 2, 7, 50) for k in range(0, n + 1, max(1, n // 5))]
    low, high = alerts.wilson_interval(*zip(*pairs, strict=True), level=level)
    for (k, n), *ends in zip(pairs, low, high, strict=True):
        expected = stats.binomtest(k, n).proportion_ci(level, method="wilson")
        assert ends == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_wilsons_interval_covers_where_the_textbooks_does_not():
    """Exact coverage, 10 items of which 5 % have the label."""
    k = np.arange(11)
    chances = stats.binom.pmf(k, 10, 0.05)
    low, high = alerts.wilson_interval(k, np.full(11, 10))
    half = 1.96 * np.sqrt(k / 10 * (1 - k / 10) / 10)
    assert chances[(low <= 0.05) & (high >= 0.05)].sum() > 0.91
    assert chances[(k / 10 - half <= 0.05) & (k / 10 + half >= 0.05)].sum() < 0.45


def test_nothing_is_known_without_an_item():
    low, high = alerts.wilson_interval([0, 0], [0, 5])
    assert (low.tolist(), high[0]) == ([0, 0], 1)
    assert 0.4 < high[1] < 0.5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([3], [2]), "item 0: 3 of 2 is no share"), (([-1], [2]), "-1 of 2"), (([math.nan], [2]), "nan of 2"),
        (([1, 2], [2]), "pass one total for each count"), (([1], [2], 95), "level=95: pass a number between 0 and 1"),
    ],
)  # fmt: skip
def test_impossible_counts_are_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(alerts.AlertError, match=sentence):
        alerts.wilson_interval(*arguments)


def test_labels_are_counted_by_company_topic_and_time():
    table = finance()
    counted = alerts.count_labels(table, "negative", by=["company", "topic"], period="M")
    assert counted["total"].sum() == len(table)
    assert counted["count"].sum() == (table["label"] == "negative").sum()
    row = counted.iloc[57]
    same = table[
        (table["company"] == row["company"])
        & (table["topic"] == row["topic"])
        & table["date"].str.startswith(f"{row['date']:%Y-%m}")
    ]
    assert (row["total"], row["count"]) == (len(same), (same["label"] == "negative").sum())
    assert ((counted["low"] <= counted["share"]) & (counted["share"] <= counted["high"])).all()
    [everything] = alerts.count_labels(table, "negative").to_dict("records")
    assert everything["total"] == 1200


def test_weeks_begin_on_monday_and_days_without_news_have_no_row():
    table = pd.DataFrame({"date": ["2041-03-10", "2041-03-11", "2041-03-30"], "label": "negative"})
    days = alerts.count_labels(table, "negative", period="W")["date"]
    assert days.dt.strftime("%Y-%m-%d").tolist() == ["2041-03-04", "2041-03-11", "2041-03-25"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"by": ["firm"]}, "no column 'firm'; it has date, label"),
        ({"period": "Q"}, "period='Q' is unknown"),
        ({"period": "D"}, "a date cannot be read"),
    ],
)
def test_a_table_that_cannot_be_counted_is_refused(options, sentence):
    table = pd.DataFrame({"date": ["the third of March"], "label": ["negative"]})
    with pytest.raises(alerts.AlertError, match=sentence):
        alerts.count_labels(table, "negative", **options)


# ---- charts: the published and measured facts ----


def test_a_p_chart_of_50_items_has_1_2_false_alarms_a_year():
    below, above = alerts.false_alarm_chance(50, 0.1)
    assert below == 0
    assert 365 * above == pytest.approx(1.2, abs=0.05)
    assert above == pytest.approx(stats.binom.sf(11, 50, 0.1))


def test_false_alarms_of_a_p_chart_by_simulation():
    counts = np.random.default_rng(0).binomial(50, 0.1, 200_000)
    outside = alerts.p_chart(counts, np.full(200_000, 50), 0.1)["is_outside"].mean()
    assert outside == pytest.approx(sum(alerts.false_alarm_chance(50, 0.1)), abs=0.0005)


def test_twenty_charts_have_a_false_alarm_on_5_percent_of_the_days_and_thirty_on_8():
    chance = 2 * stats.norm.sf(3)
    assert alerts.chance_of_any(chance, 20) == pytest.approx(0.053, abs=0.001)
    assert alerts.chance_of_any(chance, 30) == pytest.approx(0.078, abs=0.001)


def test_with_two_items_a_day_no_count_passes_the_limit():
    chart = alerts.p_chart([0, 1, 2], [2, 2, 2], usual=0.2)
    assert not chart["is_outside"].any()
    assert (chart["high"] > 1).all()
    assert not alerts.p_chart([0], [0], usual=0.2)["is_outside"].any()


def test_moving_range_limits_of_autocorrelated_values_give_many_false_alarms():
    """5.8 % outside in place of .27 %, for a correlation of neighbors of .6."""
    random_numbers, outside = np.random.default_rng(0), {}
    for correlation in (0.0, 0.6):
        noise = random_numbers.normal(size=(400, 1000))
        values = noise.copy()
        for day in range(1, 1000):
            values[:, day] = correlation * values[:, day - 1] + math.sqrt(1 - correlation**2) * noise[:, day]
        limits = np.array([alerts.moving_range_limits(row) for row in values])
        outside[correlation] = ((values < limits[:, :1]) | (values > limits[:, 2:])).mean()
    assert outside[0.0] == pytest.approx(0.0027, abs=0.0006)
    assert outside[0.6] == pytest.approx(0.058, abs=0.003)


def test_a_cusum_finds_a_small_shift_five_times_sooner_than_a_shewhart_chart():
    assert alerts.shewhart_run_length(shift=1) == pytest.approx(44, abs=0.1)
    assert alerts.cusum_run_length(0.5, 4, shift=1) == pytest.approx(8.4, abs=0.05)
    assert alerts.cusum_run_length(0.5, 4) == pytest.approx(336, rel=0.003)  # in control
    assert alerts.cusum_run_length(0.5, 5) == pytest.approx(930, rel=0.01)  # Montgomery gives 465 for both sides


def test_the_run_length_of_a_normal_cusum_by_simulation():
    random_numbers = np.random.default_rng(0)
    for shift, expected in ((0.0, alerts.cusum_run_length(0.5, 4)), (1.0, alerts.cusum_run_length(0.5, 4, shift=1))):
        sums, lengths = np.zeros(2000), np.zeros(2000)
        for day in range(1, 4000):
            sums = np.maximum(0, sums + random_numbers.normal(shift, size=2000) - 0.5)
            lengths[(sums > 4) & (lengths == 0)] = day
        assert (lengths > 0).all()
        assert lengths.mean() == pytest.approx(expected, abs=4 * lengths.std() / math.sqrt(2000))


# ---- the rule ----


@pytest.mark.parametrize(("share", "correlation"), [(0.2, 0.0), (0.6, 0.0), (0.9, 0.0), (0.2, 0.3), (0.6, 0.5)])
def test_the_run_length_of_a_rule_by_simulation(share, correlation):
    exact = alerts.run_length(RULE, share, correlation)
    flags = alerts.draw_flags(np.random.default_rng(0), [share] * int(15 * exact + 50), 2000, correlation)
    waits = alerts.first_alarms(RULE, flags)
    assert not np.isnan(waits).any()
    assert waits.mean() == pytest.approx(exact, abs=4 * waits.std() / math.sqrt(2000))


@pytest.mark.parametrize("target", [10, 60, 400, 10_000])
@pytest.mark.parametrize(("usual", "raised"), [(0.02, 0.2), (0.2, 0.6), (0.3, 0.9), (0.6, 0.8)])
def test_the_limit_is_the_lowest_that_keeps_the_false_alarms(usual, raised, target):
    rule = alerts.make_rule(usual, raised, target)
    assert alerts.run_length(rule, usual) >= target
    assert rule.limit == 1 or alerts.run_length(rule._replace(limit=rule.limit - 1), usual) < target


def test_a_sum_of_path_and_of_first_alarms_are_the_same():
    draw = random.Random(0)
    for _ in range(50):
        flags = [int(draw.random() < 0.5) for _ in range(60)]
        sums, found = RULE.path(flags)
        first = alerts.first_alarms(RULE, np.array([flags]))[0]
        assert first == (found[0].position + 1 if found else first) or np.isnan(first)
        assert np.isnan(first) == (not found)
        for alarm in found:
            assert sums[alarm.position] >= RULE.limit
            assert all(0 < total < RULE.limit for total in sums[alarm.start : alarm.position])


def test_alarms_before_the_change_are_false_ones():
    flags = np.array([[1] * 4 + [0] * 4 + [1] * 4])
    assert alerts.first_alarms(RULE, flags).tolist() == [4]
    assert alerts.first_alarms(RULE, flags, change=8).tolist() == [4]


def test_a_label_that_never_occurs_gives_no_alarm():
    assert alerts.run_length(RULE, 0.0) == math.inf
    assert alerts.run_length(RULE, 1.0) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0.6, 0.2, 100), "0 < usual < raised < 1"), ((0.2, 1.0, 100), "0 < usual < raised < 1"),
        ((0.2, 0.201, 100), "too close"), ((0.2, 0.6, 0), "items_per_false_alarm=0"),
        ((math.nan, 0.6, 100), "0 < usual"),
    ],
)  # fmt: skip
def test_an_impossible_rule_is_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(alerts.AlertError, match=sentence):
        alerts.make_rule(*arguments)


def test_errors_of_the_classifier_make_a_change_look_smaller_and_take_longer_to_find():
    recall, false_positives = alerts.error_rates(["a"] * 10 + ["b"] * 90, ["a"] * 7 + ["b"] * 84 + ["a"] * 9, "a")
    assert (recall, false_positives) == pytest.approx((0.7, 6 / 90 + 0.0), abs=0.04)
    usual, raised = (alerts.predicted_share(share, 0.7, 0.1) for share in (0.2, 0.87))
    assert raised - usual < 0.87 - 0.2
    perfect, noisy = alerts.make_rule(0.2, 0.6, 400), alerts.make_rule(usual, (1 + usual) / 2, 400)
    assert alerts.run_length(noisy, raised) > 1.3 * alerts.run_length(perfect, 0.87)


# ---- stories ----


def test_a_story_ends_some_days_after_its_first_sentence():
    days = ["2041-03-01", "2041-03-03", "2041-03-04", "2041-03-05", "2041-03-08"]
    assert alerts.find_stories(days, ["A"] * 5) == [0, 0, 0, 1, 1]
    assert alerts.find_stories(days, ["A", "B", "A", "B", "A"]) == [0, 1, 0, 1, 2]


def test_the_order_of_the_rows_does_not_change_the_stories():
    table = finance().iloc[:300]
    groups = list(zip(table["company"], table["topic"], strict=True))
    features = [alerts.shingles(text) for text in table["text"]]
    found = alerts.find_stories(table["date"], groups, features, min_similarity=0.04)
    order = list(range(300))
    random.Random(0).shuffle(order)
    shuffled = alerts.find_stories(
        *([part[i] for i in order] for part in (list(table["date"]), groups, features)), min_similarity=0.04
    )
    scores = alerts.pair_scores([shuffled[order.index(i)] for i in range(300)], found)
    assert scores["f1"] > 0.98  # only where two stories of a group are on the same day, the order decides


def test_the_most_similar_story_gets_a_sentence():
    features = [alerts.shingles(text) for text in ("profit fell", "strike at the plant", "the plant strike ends")]
    options = {"min_similarity": 0.1}
    assert alerts.find_stories(["2041-03-01"] * 3, ["A"] * 3, features, **options) == [0, 1, 1]
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
    assert alerts.find_stories(["2041-03-01"] * 3, ["A"] * 3, vectors, min_similarity=0.5) == [0, 1, 1]


def test_stories_of_the_corpus_are_found_without_their_column():
    table = finance()
    features = [alerts.shingles(text) for text in table["text"]]
    topics = list(zip(table["company"], table["topic"], strict=True))
    found = alerts.find_stories(table["date"], topics, features, min_similarity=0.04)
    scores = alerts.pair_scores(found, table["story"])
    assert scores["pairs"] == 213
    assert scores["precision"] > 0.9
    assert scores["recall"] > 0.9
    company_alone = alerts.pair_scores(alerts.find_stories(table["date"], table["company"]), table["story"])
    assert company_alone["recall"] > 0.95
    assert company_alone["precision"] < 0.8


def test_runs_of_words_find_copies_and_no_retold_stories():
    table = finance()
    features = [alerts.shingles(text, size=3) for text in table["text"]]
    found = alerts.find_stories(table["date"], table["company"], features, min_similarity=0.3)
    assert alerts.pair_scores(found, table["story"])["recall"] < 0.02
    copies = [*table["text"][:5], *(f"{text} (Repeated.)" for text in table["text"][:5])]
    found = alerts.find_stories(
        ["2041-01-02"] * 10, ["A"] * 10, [alerts.shingles(text, 3) for text in copies], min_similarity=0.3
    )
    assert found[:5] == found[5:]


def test_pair_scores_of_right_and_wrong_stories():
    assert alerts.pair_scores([1, 1, 2], ["x", "x", "y"])["f1"] == 1
    assert alerts.pair_scores([1, 2, 3], ["x", "x", "y"]) == {"precision": 1, "recall": 0, "f1": 0, "pairs": 1}
    with pytest.raises(alerts.AlertError, match="2 found stories and 1 right ones"):
        alerts.pair_scores([1, 2], ["x"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [((["2041-03-01"], []), "1 dates and 0 groups"), ((["3 March"], ["A"]), "write dates as 2041-03-05")],
)
def test_stories_need_dates_and_groups(arguments, sentence):
    with pytest.raises(alerts.AlertError, match=sentence):
        alerts.find_stories(*arguments)


# ---- the watch ----


def news(day, label="negative", company="Aeroquena", **more):
    date = (pd.Timestamp("2041-06-01") + pd.Timedelta(days=day)).date().isoformat()
    return {"date": date, "company": company, "label": label, "text": f"News of day {day}.", **more}


def week_by_week(labels, **more):
    return [news(7 * week, label, **more) for week, label in enumerate(labels)]


def days_of(watch):
    return [alert.day for alert in watch.store.alerts()]


@pytest.fixture
def watch(tmp_path):
    return alerts.Watch(tmp_path / "state.db", RULES)


def test_a_change_is_found_and_ordinary_news_is_not(watch):
    assert watch.add(week_by_week(["neutral", "negative", "positive", "neutral"] * 20)).alerts == []
    [message] = watch.add([news(600 + 7 * week) for week in range(4)]).alerts
    assert message["count"] == message["stories"] == 4
    assert message["late"] is False
    assert message["day"] == news(621)["date"]
    assert message["text"].startswith("Aeroquena: 4 of the last 4 stories are negative, from ")
    assert message["sentences"] == [f"News of day {day}." for day in (607, 614, 621)]


def test_all_phases_of_the_corpus_are_found_and_nothing_else(tmp_path):
    """With the gold labels: nine phases, of which the watch knows nothing."""
    rules = {"negative": alerts.make_rule(0.2, 0.6, 400), "positive": alerts.make_rule(0.25, 0.6, 400)}
    watch = alerts.Watch(tmp_path / "state.db", rules)
    rows = finance()[["date", "company", "topic", "label", "text"]].to_dict("records")
    for start in range(0, len(rows), 100):
        watch.add(rows[start : start + 100])
    phases = pd.read_csv(paths.DATA / "finance" / "events.csv")
    found = set()
    for alert in watch.store.alerts():
        inside = phases[
            (phases["company"] == alert.company) & (phases["kind"] == alert.label)
            & (phases["start"] <= alert.day) & (alert.day <= phases["end"])
        ]  # fmt: skip
        assert len(inside) == 1, alert
        found.add(inside.index[0])
    assert len(found) == 9


def test_the_same_sentence_counts_once(watch):
    first = week_by_week(["negative"] * 3)
    assert watch.add(first).new == 3
    again = watch.add([*first, *first])
    assert again == alerts.Added(new=0, doubled=6, conflicting=0, alerts=[])
    assert watch.store.alerts() == []


def test_an_id_that_comes_again_with_another_content_is_reported_and_the_first_one_stays(watch):
    watch.add([news(0, id="a")])
    assert watch.add([news(0, "positive", id="a")]).conflicting == 1
    assert [sentence.label for sentence in watch.store.sentences()] == ["negative"]


def test_a_story_counts_once_however_many_papers_tell_it(watch):
    told = [news(day, text=f"The strike at Aeroquena goes on, says paper {i}.") for i in range(3) for day in (0, 1, 2)]
    assert watch.add(told).alerts == []
    [chart] = watch.charts()["negative"].values()
    assert [len(story.sentences) for story in chart.stories] == [9]


def test_a_late_sentence_corrects_its_day_and_raises_a_late_alert(watch):
    watch.add([*week_by_week(["negative", "negative", "negative"]), *(news(day, "neutral") for day in (60, 67, 74))])
    [message] = watch.add([news(18)]).alerts  # the fourth negative story was told in June, and arrives in August
    assert message["late"] is True
    assert message["day"] == news(18)["date"]


def test_an_alert_that_was_raised_stays_raised_and_is_not_raised_again_elsewhere(watch):
    watch.add(week_by_week(["negative"] * 4))
    [before] = watch.store.alerts()
    # Good news that should have come before moves the alarm away, and more bad news brings it back at another day.
    assert watch.add([news(day, "positive", topic="deal") for day in (4, 11, 18)]).alerts == []
    [chart] = watch.charts()["negative"].values()
    assert chart.alarms == []
    assert watch.add([news(24), news(28), news(35)]).alerts == []
    [chart] = watch.charts()["negative"].values()
    assert [chart.stories[i].day for i in chart.alarms] != [before.day]
    assert watch.store.alerts() == [before]


def test_a_phase_that_lasts_is_reported_once_in_thirty_days(watch):
    watch.add([news(5 * day) for day in range(24)])  # an alarm every 20 days
    dates = sorted(pd.to_datetime(days_of(watch)))
    assert all((b - a).days > 30 for a, b in itertools.pairwise(dates))
    assert 2 <= len(dates) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_the_state_does_not_depend_on_the_order_and_the_batches(tmp_path, seed):
    draw = random.Random(seed)
    labels = draw.choices(["negative", "neutral"], k=40)
    rows = [news(7 * week, label, company=draw.choice("AB")) for week, label in enumerate(labels)]
    charts = []
    for name in ("in order", "shuffled"):
        watch = alerts.Watch(tmp_path / f"{name}.db", RULES)
        if name == "shuffled":
            draw.shuffle(rows)
        while rows[len(watch.store.sentences()) :]:
            start = len(watch.store.sentences())
            watch.add(rows[start : start + draw.randint(1, 9)])
        charts.append(watch.charts())
    assert charts[0] == charts[1]


def test_several_labels_and_companies_have_sums_of_their_own(tmp_path):
    watch = alerts.Watch(tmp_path / "state.db", {"negative": RULE, "positive": RULE})
    watch.add([*week_by_week(["negative"] * 4, company="A"), *week_by_week(["positive"] * 4, company="B")])
    watch.add(week_by_week(["negative", "positive"] * 2, company="C"))
    assert [(alert.company, alert.label) for alert in watch.store.alerts()] == [("A", "negative"), ("B", "positive")]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"date": "5.3.2041"}, r"sentence 1: '5.3.2041' is no date; write it as 2041-03-05"),
        ({"company": ""}, "sentence 1 has no company"),
        ({"label": None}, "sentence 1 has no label"),
    ],
)
def test_a_faulty_sentence_is_named_and_nothing_of_the_call_is_stored(watch, change, sentence):
    with pytest.raises(alerts.AlertError, match=sentence):
        watch.add([news(0), {**news(1), **change}])
    assert watch.store.sentences() == []


@pytest.mark.parametrize(
    "options", [{"rules": {"negative": RULE._replace(limit=20)}}, {"rules": {"positive": RULE}}, {"days": 5}]
)
def test_a_state_of_other_settings_is_refused(tmp_path, options):
    alerts.Watch(tmp_path / "state.db", RULES)
    with pytest.raises(alerts.AlertError, match=r"is of a watch with .*; choose another file"):
        alerts.Watch(tmp_path / "state.db", **{"rules": RULES, **options})
    with pytest.raises(alerts.AlertError, match="there is no rule"):
        alerts.Watch(tmp_path / "other.db", {})


def test_a_file_that_is_no_state_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("These are notes. " * 100)
    with pytest.raises(alerts.AlertError, match=r"file is not a database.*; choose another file"):
        alerts.Watch(tmp_path / "notes.txt", RULES)


# ---- restarts ----


def test_an_error_in_the_middle_leaves_the_state_before(watch, monkeypatch):
    watch.add(week_by_week(["negative"] * 3))
    monkeypatch.setattr(alerts.store.Change, "add_alert", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        watch.add([news(21)])
    monkeypatch.undo()
    assert len(watch.store.sentences()) == 3
    assert len(watch.add([news(21)]).alerts) == 1


WRITER = """
import sys
from nbhelpers import alerts

watch = alerts.Watch(sys.argv[1], {"negative": alerts.Rule(12, 8, 45)})
for number in range(100_000):
    watch.add([{"date": f"{2041 + number // 300}-01-01", "company": f"company {number % 300}", "label": "negative",
                "text": str(number)}])
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_confirmed(tmp_path):
    path = tmp_path / "state.db"
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        lines = [writer.stdout.readline() for _ in range(40)]
        writer.kill()
        lines += writer.communicate()[0].splitlines(keepends=True)
        confirmed = max(int(line) for line in lines if line.endswith("\n"))
        watch = alerts.Watch(path, RULES)
        numbers = sorted(int(sentence.text) for sentence in watch.store.sentences())
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= confirmed + 1


# ---- the webhook ----


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers with the statuses of a list, then with 200; ignores keys that it has seen."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.headers["Idempotency-Key"], body))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        if answer in (200, "lost"):
            self.server.accepted.setdefault(self.headers["Idempotency-Key"], body)
        if answer == "lost":
            self.close_connection = True  # without an answer, although the message has arrived
            return
        self.send_response(answer)
        if answer == 429:
            self.send_header("Retry-After", "100")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.requests, server.answers, server.accepted = [], [], {}
        server.url = f"http://127.0.0.1:{server.server_port}/hook?token=secret"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Clock:
    """A time that tests move."""

    now = 1e9

    def __call__(self):
        return self.now


def deliver(watch, receiver, clock):
    return [outcome.status for _, outcome in alerts.deliver(watch.store, receiver.url, now=clock, chance=lambda: 1.0)]


def test_an_alert_is_delivered_once(watch, receiver):
    [message] = watch.add(week_by_week(["negative"] * 4)).alerts
    assert deliver(watch, receiver, Clock()) == ["sent"]
    assert deliver(watch, receiver, Clock()) == []
    assert receiver.requests == [(message["key"], message)]


def test_what_fails_is_tried_again_after_1_2_4_8_seconds_with_the_same_key(watch, receiver):
    [message] = watch.add(week_by_week(["negative"] * 4)).alerts
    receiver.answers, clock = [500, 503, "lost", 502], Clock()
    for pause in (1, 2, 4, 8):
        assert deliver(watch, receiver, clock) == ["waiting"]
        clock.now += pause - 0.01
        assert deliver(watch, receiver, clock) == []
        clock.now += 0.01
    assert deliver(watch, receiver, clock) == ["sent"]
    assert [key for key, _ in receiver.requests] == [message["key"]] * 5
    assert list(receiver.accepted) == [message["key"]]  # arrived twice, counted once
    [alert] = watch.store.alerts()
    assert (alert.status, alert.attempts, alert.reason) == ("sent", 5, "")


def test_the_receiver_may_ask_for_more_time(watch, receiver):
    watch.add(week_by_week(["negative"] * 4))
    receiver.answers, clock = [429], Clock()
    assert deliver(watch, receiver, clock) == ["waiting"]
    clock.now += 99
    assert deliver(watch, receiver, clock) == []
    clock.now += 1
    assert deliver(watch, receiver, clock) == ["sent"]


@pytest.mark.parametrize("status", [301, 400, 404, 410])
def test_a_request_that_would_fail_again_is_not_repeated_until_somebody_asks(watch, receiver, status):
    watch.add(week_by_week(["negative"] * 4))
    receiver.answers, clock = [status], Clock()
    assert deliver(watch, receiver, clock) == ["refused"]
    clock.now += 1e6
    assert deliver(watch, receiver, clock) == []
    assert watch.store.alerts()[0].reason == f"answered {status}"
    watch.store.retry_refused()
    assert deliver(watch, receiver, clock) == ["sent"]


def test_a_restart_forgets_neither_an_alert_nor_its_next_try(tmp_path, receiver):
    path, clock = tmp_path / "state.db", Clock()
    receiver.answers = [500]
    first = alerts.Watch(path, RULES)
    first.add(week_by_week(["negative"] * 4))
    assert deliver(first, receiver, clock) == ["waiting"]
    restarted = alerts.Watch(path, RULES)
    assert restarted.add(week_by_week(["negative"] * 4)).alerts == []  # the whole stream once more
    assert deliver(restarted, receiver, clock) == []
    clock.now += 1
    assert deliver(restarted, receiver, clock) == ["sent"]
    assert len(receiver.accepted) == 1


def test_a_kill_between_delivery_and_note_sends_the_same_key_again(watch, receiver, monkeypatch):
    watch.add(week_by_week(["negative"] * 4))
    monkeypatch.setattr(alerts.Store, "update_delivery", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        deliver(watch, receiver, Clock())
    monkeypatch.undo()
    assert deliver(watch, receiver, Clock()) == ["sent"]
    assert len(receiver.requests) == 2
    assert len(receiver.accepted) == 1


def test_nobody_listens(watch):
    watch.add(week_by_week(["negative"] * 4))
    [(_, outcome)] = alerts.deliver(watch.store, "http://127.0.0.1:9/hook")
    assert outcome.status == "waiting"
    assert outcome.reason == "no answer (ConnectError)"


def test_a_history_is_not_sent(watch, receiver):
    assert len(watch.add(week_by_week(["negative"] * 4), notify=False).alerts) == 1
    assert deliver(watch, receiver, Clock()) == []


@pytest.mark.parametrize("url", ["example.org/hook", "ftp://example.org", "https://", ""])
def test_a_webhook_needs_an_address_and_secrets_are_not_repeated(url):
    with pytest.raises(alerts.AlertError, match="write it as https://host/path") as error:
        alerts.check_url(url)
    assert "example" not in str(error.value)


def test_pauses_grow_to_an_hour_and_differ_between_senders():
    assert [alerts.wait_seconds(n) for n in (1, 5, 12, 13, 2000)] == [1, 16, 2048, 3600, 3600]
    assert alerts.wait_seconds(5, chance=0.0) == 8
    soon = alerts.webhook.seconds_asked_for("Fri, 31 Dec 1999 23:59:59 GMT", time.time())
    assert (soon, alerts.webhook.seconds_asked_for("soon", 0.0)) == (0, 0)
