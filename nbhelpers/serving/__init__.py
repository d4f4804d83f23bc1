"""Serving: a web service and a page for any text classifier. Texts or dialogues in, labels with probabilities out.

Make a `Model` from what computes the logits and from the tokenizer, and serve it:

    model = make_model(torch_logits_fn(classifier), tokenizer, labels)
    serve(lambda: model)  # http://127.0.0.1:8000 has a page, /docs says how to call it

An exported model needs no torch: `onnx_logits_fn(onnxruntime.InferenceSession("model.onnx"))`. For a model of dialogues
pass `dialogue=nbhelpers.dialogue` and how it saw context in training. `create_app` returns the application without
starting it, for a server of your own.

A request and its response, here with the optional `top_k`:

    POST /classify            {"texts": ["What a day!"], "top_k": 2}
    POST /classify/dialogue   {"turns": [{"speaker": "Ann", "text": "What a day!"}], "future": false}
    200                       {"model": "my_model", "digest": "", "future": false, "results": [{"label": "joy",
                               "scores": [{"label": "joy", "score": 0.81}, {"label": "surprise", "score": 0.1}]}]}

What the service refuses, it refuses in one sentence: {"error": "texts.0: the text is empty", "request_id": "..."}. The
status is 401 without the key, 408 or 413 for a body that is too slow or too large, 422 for a value that is wrong or
exceeds a limit, 500 for an error inside, and 503, with the header Retry-After, when the service is overloaded.

GET /health says that the process lives, GET /ready that the model answers, GET /metrics has counts for Prometheus (see
`Metrics`). With a key, the two paths that classify and /metrics need "Authorization: Bearer KEY". The key of `serve` is
the environment variable NBHELPERS_API_KEY; `create_app` takes it as an argument.

Requests that arrive together are computed in batches of similar length, and short requests overtake long ones. Each
response carries an id in X-Request-ID that its log line carries as well. A proxy may send an id of its own: 32 hex
digits or a UUID.

It needs fastapi, uvicorn, prometheus-fastapi-instrumentator, asgi-correlation-id and numpy; torch only in
`torch_logits_fn`. The files: `run` and `workers` start it, `app` puts it together from `routes`, `pages` and
`middleware`, `batcher` is the queue, `model` what it knows of a model, `tagger` likewise for one that finds entities;
POST /entities takes the place of the two paths then. `several` puts several models into one service.

A model needs four things: its labels, two functions that encode, and one that predicts. This one calls all long texts
"long":

>>> from starlette.testclient import TestClient
>>> import numpy as np
>>> encode = lambda texts: [{"input_ids": list(range(len(text.split())))} for text in texts]
>>> predict = lambda examples: [np.array([[3.0, len(example["input_ids"])]]) for example in examples]
>>> model = Model(("short", "long"), encode, lambda texts, speakers, future: encode(texts), predict)
>>> with TestClient(create_app(model)) as client:
...     response = client.post("/classify", json={"texts": ["Hi!", "one two three four five"]})
>>> [result["label"] for result in response.json()["results"]]
['short', 'long']
"""

from .app import API_KEY, create_app
from .batcher import Batcher, ModelThread
from .limits import DEFAULTS, Limits
from .metrics import Metrics
from .middleware import Guard
from .model import (
    Mention,
    Model,
    collate,
    make_model,
    num_rows,
    onnx_logits_fn,
    probabilities,
    probe,
    torch_logits_fn,
)
from .pages import page
from .run import require_free, serve
from .schemas import Answer, Entities, Entity, Result, Score
from .several import create_joint_app, require_names
from .tagger import make_tagger
from .workers import load_app

__all__ = [
    "API_KEY",
    "DEFAULTS",
    "Answer",
    "Batcher",
    "Entities",
    "Entity",
    "Guard",
    "Limits",
    "Mention",
    "Metrics",
    "Model",
    "ModelThread",
    "Result",
    "Score",
    "collate",
    "create_app",
    "create_joint_app",
    "load_app",
    "make_model",
    "make_tagger",
    "num_rows",
    "onnx_logits_fn",
    "page",
    "probabilities",
    "probe",
    "require_free",
    "require_names",
    "serve",
    "torch_logits_fn",
]
