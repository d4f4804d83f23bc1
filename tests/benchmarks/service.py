"""What the deployment of lesson 7 gives, measured in one run on one machine that does nothing else, on MELD's texts.

    python tests/benchmarks/service.py [--seconds 60] [--texts 2610] [--model FOLDER]

The model is the row "utterance only" of MELD's table, trained once into runs/meld_model; its exports, MODEL_onnx and
MODEL_int8, are kept, too. Adds a row per measurement to data/results/service.jsonl: numbers, sizes, targets.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import multiprocessing
import operator
import random
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
import transformers

from nbhelpers import corpora, encoders, export, metrics, serving
from nbhelpers.classifier import served
from nbhelpers.classifier.loading import load_torch
from nbhelpers.course import deploy, results
from nbhelpers.course.bench import load
from nbhelpers.course.bench.comparing import NotMeasured
from nbhelpers.course.lessons import ROOT, CourseError

THREADS = torch.get_num_threads()  # as `nbhelpers serve` takes
MODEL = ROOT / "runs" / "meld_model"
ROUNDS, CLIENTS, RATE = 3, 64, 50
transformers.logging.set_verbosity(logging.CRITICAL)  # a pipeline complains of every class that it does not know
COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, "==": operator.eq}


def record(row, numbers, **targets):
    """Keep and print a row; `targets` are those of issue 5: name of a number -> for instance "<= 5"."""
    bounds = {name: target.split() for name, target in targets.items()}
    holds = {name: bool(COMPARE[sign](numbers[name], float(bound))) for name, (sign, bound) in bounds.items()}
    numbers = {name: float(f"{x:.5g}") if isinstance(x, float) else x for name, x in numbers.items()}
    results.append("service", {"row": row, **numbers, "targets": targets, "holds": holds})
    print(f"{row}: {', '.join(f'{name} {value}' for name, value in numbers.items())}", flush=True)
    for name, target in targets.items():
        print(f"    {name} {target}: {'holds' if holds[name] else 'MISSED'}", flush=True)


def folders(model):
    """Form -> folder; what is not there is made."""
    made = {"torch": model, **{form: model.with_name(f"{model.name}_{form}") for form in ("onnx", "int8")}}
    if model == MODEL and not model.is_dir():
        print("training ...", flush=True)
        deploy.train(results.table_rows("meld")["utterance only"], model)
    for form in ("onnx", "int8"):
        if not made[form].is_dir():
            make = partial(deploy.export_folder, model, made[form], int8=form == "int8", corpus="meld")
            try:
                make()
            except export.ExportError as error:
                record(f"export of {form} refused", {"reason": str(error)})
                make(force=True)
    return made


def answer(model, texts):
    """Logits [texts, classes], computed in batches of 32 texts of like length."""
    examples, logits = model.encode(texts), [None] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(examples[i]["input_ids"]))
    for start in range(0, len(order), 32):
        chosen = order[start : start + 32]
        for i, rows in zip(chosen, model.predict([examples[i] for i in chosen]), strict=True):
            logits[i] = rows[0]
    return np.array(logits)


def probabilities(logits):
    return serving.probabilities([logits], *logits.shape)


def quality(made, models, data):
    """What export and int8 cost: bytes, labels, weighted F1 in percent."""
    mib = {form: export.size_mib(folder) for form, folder in made.items()}
    record("size", {**mib, "int8_share": mib["int8"] / mib["onnx"]}, int8_share="<= 0.27")
    for split in ("dev", "test"):
        labels, texts = data[split]["emotion"][:], data[split]["text"][:]
        logits = {form: answer(model, texts) for form, model in models.items()}
        f1 = {form: 100 * metrics.scores(labels, x.argmax(-1), x.shape[1])["weighted_f1"] for form, x in logits.items()}
        for form in ("onnx", "int8"):
            agreed = export.agreement(logits["torch"], logits[form])
            numbers = {
                "texts": len(texts),
                "same_labels": agreed["labels"],
                "largest_difference": agreed["probability"],
            }
            numbers |= {"weighted_f1": f1[form], "torch_f1": f1["torch"], "f1_off": abs(f1[form] - f1["torch"])}
            record(f"quality on {split}, {form}", numbers, f1_off="<= 0.5")


def throughput(folder, models, texts, labels):
    """Texts per second, tokenizing included."""
    tokenizer, model = load_torch(folder)
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    expected = [labels[i] for i in answer(models["torch"], texts[:64]).argmax(-1)]
    if [found["label"] for found in pipeline(texts[:64])] != expected:
        raise CourseError(f"a transformers pipeline gives other labels than {folder} itself; compare nothing with it")
    ways = {"pipeline": lambda: pipeline(texts), "pipeline, batches of 32": lambda: pipeline(texts, batch_size=32)}
    ways |= {f"{form}, sorted by length": partial(answer, model, texts) for form, model in models.items()}
    rounds = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, compute in ways.items():
            start = time.perf_counter()
            compute()
            rounds[way].append(round(len(texts) / (time.perf_counter() - start), 1))
    medians = {way: statistics.median(measured) for way, measured in rounds.items()}
    for way, median in medians.items():
        numbers = {"texts": len(texts), "texts_per_second": median, "rounds": rounds[way]}
        numbers["times_pipeline"] = median / medians["pipeline"]
        record(f"throughput, {way}", numbers, **({"times_pipeline": ">= 6"} if way.startswith("int8") else {}))


def latency(form, model, texts):
    """One text at a time, tokenizing included, and the model alone. Returns the probabilities [texts, classes]."""
    whole, alone, logits = [], [], []
    for text in [*texts[:20], *texts]:  # the first 20 to warm up
        start = time.perf_counter()
        examples = model.encode([text])
        encoded = time.perf_counter()
        logits.append(model.predict(examples)[0][0])
        whole.append(1000 * (time.perf_counter() - start))
        alone.append(1000 * (time.perf_counter() - encoded))
    numbers = {"texts": len(texts), **percentiles(whole[20:])}
    numbers |= {f"model_alone_{name}": value for name, value in percentiles(alone[20:]).items()}
    record(f"batch 1, {form}", numbers, model_alone_median_ms="<= 1.5")
    return probabilities(np.array(logits[20:]))


def tolerance(form, model, texts, expected):
    """How far a probability may be from that of the text by itself: fp32 0.001.

    int8 rounds activations with one scale for a whole batch, so an answer depends a little on its neighbours: allowed
    is twice the largest difference seen in 20 passes with changing neighbours.
    """
    draw, seen = np.random.default_rng(0), 0.0
    for _ in range(20):
        order = draw.permutation(len(texts))
        moved = probabilities(answer(model, [texts[i] for i in order])) - expected[order]
        seen = max(seen, float(np.abs(moved).max()))
    allowed = 2 * seen if form == "int8" else 0.001
    alike = np.mean([(np.abs(expected - row).max(1) <= allowed).sum() - 1 for row in expected]) / (len(texts) - 1)
    numbers = {"largest_difference": seen, "allowed": allowed, "share_of_pairs_within": float(alike)}
    record(f"answers with other neighbours, {form}", numbers)
    return allowed


def percentiles(milliseconds):
    return {"median_ms": statistics.median(milliseconds), "p99_ms": float(np.quantile(milliseconds, 0.99))}


# --- the service is a process of its own; the client, in this one, does as little as it can --------------------------


@contextlib.contextmanager
def service(folder):
    """`nbhelpers serve FOLDER`: its process, its port, and the seconds until /ready said so."""
    port = load.free_port()
    command = [Path(sys.executable).with_name("nbhelpers"), "serve", folder, "--port", str(port)]
    start = time.perf_counter()
    with load.process(command) as (process, log):
        try:
            load.wait_until_ready(process, log, load.Endpoint(port))
        except NotMeasured as error:
            raise CourseError(f"nbhelpers serve {folder}: {error}") from error
        yield process, port, time.perf_counter() - start


def steady(port, texts, seconds):
    """Requests of one text at random times, RATE a second, each timed from when it was due, whoever else waits."""
    taken = load.run(load.steady(load.Endpoint(port), texts, RATE, seconds))
    return {"requests": len(taken), "failed": taken.count(float("inf")), **percentiles(taken)}


async def crowd(pid, port, labels, texts, expected, allowed, seconds):
    """CLIENTS at once; each asks for 1 to 8 texts and, once answered, for others."""
    clock, process, busy = asyncio.get_running_loop().time, psutil.Process(pid), time.process_time()
    start, idle, taken, memory, differences, lost = clock(), [], [], [], [], 0

    async def client(seed):
        nonlocal lost
        draw = random.Random(seed)
        while (began := clock()) < start + seconds:
            chosen = draw.sample(range(len(texts)), draw.randint(1, 8))
            status, content = await load.ask(port, idle, {"texts": [texts[i] for i in chosen]})
            taken.append(1000 * (clock() - began))
            if status != 200 or len(content["results"]) != len(chosen):
                lost += 1
                continue
            for i, result in zip(chosen, content["results"], strict=True):
                scores = {x["label"]: x["score"] for x in result["scores"]}
                differences.append(max(abs(scores[x] - p) for x, p in zip(labels, expected[i], strict=True)))

    async def watch():
        while clock() < start + seconds:
            memory.append(sum(x.memory_info().rss for x in (process, *process.children(recursive=True))) / 2**20)
            await asyncio.sleep(seconds / 60)

    async with asyncio.TaskGroup() as group:
        for task in (watch(), *map(client, range(CLIENTS))):
            group.create_task(task)
    passed, cores = clock() - start, time.process_time() - busy
    for _, writer in idle:
        writer.close()
    quarters = [round(float(part.mean()), 1) for part in np.array_split(memory, 4)]
    return {
        "seconds": passed, "requests": len(taken), "texts": len(differences), "lost": lost,
        "wrong": sum(x > allowed for x in differences), "largest_difference": max(differences), "allowed": allowed,
        "requests_per_second": (len(taken) - lost) / passed, "texts_per_second": len(differences) / passed,
        **percentiles(taken), "client_cores": cores / passed,
        "mib": quarters[3], "mib_by_quarter": quarters, "memory_growth": quarters[3] / quarters[1] - 1,
    }  # fmt: skip


def idle_service(port):
    """Answers at once, always the same: the time that is left is the client's own."""

    async def reply(reader, writer):
        with contextlib.suppress(EOFError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(load.content_length(head))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async def listen():
        await (await asyncio.start_server(reply, "127.0.0.1", port)).serve_forever()

    load.run(listen())


def client_alone(texts, seconds):
    port = load.free_port()
    process = multiprocessing.get_context("spawn").Process(target=idle_service, args=[port], daemon=True)
    process.start()
    while not load.get(port, "/"):
        time.sleep(0.01)
    record(f"the client alone, {RATE} requests a second", steady(port, texts, seconds))
    process.kill()


def through_http(form, folder, labels, texts, expected, allowed, seconds):
    starts = []
    for _ in range(ROUNDS - 1):
        with service(folder) as (*_, started):
            starts.append(started)
    with service(folder) as (process, port, started):
        starts.append(started)
        rounded = [round(x, 2) for x in starts]
        record(f"start to ready, {form}", {"seconds": statistics.median(starts), "rounds": rounded}, seconds="<= 5")
        steady(port, texts, 1)  # warm
        found = steady(port, texts, seconds / 3)
        record(f"{RATE} requests a second, {form}", found, failed="== 0", median_ms="<= 6", p99_ms="<= 25")
        found = load.run(crowd(process.pid, port, labels, texts, expected, allowed, seconds))
        memory = {"memory_growth": "< 0.05", **({"mib": "<= 250"} if form == "int8" else {})}
        record(f"{CLIENTS} clients, {form}", found, lost="== 0", wrong="== 0", **memory)


def measure(model, num_texts, seconds):
    data = corpora.load("meld")
    texts = data["test"]["text"][:num_texts]
    made = folders(model)
    models = {form: served.load(folder, THREADS) for form, folder in made.items()}
    labels = data["test"].features["emotion"].names  # those of the models, too: the export has compared them
    quality(made, models, data)
    throughput(model, models, texts, labels)
    gc.collect()
    gc.freeze()  # or the client would now and then search all that the models hold
    client_alone(texts, seconds / 3)
    for form in ("onnx", "int8"):
        expected = latency(form, models[form], texts)
        allowed = tolerance(form, models[form], texts, expected)
        through_http(form, made[form], labels, texts, expected.tolist(), allowed, seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60, help="of the 64 clients; a third of it for 50 a second")
    parser.add_argument("--texts", type=int, help="of MELD's test split; default: all, but for the scores always all")
    parser.add_argument("--model", type=Path, default=MODEL, help="trained on MELD; default: %(default)s")
    options = parser.parse_args()
    if options.seconds < 1 or (options.texts or 8) < 8:
        parser.error("--seconds takes 1 or more, --texts 8 or more")
    try:
        measure(options.model.resolve(), options.texts, options.seconds)
    except (CourseError, corpora.CorpusError, encoders.EncoderError, export.ExportError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
