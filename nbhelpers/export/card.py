"""The model card, README.md, of an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

# The hub's own template is not used: it is six screens of "[More Information Needed]". Everything here is known.
BODY = """# A {architecture} classifier in ONNX

This model gives {item} {number} of these labels: {labels}.

{facts}

## Scores

{scores}

## How to use it

    from nbhelpers import export  # or from where you copied this unit to

    tokenizer, model = export.load_exported(folder)
    logits = model(batch)  # {shape}

`batch` is a dict of tensors with the inputs named above.

## Made with

{versions}
"""


def model_card(architecture: str, metadata: Mapping[str, Any]) -> ModelCard:
    """Make the card: what the model is, what it reads and returns, and what is known of its quality.

    Args:
        architecture: transformers' name, for instance "bert".
        metadata: as `make_metadata` returns it.

    Returns:
        The card; `str(card)` is its text, and `card.data` the block at its start that the Hugging Face Hub reads.

    >>> metadata = {"labels": ["calm", "angry"], "inputs": ["input_ids", "attention_mask"], "max_length": 128}
    >>> metadata |= {"settings": {}, "weights": "int8", "versions": {"python": "3.12.3"}, "scores": {"dev F1": 0.61234}}
    >>> card = model_card("roberta", metadata)
    >>> card.data.pipeline_tag
    'text-classification'
    >>> "This model gives a text one of these labels: calm, angry." in str(card), "- dev F1: 0.6123" in str(card)
    (True, True)
    """
    # Scores are not in the block: it would also have to name the data set and the metric as the hub knows them, and
    # neither follows from a name such as "dev weighted F1". Language and license are not known either.
    data = ModelCardData(library_name="onnxruntime", pipeline_tag="text-classification", tags=["onnx"])
    is_dialogue = "starts" in metadata["inputs"]
    facts = {
        "weights": metadata["weights"],
        "inputs": f"{', '.join(metadata['inputs'])}; at most {metadata['max_length']} tokens",
    }
    if is_dialogue:
        facts["a turn sees"] = "itself and earlier turns" if metadata["causal_turns"] else "the whole dialogue"
    scores = {name: f"{value:.4g}" for name, value in metadata["scores"].items()}
    body = BODY.format(
        architecture=architecture,
        item="each turn of a dialogue" if is_dialogue else "a text",
        number="any number" if "thresholds" in metadata["settings"] else "one",
        labels=", ".join(metadata["labels"]),
        facts=bullets(facts | metadata["settings"]),
        scores=bullets(scores) if scores else "None were recorded.",
        shape="[batch, turns, classes]" if is_dialogue else "[batch, classes]",
        versions=bullets(metadata["versions"]),
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}")


def bullets(facts: Mapping[str, Any]) -> str:
    """Format facts as a list in Markdown.

    >>> print(bullets({"weights": "fp32", "past": 5}))
    - weights: fp32
    - past: 5
    """
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
