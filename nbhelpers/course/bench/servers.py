"""Two services as people write them first, for comparison: a plain FastAPI app around a model.

python -m nbhelpers.course.bench.servers {pipeline,onnxruntime} FOLDER PORT
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

Classify = Callable[[list[str]], list[dict[str, Any]]]


class Query(BaseModel):
    """The texts to classify."""

    texts: list[str]


def create_app(classify: Classify) -> FastAPI:
    """An app with POST /classify, and GET /ready."""
    app = FastAPI()

    @app.post("/classify")
    def answer(query: Query) -> dict[str, Any]:
        return {"results": classify(query.texts)}

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {}

    return app


def with_pipeline(folder: Path) -> Classify:
    """transformers' pipeline."""
    from .predict import make_pipeline

    classify: Classify = make_pipeline(folder)
    return classify


def with_onnxruntime(folder: Path) -> Classify:
    """A session of onnxruntime and a tokenizer, without anything of this package."""
    import json

    import numpy as np
    import onnxruntime
    import tokenizers

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer.enable_truncation(config["model_max_length"])
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(config["pad_token"]), pad_token=config["pad_token"])

    def classify(texts: list[str]) -> list[dict[str, Any]]:
        encodings = tokenizer.encode_batch(texts)
        columns = {"input_ids": [x.ids for x in encodings], "attention_mask": [x.attention_mask for x in encodings]}
        (logits,) = session.run(["logits"], {name: np.array(rows, np.int64) for name, rows in columns.items()})
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        scores = weights / weights.sum(-1, keepdims=True)
        return [{"label": names[str(row.argmax())], "score": float(row.max())} for row in scores]

    return classify


def main(form: str, folder: str, port: str) -> None:
    """Serve a folder until the process is ended."""
    load = {"pipeline": with_pipeline, "onnxruntime": with_onnxruntime}[form]
    uvicorn.run(create_app(load(Path(folder))), port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
