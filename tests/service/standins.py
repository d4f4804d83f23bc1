"""Models that need no weights. Their logits follow from the text alone, so that a mixed-up answer shows."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import contextmanager
from functools import partial

import numpy as np
import psutil

from nbhelpers import serving, tagging

LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


def logits(text):
    return np.random.default_rng(zlib.crc32(text.encode())).normal(0, 2, len(LABELS))


def scores(text):
    """What the service must answer for a text: {label: probability}."""
    weights = np.exp(logits(text))
    return dict(zip(LABELS, weights / weights.sum(), strict=True))


def seen(texts, speakers, future):
    """What a turn's answer follows from: every turn it may see, and which of them it is."""
    last = len(texts) if future else None
    turns = [f"{speaker}: {text}" for speaker, text in zip(speakers, texts, strict=True)]
    return [f"{i}|" + "|".join(turns[: last or i + 1]) for i in range(len(texts))]


def encode(texts):
    return [{"input_ids": [ord(character) for character in text]} for text in texts]


def texts_of(examples):
    return ["".join(map(chr, example["input_ids"])) for example in examples]


def answers(examples):
    return [logits(text)[None] for text in texts_of(examples)]


def model(predict=answers, **options):
    """A Model in which a token is a character."""
    settings = {"name": "stand-in", "future": True, "reads": "dialogues", **options}
    return serving.Model(LABELS, encode, lambda *turns: encode(seen(*turns)), predict, **settings)


TAGS = tuple(tagging.tag_names(["PER", "LOC"]))


def tagger(**options):
    """A Model that finds entities: words in capitals are people, words that begin with one are places."""

    class Tokenizer:
        pad_token_id, unk_token_id, model_max_length = 0, 1, 64

        def __call__(self, texts, add_special_tokens=True):
            one = [ord(character) for character in texts] if isinstance(texts, str) else None
            ids = [one] if one is not None else [[ord(character) for character in text.strip()] for text in texts]
            ids = [[2, *row, 3] if add_special_tokens else row for row in ids]
            return {"input_ids": ids[0] if one is not None else ids}

    def logits_fn(batch):
        starts, ids = batch["starts"], batch["input_ids"]
        found = np.zeros((*starts.shape, len(TAGS)))
        for row, col in np.ndindex(*starts.shape):
            first, second = (chr(c) for c in ids[row, starts[row, col] : starts[row, col] + 2])
            kind = 0 if not first.isupper() else 1 if second.isupper() else 3
            found[row, col, kind] = 4.0
        return found

    settings = {"tagging": tagging, "name": "stand-in", **options}
    return serving.make_tagger(logits_fn, Tokenizer(), TAGS, **settings)


def slow(seconds):
    """`predict` that takes this long for each token of a batch, padding included."""

    def predict(examples):
        time.sleep(seconds * len(examples) * max(len(example["input_ids"]) for example in examples))
        return answers(examples)

    return predict


def right(result, text):
    """Whether a result is the one of this text, with all its labels."""
    wanted = scores(text)
    found = {entry["label"]: entry["score"] for entry in result["scores"]}
    best = max(wanted, key=wanted.get)
    return result["label"] == best and all(abs(found[label] - wanted[label]) < 2e-6 for label in LABELS)


@contextmanager
def process(kind, workers=1, **environment):
    """This file as a process of its own; gives it, its address, and a function that reads its log."""
    command = [sys.executable, __file__, str(kind), str(workers)]
    env = {**os.environ, **environment}
    with (
        tempfile.TemporaryFile("w+") as log,  # a pipe would be full after some hundred lines that nobody reads
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env) as running,
    ):
        try:
            assert running.stdout.readline() == "Loading the model ...\n"
            line = running.stdout.readline()
            yield running, re.search(r"http://\S+", line)[0], lambda: log.seek(0) or log.read()
        finally:
            if running.poll() is None:
                for left in (*psutil.Process(running.pid).children(), running):
                    left.kill()


def served(kind):
    """The model of that process: `kind` is seconds for each token, "hang" (on that text), a file, or "several"."""
    if kind == "several":
        return {name: model(name=name) for name in ("one", "two")}
    if kind.startswith("/"):
        with open(kind) as file:
            return model(digest=file.read())

    def hang(examples):
        if "hang" in texts_of(examples):
            time.sleep(60)
        return answers(examples)

    return model(hang if kind == "hang" else slow(float(kind)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores Ctrl-C
    limits = serving.Limits(**json.loads(os.environ.get("LIMITS", "{}")))
    if max_files := int(os.environ.get("MAX_FILES", 0)):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
    serving.serve(partial(served, sys.argv[1]), port=0, workers=int(sys.argv[2]), limits=limits)
