"""`nbhelpers bench`: the arithmetic of its tables, the ceiling, the groups of a profile, and its ways at tiny sizes."""

import asyncio
import contextlib
import doctest
import importlib
import io
import json
import math
import runpy
import shutil
import sys
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from course_lessons import nbhelpers
from fastapi.testclient import TestClient
from rich.console import Console
from transformers import BertConfig

from nbhelpers import batching, encoders
from nbhelpers import exported as exported_unit
from nbhelpers.course import paths, results
from nbhelpers.course.bench import (
    ceiling,
    command,
    comparing,
    load,
    meter,
    predict,
    profiling,
    reporting,
    sample,
    serve,
)
from nbhelpers.course.bench import data as data_bench
from nbhelpers.course.bench import servers as other_servers
from nbhelpers.course.bench import train as train_bench

CPU = torch.device("cpu")
PEERS = runpy.run_path(str(paths.ROOT / "tests" / "benchmarks" / "peers" / "measure.py"))
SPEEDS = {  # medians 2, 6, 10 and 25
    "usual": [2.0, 1.9, 2.0],
    "tuned": [6.0, 6.1, 5.9],
    "nbhelpers, loop": [10.0, 11.0, 9.9],
    "products alone": [25.0, 25.0, 25.0],
}


def comparison(speeds=SPEEDS, shares=None, failed=None):
    return comparing.Comparison(
        "train", "Training.", "texts per second", speeds, "usual", "products alone", shares or {}, failed or {}
    )


def draw(num_texts, encoder):
    return sample.draw_sample("reviews", num_texts, str(encoder))


def one_round(ways, num_rounds, say):
    assert num_rounds > 1
    return comparing.take_turns(ways, 1, say)


@pytest.mark.parametrize(
    "name", ["ceiling", "comparing", "load", "meter", "predict", "profiling", "reporting", "sample", "serve", "train"]
)
def test_the_examples_in_the_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"nbhelpers.course.bench.{name}")).failed == 0


# --- speeds and what is said of them


def test_ways_take_turns_and_one_that_fails_is_not_tried_again():
    order, said = [], []

    def way(name, speed):
        order.append(name)
        if speed is None:
            raise comparing.NotMeasured("it is not installed")
        return speed

    ways = {"a": partial(way, "a", 1.0), "b": partial(way, "b", None), "c": partial(way, "c", 3.0)}
    speeds, failed = comparing.take_turns(ways, 2, said.append)
    assert order == ["a", "b", "c", "a", "c"]
    assert speeds == {"a": [1.0, 1.0], "c": [3.0, 3.0]}
    assert failed == {"b": "it is not installed"}
    assert said[0] == "round 1 of 2: a"


def test_ratios_are_those_of_the_medians():
    rows = comparing.table(comparison())
    assert rows["nbhelpers, loop"] == comparing.Row(10.0, 9.9, 11.0, times_common=5.0, of_ceiling=0.4)
    assert rows["usual"].times_common == 1.0
    assert rows["products alone"].of_ceiling == 1.0


@pytest.mark.parametrize("speeds", [SPEEDS | {"usual": [0.0]}, {k: v for k, v in SPEEDS.items() if k != "usual"}])
def test_without_a_speed_of_the_common_way_there_is_no_ratio_to_it(speeds):
    assert math.isnan(comparing.table(comparison(speeds))["tuned"].times_common)
    said = " ".join(reporting.sentences(comparison(speeds)))
    assert "times the speed of the common way" not in said
    assert "1.67 times the speed of the fastest other way, tuned" in said
    assert ("The common way, usual, reached 0 texts per second." in said) == ("usual" in speeds)


def test_the_sentences_come_from_the_table():
    assert reporting.sentences(comparison(shares={"dropout": 0.25, "rest": 0.75})) == [
        "Training.",
        "nbhelpers, loop: 10.0 texts per second.",
        "That is 5.0 times the speed of the common way, usual.",
        "It is 1.67 times the speed of the fastest other way, tuned.",
        "It reaches 40 % of the ceiling, products alone.",
        "Where its time goes: dropout 25 %, rest 75 %.",
    ]


def test_rounds_that_differ_and_ways_of_ours_that_failed_are_said():
    assert "other programs were running" in reporting.sentences(comparison(SPEEDS | {"tuned": [6.0, 3.0, 6.0]}))[-1]
    others = {name: rounds for name, rounds in SPEEDS.items() if not name.startswith("nbhelpers")}
    assert "None of the ways of nbhelpers could be measured" in reporting.sentences(comparison(others))[-1]


def test_the_table_fits_a_terminal_and_says_why_a_way_was_not_measured():
    measured = comparison(failed={"setfit": "it cannot be installed"})
    console = Console(width=80, file=io.StringIO())
    console.print(reporting.readable(measured))
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["tuned", "6.0", "5.9-6.1", "3.00", "24", "%"] in lines
    assert ["setfit", "-", "-", "-", "-"] in lines
    assert reporting.footnotes(measured) == [
        "ratio: to the common way, usual; ceiling: share of products alone",
        "setfit was not measured: it cannot be installed",
    ]


def test_rows_are_recorded_with_their_circumstances(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    measured = comparison(SPEEDS | {"usual": [0.0]}, {"rest": 1.0}, {"setfit": "it cannot be installed"})
    reporting.record(measured, corpus="reviews")
    rows = {row["row"]: row for row in results.read("speed", tmp_path)}
    assert rows["train: nbhelpers, loop"]["rounds"] == [10.0, 11.0, 9.9]
    assert rows["train: nbhelpers, loop"]["time_shares"] == {"rest": 1.0}
    assert rows["train: tuned"]["times_common"] is None
    assert rows["train: tuned"]["of_ceiling"] == 0.24
    assert "time_shares" not in rows["train: tuned"]
    assert rows["train: setfit"]["not_measured"] == "it cannot be installed"
    assert all(row["corpus"] == "reviews" and row["versions"] for row in rows.values())


# --- the ceiling and the profile


def tiny_model():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    return encoders.MeanPoolingClassifier(config)


def tiny_batch():
    return batching.Collator(0)([{"input_ids": [5, 6, 7, 8, 9], "labels": 0}, {"input_ids": [5, 6], "labels": 1}])


def num_operations(products):
    return sum(n * 2 * math.prod(first.shape) * second.shape[-1] for (first, second), n in products.items())


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_products_of_a_step_are_those_of_its_layers(precision, dtype):
    forward = ceiling.products_of(tiny_model(), [tiny_batch()], precision, backward=False)
    tokens, heads, length = 10, 4, 5  # of a batch [2, 5], with 2 heads for each text
    expected = (
        4 * 2 * tokens * 8 * 8  # query, key, value and output
        + 2 * 2 * tokens * 8 * 16  # up and down
        + 2 * 2 * heads * length * length * 4  # scores, and their product with the values; a head has 4 units
        + 2 * 2 * 8 * 3  # the head of the classifier
    )
    assert num_operations(forward) == expected
    assert {factor.dtype for pair in forward for factor in pair} == {dtype}
    step = ceiling.products_of(tiny_model().train(), [tiny_batch()], precision, backward=True)
    assert num_operations(step) == 3 * expected  # a gradient for each factor
    assert ceiling.seconds_of(step, CPU, num_repeats=1) > 0


def test_products_are_timed_once_for_each_shape_and_count_as_often_as_they_occur(monkeypatch):
    factor = ceiling.Operand((4, 4), (1, 4), torch.float32)
    other = ceiling.Operand((2, 4, 4), (16, 4, 1), torch.float32)
    seconds = iter([1.0, 9.0, 2.0, 0.5, 0.5, 0.5])
    monkeypatch.setattr(ceiling, "time_once", lambda compute, device: next(seconds))
    products = ceiling.Products({(factor, factor): 10, (other, other): 4})
    assert ceiling.seconds_of(products, CPU) == 10 * 2.0 + 4 * 0.5


@pytest.mark.parametrize(("shape", "stride"), [((3, 4), (1, 3)), ((2, 3, 4), (12, 1, 3)), ((3, 4), (0, 1))])
def test_factors_have_the_layout_that_was_seen(shape, stride):
    made = ceiling.random_tensor(ceiling.Operand(shape, stride, torch.bfloat16), CPU)
    assert (tuple(made.shape), made.stride(), made.dtype) == (shape, stride, torch.bfloat16)


def test_products_of_8_bits_are_timed():
    products = ceiling.products_of(tiny_model(), [tiny_batch()], "fp32", backward=False)
    with_weights = ceiling.Products({pair: n for pair, n in products.items() if len(pair[0].shape) == 2})
    assert predict.int8_seconds_of(with_weights, num_repeats=1) > 0


def test_operations_are_grouped_by_the_innermost_name_that_has_a_group():
    rows = [
        (["aten::addmm"], 4.0),
        (["aten::bmm", "autograd::engine::evaluate_function: BmmBackward0"], 1.0),
        (["aten::_softmax", "aten::softmax"], 0.5),
        (["aten::mul", "aten::native_dropout", "aten::dropout"], 0.5),
        (["aten::bernoulli_", "aten::native_dropout"], 0.5),
        (["aten::copy_", "aten::_to_copy", "aten::to"], 0.75),
        (["aten::empty", "aten::_to_copy"], 0.25),
        (["aten::gelu"], 0.5),
        (["aten::_fused_adamw_", "Optimizer.step#AdamW.step"], 0.75),
        (["aten::sqrt", "Optimizer.step#AdamW.step"], 0.25),
        (["aten::lift_fresh", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"], 0.25),
        (["aten::index"], 0.25),  # in no group
    ]
    assert profiling.shares(rows, seconds=10.0) == {
        "matrix products": 0.5,
        "attention": 0.05,
        "dropout": 0.1,
        "activations and norms": 0.05,
        "casts and copies": 0.1,
        "optimizer": 0.1,
        "data": 0.025,
        "rest": pytest.approx(0.075),
    }


def test_names_go_from_the_inside_out():
    outer = SimpleNamespace(name="aten::linear", cpu_parent=None)
    assert profiling.names_from(SimpleNamespace(name="aten::addmm", cpu_parent=outer)) == [
        "aten::addmm",
        "aten::linear",
    ]


def test_the_meter_counts_tokens_without_padding_from_the_second_step_on(monkeypatch):
    model, times = torch.nn.Linear(1, 1), iter([100.0, 105.0])
    model.forward = lambda inputs=None, attention_mask=None: None
    monkeypatch.setattr(meter.time, "perf_counter", lambda: next(times))
    measured = meter.Meter(model)
    model(attention_mask=torch.ones(9, 9))
    model(attention_mask=torch.tensor([[1, 1, 0], [1, 1, 1]]))
    model({"attention_mask": torch.tensor([[1, 1, 1, 1, 1]])})  # as sentence-transformers calls a model
    assert measured.texts_per_second(mean_tokens=4) == (5 + 5) / 4 / 5.0


# --- the texts


def test_the_texts_are_those_of_the_corpus_repeated_where_it_is_small(tmp_path, encoder_folders):
    path = tmp_path / "mine.csv"
    path.write_text("review,stars\ngood one,5\nbad one,2\n")
    drawn = sample.draw_sample(
        str(path), 5, str(encoder_folders / "bert"), text="review", label="stars", labels=["2", "5"]
    )
    assert sorted(drawn.texts[:2]) == ["bad one", "good one"]
    assert drawn.texts == [*drawn.texts[:2], *drawn.texts[:2], drawn.texts[0]]
    assert [example["labels"] for example in drawn.examples] == [0, 1, 2, 0, 1]
    assert drawn.mean_tokens == 4  # with [CLS] and [SEP]
    assert "5 texts of" in drawn.describe()


def test_meld_is_the_default_where_it_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("NBHELPERS_DATA", raising=False)
    assert sample.default_corpus() == "reviews"
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path))
    assert sample.default_corpus() == "reviews"
    monkeypatch.setattr(sample.machine, "has_meld", lambda: True)
    assert sample.default_corpus() == "meld"


# --- the ways, at tiny sizes


@pytest.mark.slow
def test_all_ways_to_train_are_measured(encoder_folders, tmp_path, monkeypatch):
    monkeypatch.setattr(train_bench, "take_turns", one_round)
    peers = {"peer": lambda: 5.0}
    measured = train_bench.measure(draw(100, encoder_folders / "bert"), tmp_path, True, lambda step: None, peers)
    assert len(measured.speeds) == 8  # three of the stock Trainer, two loops, our Trainer, the peer, the ceiling
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in measured.speeds.values())
    assert measured.speeds["peer"] == [5.0]
    assert sum(measured.time_shares.values()) == pytest.approx(1)
    assert {"matrix products", "dropout", "optimizer", "rest"} <= set(measured.time_shares)
    reporting.draw(measured, tmp_path / "new" / "train.png")
    assert (tmp_path / "new" / "train.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_all_ways_to_predict_are_measured(exported, encoder_folders, tmp_path):
    for form in ("onnx", "int8"):  # exports that exist are taken, so one of 32 bits stands for both
        shutil.copytree(exported("bert", "cls")[2], tmp_path / form)
    measured = predict.measure(draw(8, encoder_folders / "bert"), tmp_path, True, lambda step: None)
    assert len(measured.speeds) == 5
    assert all(min(rounds) > 0 for rounds in measured.speeds.values())
    assert (tmp_path / "torch" / "model.safetensors").is_file()


def test_files_are_read_alike_by_datasets_and_by_ours(encoder_folders, tmp_path):
    drawn = draw(6, encoder_folders / "bert")
    for path in data_bench.write_files(drawn, tmp_path).values():
        ours = data_bench.with_ours(path, drawn.tokenizer)
        theirs = data_bench.with_datasets(path, drawn.tokenizer)
        assert len(ours) == len(theirs) == 6 * data_bench.REPEATS
        assert [example["input_ids"] for example in ours] == theirs["input_ids"][:]


# --- services and their client


@pytest.mark.parametrize(("capacity", "start"), [(137, 10), (137, 1000), (3, 100)])
def test_the_highest_rate_is_found_from_below_and_from_above(capacity, start):
    found = serve.highest_rate(lambda rate: rate <= capacity, start, tolerance=0.05)
    assert capacity / 1.05 <= found <= capacity


def test_a_service_that_is_never_in_time_has_the_rate_0():
    assert serve.highest_rate(lambda rate: False, 100, tolerance=0.05) == 0


@contextlib.contextmanager
def small_server(status=200):
    """A server that answers each POST with this status. Yields an endpoint, and the bodies that it got."""
    bodies, loop = [], asyncio.new_event_loop()

    async def reply(reader, writer):
        with contextlib.suppress(EOFError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                bodies.append(json.loads(await reader.readexactly(load.content_length(head)) or b"{}"))
                writer.write(f"HTTP/1.1 {status} OK\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    server = loop.run_until_complete(asyncio.start_server(reply, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield load.Endpoint(server.sockets[0].getsockname()[1]), bodies
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_each_request_is_sent_and_timed_once():
    with small_server() as (endpoint, bodies):
        taken = load.run(load.steady(endpoint, ["a", "b"], rate=200, seconds=0.2))
    assert len(taken) == len(bodies) > 10
    assert all(0 < x < math.inf for x in taken)
    assert {body["texts"][0] for body in bodies} == {"a", "b"}


def test_requests_that_fail_are_infinitely_late():
    with small_server(status=503) as (endpoint, _):
        taken = load.run(load.steady(endpoint, ["a"], rate=100, seconds=0.1))
    assert set(taken) == {math.inf}
    nobody = load.Endpoint(load.free_port())
    assert set(load.run(load.steady(nobody, ["a"], rate=100, seconds=0.1))) == {math.inf}
    assert load.p99([*taken, 1.0]) == math.inf


def test_sending_ends_as_soon_as_too_many_requests_were_late():
    with small_server() as (endpoint, _):
        taken = load.run(load.steady(endpoint, ["a"], rate=100, seconds=60, limit_ms=0))
    assert 60 < len(taken) < 600  # late are more than 1 % of 6,000


@pytest.mark.slow
def test_services_are_started_and_one_that_does_not_start_says_why(exported):
    folder = exported("bert", "cls")[2]
    endpoints = [load.Endpoint(load.free_port()), load.Endpoint(load.free_port())]
    plain = [sys.executable, "-m", "nbhelpers.course.bench.servers", "onnxruntime", str(folder), str(endpoints[0].port)]
    broken = [sys.executable, "-c", "raise SystemExit('no such model')"]
    services = {"plain": (plain, endpoints[0]), "broken": (broken, endpoints[1])}
    with serve.started(services) as failed:
        assert failed == {"broken": "it did not get ready: no such model"}
        status, answer = load.run(load.ask(endpoints[0].port, [], {"texts": ["Hi."]}))
        assert status == 200
        assert answer["results"][0]["label"] in ("calm", "angry", "sad")
        assert serve.requests_in_time(endpoints[0], ["Hi."], seconds=0.2, tolerance=2.0) > 0
    assert load.get(endpoints[0].port, "/ready") == b""


def test_the_plain_service_around_onnxruntime_predicts_what_the_export_does(exported):
    folder = exported("bert", "cls")[2]
    texts = ["Hi.", "You did what? Sold it."]
    answer = TestClient(other_servers.create_app(other_servers.with_onnxruntime(folder))).post(
        "/classify", json={"texts": texts}
    )
    model = exported_unit.load(folder)
    logits = model.logits(texts)
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert [x["label"] for x in answer.json()["results"]] == [model.labels[i] for i in logits.argmax(-1)]
    assert [x["score"] for x in answer.json()["results"]] == pytest.approx(scores.max(-1).tolist(), abs=1e-5)


def test_the_plain_service_around_a_pipeline_answers(encoder_folders, tmp_path):
    drawn = draw(2, encoder_folders / "bert")
    drawn.load_model("cls").save_pretrained(tmp_path)
    drawn.tokenizer.save_pretrained(tmp_path)
    client = TestClient(other_servers.create_app(other_servers.with_pipeline(tmp_path)))
    assert client.get("/ready").status_code == 200
    assert len(client.post("/classify", json={"texts": drawn.texts}).json()["results"]) == 2


# --- the command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick", "--record"], "--record measures all texts and rounds; leave out --quick"),
        (["train", "missing.csv"], "missing.csv does not exist"),
        (["drive"], "'drive'"),
        (["data", "reviews", "--text", "review"], "has fixed columns and labels"),
    ],
)
def test_a_wrong_request_gets_one_sentence(tmp_path, arguments, message):
    code, _, err = nbhelpers("bench", *arguments, folder=tmp_path)
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_prints_sentences_then_the_table_and_the_picture(tmp_path, monkeypatch, encoder_folders):
    monkeypatch.setattr(command, "NUM_TEXTS", 4)
    monkeypatch.setattr(data_bench, "take_turns", one_round)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    encoder = str(encoder_folders / "bert")
    code, out, err = nbhelpers("bench", "data", "reviews", "--encoder", encoder, "--record", folder=tmp_path)
    assert code == 0, err
    assert out.index("Reading and tokenizing") < out.index("data, rows per second")
    assert "Picture: runs/bench_data.png" in out
    assert (tmp_path / "runs" / "bench_data.png").is_file()
    rows = results.read("speed", tmp_path / "results")
    assert len(rows) == 7
    assert {(row["corpus"], row["texts"]) for row in rows} == {("reviews", 4)}


def test_a_peer_that_does_not_run_says_so_with_its_last_line():
    failing = "import sys; print('Traceback', file=sys.stderr); sys.exit('ImportError: no such optimizer')"
    with pytest.raises(comparing.NotMeasured, match=r"^it does not run: ImportError: no such optimizer$"):
        PEERS["run"]([sys.executable, "-c", failing], "it does not run")
    of_pip = "import sys; sys.exit('ERROR: no matching distribution\\n\\n[notice] a new release of pip')"
    with pytest.raises(comparing.NotMeasured, match=r"installed: ERROR: no matching distribution$"):
        PEERS["run"]([sys.executable, "-c", of_pip], "it cannot be installed")
    assert PEERS["run"]([sys.executable, "-c", "print(5)"], "") == "5\n"
