"""What the service promises, one request at a time."""

import asyncio
import gzip
import json
import logging
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import standins
from starlette.testclient import TestClient

from nbhelpers import serving

KEY = "sesame open"


def ask(client, path, content, **headers):
    """A POST of exactly these bytes, or of this object."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post(path, content=body, headers={"Content-Type": "application/json", **headers})


def turns(*texts):
    return [{"speaker": "AB"[i % 2], "text": text} for i, text in enumerate(texts)]


def test_texts_get_results_in_order_with_all_labels(client):
    texts = ["Hello.", "Go away!", "Grüße, 你好 😀", "Hello."]
    answer = ask(client, "/classify", {"texts": texts})
    assert answer.status_code == 200
    content = answer.json()
    assert (content["model"], content["future"]) == ("stand-in", False)
    assert all(standins.right(result, text) for result, text in zip(content["results"], texts, strict=True))
    for result in content["results"]:
        ordered = [entry["score"] for entry in result["scores"]]
        assert ordered == sorted(ordered, reverse=True)
        assert sum(ordered) == pytest.approx(1, abs=1e-5)


def test_top_k(client):
    (result,) = ask(client, "/classify", {"texts": ["Hello."], "top_k": 2}).json()["results"]
    best = sorted(standins.LABELS, key=standins.scores("Hello.").get, reverse=True)[:2]
    assert [entry["label"] for entry in result["scores"]] == best


@pytest.mark.parametrize("future", [True, False, None])
def test_a_turn_sees_earlier_turns_and_later_ones_only_on_request(client, future):
    texts = ["Where is it?", "Gone.", "Gone?!"]
    content = ask(client, "/classify/dialogue", {"turns": turns(*texts), "future": future}).json()
    assert content["future"] is (future is not False)  # null: as the model was trained, here with the future
    for result, text in zip(
        content["results"], standins.seen(texts, ["A", "B", "A"], future is not False), strict=True
    ):
        assert standins.right(result, text)


def test_a_causal_model_refuses_to_see_later_turns():
    with TestClient(serving.create_app(standins.model(future=False))) as client:
        answer = ask(client, "/classify/dialogue", {"turns": turns("Hi."), "future": True})
        assert answer.status_code == 422
        assert "trained without later turns" in answer.json()["error"]
        assert ask(client, "/classify/dialogue", {"turns": turns("Hi.")}).json()["future"] is False


BAD = {
    "no text": ({"texts": []}, "texts: "),
    "too many texts": ({"texts": ["a"] * 65}, "at most 64"),
    "empty": ({"texts": ["fine", " \n"]}, "texts.1: the text is empty"),
    "too long": ({"texts": ["a" * 2001]}, "at most 2000 characters"),
    "NUL": ({"texts": ["a\0b"]}, "texts.0: the text contains a NUL character"),
    "lone surrogate": (b'{"texts": ["\\ud83d!"]}', "texts.0: the text contains half of a character"),
    "number": ({"texts": [7]}, "texts.0: Input should be a valid string"),
    "null": ({"texts": None}, "texts: Input should be a valid list"),
    "string for a list": ({"texts": "abc"}, "texts: Input should be a valid list"),
    "missing": ({}, "texts: Field required"),
    "unknown field": ({"texts": ["a"], "topk": 2}, "body: unknown field 'topk'; it has texts, top_k"),
    "unknown field, not a name": (b'{"texts": ["a"], "\\udc00": 1}', ": "),
    "top_k zero": ({"texts": ["a"], "top_k": 0}, "top_k: "),
    "top_k too large": ({"texts": ["a"], "top_k": 8}, "top_k: "),
    "top_k true": ({"texts": ["a"], "top_k": True}, "top_k: "),
    "top_k a string": ({"texts": ["a"], "top_k": "2"}, "top_k: "),
    "top_k not a number": (b'{"texts": ["a"], "top_k": NaN}', "top_k: "),
    "not JSON": (b'{"texts": ["a"', "body: this is not JSON"),
    "no body": (b"", "body: "),
    "a list": ([1], "body: "),
}


@pytest.mark.parametrize("case", BAD)
def test_validation_errors_are_readable(client, case):
    content, sentence = BAD[case]
    answer = ask(client, "/classify", content)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "request_id"}
    assert sentence in answer.json()["error"]
    assert len(answer.json()["error"]) < 300


BREAKING = [b'{"texts": ["\xff"]}', b"[" * 100_000, b'{"texts": ["a"], "top_k": ' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("content", BREAKING, ids=["not UTF-8", "deep", "digits"])
def test_malformed_bodies(client, content):
    answer = ask(client, "/classify", content)
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "request_id"}


BAD_TURNS = {
    "no speaker": ([{"text": "Hi."}], "turns.0.speaker: Field required"),
    "blank speaker": ([{"speaker": " ", "text": "Hi."}], "turns.0.speaker: the text is empty"),
    "speaker too long": ([{"speaker": "A" * 101, "text": "Hi."}], "at most 100 characters"),
    "unknown field": (
        [{"speaker": "A", "text": "Hi.", "mood": "joy"}],
        "turns.0: unknown field 'mood'; it has speaker, text",
    ),
    "a string": (["A: Hi."], "turns.0: "),
    "too many": (turns(*["a"] * 65), "at most 64"),
    "none": ([], "turns: "),
}


@pytest.mark.parametrize("case", BAD_TURNS)
def test_validation_errors_of_turns_are_readable(client, case):
    content, sentence = BAD_TURNS[case]
    answer = ask(client, "/classify/dialogue", {"turns": content})
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_a_form_of_another_site_cannot_post(client):
    """Without the JSON content type a browser sends a body to other origins unasked."""
    answer = client.post("/classify", content=b'{"texts": ["a"]}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["error"]
    answer = ask(client, "/classify", {"texts": ["a"]}, Origin="https://example.org")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_body_announced_as_too_large_is_refused(client):
    answer = ask(client, "/classify", b"x" * (512 * 1024 + 1))
    assert answer.status_code == 413
    assert "more than 524288 bytes" in answer.json()["error"]


def test_an_endless_body_is_read_only_up_to_the_limit():
    pieces, sent = iter(range(1000)), []

    async def receive():
        return {"type": "http.request", "body": b"x" * 65536, "more_body": next(pieces) < 999}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/classify", "headers": [], "query_string": b""}
    asyncio.run(serving.create_app(standins.model())(scope, receive, send))
    assert sent[0]["status"] == 413
    assert next(pieces) == 9  # of 64 KiB each


def test_unknown_paths_and_wrong_methods(client):
    for answer, status in (
        (client.get("/nothing"), 404), (client.get("/classify"), 405), (ask(client, "/classify/", {}), 404),
        (client.get("/../nbhelpers/serving/app.py"), 404),
    ):  # fmt: skip
        assert answer.status_code == status
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert client.get("/classify").headers["Allow"] == "POST"


def failing(examples):
    if "bad" in standins.texts_of(examples):
        raise RuntimeError("cannot read /srv/models/secret/weights.bin")
    return standins.answers(examples)


def test_an_internal_error_is_logged_but_not_shown(caplog):
    with TestClient(serving.create_app(standins.model(failing))) as client, caplog.at_level(logging.INFO):
        answer = ask(client, "/classify", {"texts": ["bad"]})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert "Retry-After" not in answer.headers
        (record,) = [record for record in caplog.records if record.exc_info]
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
        assert answer.json()["request_id"] in record.getMessage()
        assert "secret" in str(record.exc_info[1])
        assert ask(client, "/classify", {"texts": ["good"]}).status_code == 200


def test_a_text_without_tokens_does_not_stop_the_queue():
    def encode(texts):
        return [{"input_ids": [ord(character) for character in text if character != "!"]} for text in texts]

    model = serving.Model(standins.LABELS, encode, encode, standins.answers)
    with TestClient(serving.create_app(model)) as client:
        for text in ("!", "Hello.", "!"):
            answer = ask(client, "/classify", {"texts": [text]})
            assert answer.status_code == 200
            assert standins.right(answer.json()["results"][0], text.strip("!"))


def test_a_model_that_raises_stop_iteration_is_an_error_like_any_other():
    with TestClient(serving.create_app(standins.model(lambda examples: [next(iter(()))]))) as client:
        assert ask(client, "/classify", {"texts": ["a"]}).status_code == 500
        assert client.get("/health").status_code == 200


def test_an_application_can_be_started_again():
    app = serving.create_app(standins.model())
    for _ in range(3):
        with TestClient(app) as client:
            assert ask(client, "/classify", {"texts": ["Hello."]}).status_code == 200
            assert client.get("/ready").status_code == 200


def test_an_application_that_was_not_started_refuses_and_has_no_threads(caplog):
    before = threading.active_count()
    apps = [serving.create_app(standins.model()) for _ in range(20)]
    assert threading.active_count() == before
    assert ask(TestClient(apps[0]), "/classify", {"texts": ["Hello."]}).status_code == 500
    assert "its server has to run its lifespan" in caplog.text


@pytest.mark.alone
def test_a_body_of_many_unknown_fields_is_refused_at_the_first(client):
    unknown = {f"field {i}": i for i in range(20_000)}
    for path, content in (
        ("/classify", {"texts": ["a"], **unknown}),
        ("/classify/dialogue", {"turns": [{"speaker": "A", "text": "a", **unknown}]}),
    ):
        start = time.perf_counter()
        answer = ask(client, path, content)
        assert time.perf_counter() - start < 0.5
        assert answer.status_code == 422
        assert "unknown field 'field 0'; it has " in answer.json()["error"]


@pytest.mark.parametrize("text", ["\u200b\u200d", "\u0301\u0300", "\ufeff \u00ad"])
def test_a_text_without_a_visible_character_is_empty(client, text):
    answer = ask(client, "/classify", {"texts": [text]})
    assert (answer.status_code, answer.json()["error"]) == (422, "texts.0: the text is empty")


@pytest.mark.parametrize("text", ["!", "7", "é", "e\u0301", "😀", "नमस्ते"])
def test_a_text_with_a_visible_character_is_not_empty(client, text):
    assert ask(client, "/classify", {"texts": [text]}).status_code == 200


def test_a_compressed_body_is_refused(client):
    answer = ask(client, "/classify", gzip.compress(b'{"texts": ["a"]}'), **{"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "compressed" in answer.json()["error"]


def test_head_is_answered_where_get_is(client):
    for path in ("/", "/docs", "/health", "/ready", "/metrics"):
        assert client.head(path).status_code == 200
    assert client.head("/classify").status_code == 405


@pytest.mark.parametrize("labels", [(), (0, 1), ("joy", ""), ("joy", "anger", "joy")])
def test_labels_must_be_distinct_names(labels):
    with pytest.raises(ValueError, match="the labels"):
        serving.Model(labels, standins.encode, standins.encode, standins.answers)


def test_a_key_that_browsers_cannot_send_is_refused():
    with pytest.raises(ValueError, match="beyond ASCII"):
        serving.create_app(standins.model(), api_key="schlüssel")


def test_the_time_to_wait_weighs_batches_by_their_tokens():
    batcher = serving.Batcher(standins.answers, serving.DEFAULTS)
    batcher.queued_tokens, batcher.seconds, batcher.tokens = 1000, 0.5, 250
    assert batcher.seconds_to_wait() == 2


def test_limits_that_let_nothing_through_are_refused():
    for options in ({"batch_size": 0}, {"max_texts": 0}, {"body_timeout": -1.0}, {"batching_delay": -0.1}):
        with pytest.raises(ValueError, match="would let nothing through"):
            serving.Limits(**options)
    assert serving.Limits(batching_delay=0).batching_delay == 0


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 7)), np.zeros((1, 6)), np.full((1, 7), np.nan)], ids=["too many", "classes", "not finite"]
)
def test_logits_of_the_wrong_shape_or_not_finite_are_an_error_and_not_ready(rows):
    with TestClient(serving.create_app(standins.model(lambda examples: [rows for _ in examples]))) as client:
        assert ask(client, "/classify", {"texts": ["a"]}).status_code == 500
        assert client.get("/ready").status_code == 503
        assert client.get("/health").json() == {"alive": True}


def test_ready_describes_the_model(client):
    wanted = {
        "model": "stand-in",
        "digest": "",
        "labels": list(standins.LABELS),
        "future": True,
        "reads": "dialogues",
        "texts": 64,
    }
    assert client.get("/ready").json() == wanted


def test_metrics_count_requests_predictions_and_confidence():
    with TestClient(serving.create_app(standins.model())) as client:
        ask(client, "/classify", {"texts": ["Hello.", "Hello."]})
        ask(client, "/classify", {})
        client.get("/what/ever")
        shown = client.get("/metrics").text
    label, confidence = max(standins.scores("Hello.").items(), key=lambda entry: entry[1])
    requests = "http_requests_total"
    assert requests + '{handler="/classify",method="POST",status="200"} 1.0' in shown
    assert requests + '{handler="/classify",method="POST",status="422"} 1.0' in shown
    assert requests + '{handler="none",method="GET",status="404"} 1.0' in shown  # one name for all unknown paths
    assert f'nbhelpers_predictions_total{{label="{label}"}} 2.0' in shown
    assert float(re.search(r"nbhelpers_confidence_sum (\S+)", shown)[1]) == pytest.approx(2 * confidence, abs=1e-4)
    assert "nbhelpers_batch_size_sum 2.0" in shown
    assert "nbhelpers_queue_seconds_count 1.0" in shown
    assert "nbhelpers_compute_seconds_count 1.0" in shown
    assert "nbhelpers_queued_tokens 0.0" in shown


@pytest.fixture
def locked():
    with TestClient(serving.create_app(standins.model(), api_key=KEY)) as client:
        yield client


def test_several_keys_are_accepted():
    with TestClient(serving.create_app(standins.model(), api_key="old, new")) as client:
        for key, status in (("old", 200), ("new", 200), ("old, new", 401), ("", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert ask(client, "/classify", {"texts": ["a"]}, **headers).status_code == status


def test_a_request_that_takes_too_long_gets_504():
    limits = serving.Limits(request_timeout=0.2)
    with TestClient(serving.create_app(standins.model(standins.slow(0.1)), limits)) as client:
        answer = ask(client, "/classify", {"texts": ["a" * 10]})
        assert answer.status_code == 504
        assert "no answer within 0.2 s" in answer.json()["error"]


def test_the_scheme_of_the_key_may_be_lower_case_and_the_key_may_come_with_a_line_break():
    with TestClient(serving.create_app(standins.model(), api_key="sesame\n")) as client:
        for scheme in ("Bearer", "bearer"):
            assert ask(client, "/classify", {"texts": ["a"]}, Authorization=f"{scheme} sesame").status_code == 200


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY])
def test_requests_without_the_key_get_401(locked, given):
    headers = {} if given is None else {"Authorization": given.encode()}
    for answer in (ask(locked, "/classify", {"texts": ["a"]}, **headers), locked.get("/metrics", headers=headers)):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_requests_with_the_key_work_and_the_key_is_not_logged(locked, caplog):
    with caplog.at_level(logging.DEBUG):
        assert ask(locked, "/classify", {"texts": ["a"]}, Authorization=f"Bearer {KEY}".encode()).status_code == 200
        assert ask(locked, "/classify", {"texts": ["a"]}, Authorization=b"Bearer wrong").status_code == 401
    assert "Bearer" not in caplog.text
    assert KEY not in caplog.text
    for path in ("/", "/docs", "/health", "/ready", "/openapi.json"):
        assert locked.get(path).status_code == 200
    assert "HTTPBearer" in locked.get("/openapi.json").json()["components"]["securitySchemes"]


def test_a_blank_key_is_refused():
    with pytest.raises(ValueError, match="NBHELPERS_API_KEY"):
        serving.create_app(standins.model(), api_key=" ")


def test_every_response_has_security_headers(client):
    answers = [client.get(path) for path in ("/", "/docs", "/health", "/nothing")] + [ask(client, "/classify", {})]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"unsafe|https?:|\*", policy)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == len(answers)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_name_no_outside_address_and_no_inline_handler(client, path):
    text = client.get(path).text.replace(f"curl {client.base_url}/", "")
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert not re.search(r"<[^>]+\s(on\w+|style)=", text)


def test_docs_name_every_path_and_field(client):
    text, schema = client.get("/docs").text, client.get("/openapi.json").json()
    for name in (*schema["paths"], "texts", "top_k", "turns", "future", "413", "503"):
        assert name in text


def test_a_copy_of_the_folder_without_its_page_leads_to_the_docs(tmp_path):
    folder = Path(serving.__file__).parent
    shutil.copytree(folder, tmp_path / "web", ignore=shutil.ignore_patterns("page.html", "__pycache__"))
    code = (
        "import web; from starlette.testclient import TestClient\n"
        "with TestClient(web.create_app(web.Model(('a', 'b'), list, list, list))) as client:\n"
        "    response = client.get('/')\n"
        "    print(response.url.path, '/classify' in response.text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["/docs", "True"]


def test_the_id_of_a_proxy_is_kept_and_logged(client, caplog):
    given = "0123456789abcdef0123456789abcdef"
    response = client.get("/nothing", headers={"X-Request-ID": given})
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == given
    for unfit in ("x" * 40, "1; DROP TABLE"):
        response = client.get("/nothing", headers={"X-Request-ID": unfit})
        assert re.fullmatch("[0-9a-f]{32}", response.json()["request_id"])


def test_a_path_cannot_forge_a_line_of_the_log(client, caplog):
    with caplog.at_level(logging.INFO):
        client.get("/x%0AINFO forged")
    assert any(" GET /x\\nINFO forged 404 " in record.getMessage() for record in caplog.records)
