"""Tiny models of many architectures, and inputs for them, for the tests of nbhelpers.export and nbhelpers.pruning."""

import torch
import transformers

from nbhelpers import batching, dialogue, encoders, export

LABELS = ("calm", "angry", "sad")
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=31000)
CONFIGS = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(max_position_embeddings=130, pad_token_id=1, **SIZES),
    "distilbert": transformers.DistilBertConfig(vocab_size=31000, dim=32, n_layers=2, n_heads=2, hidden_dim=64),
    "electra": transformers.ElectraConfig(**SIZES),
    "modernbert": transformers.ModernBertConfig(pad_token_id=0, **SIZES),
    "deberta-v2": transformers.DebertaV2Config(**SIZES),
    "mpnet": transformers.MPNetConfig(pad_token_id=1, **SIZES),
}
# two ways to pool a text, and two ways to classify the turns of whole dialogues
MODES = ("cls", "mean", "whole_dialogues", "causal_turns")
DIALOGUES = (  # lists of turns; alone and together they make batches of several shapes and paddings
    ["Hi."],
    ["You did what?", "Sold it.", "Oh."],
    ["Well, that is one way of looking at it, I suppose.", "Fine."],
    ["No."] * 9,
)


def save_encoders(folder):
    """Save an encoder per architecture."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.embedded_folder())
    torch.manual_seed(0)
    for name, config in CONFIGS.items():
        transformers.AutoModel.from_config(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


def load_encoder(encoder_folders, name, mode):
    """A tokenizer and a classifier, always with the same random head."""
    torch.manual_seed(0)
    source = name if name == "embedded" else encoder_folders / name
    tokenizer, model = encoders.load(source, LABELS, pooling="cls" if mode == "cls" else "mean")
    model.eval().config.causal_turns = mode == "causal_turns"
    return tokenizer, model


def write_folder(tokenizer, model, mode, int8, folder):
    """Export a model."""
    options = {"dialogue": mode in ("whole_dialogues", "causal_turns"), "settings": {"speaker_format": "none"}}
    if int8:
        dataloader = make_dataloader(tokenizer, mode)
        export.quantize(model, tokenizer, folder, dataloader, full_range=True, **options)
    else:
        export.export(model, tokenizer, folder, scores={"F1": 0.5}, **options)


def make_examples(tokenizer, mode, dialogues=DIALOGUES):
    """Single turns, or whole dialogues."""
    texts = [text for turns in dialogues for text in turns]
    if mode in ("cls", "mean"):
        return batching.tokenize(texts, tokenizer, labels=[0] * len(texts))
    dialogue_ids = [number for number, turns in enumerate(dialogues) for _ in turns]
    turns = dialogue.encode_turns(texts, dialogue_ids, tokenizer)
    return dialogue.whole_dialogues(turns, dialogue_ids, tokenizer, labels=[0] * len(texts))


def make_dataloader(tokenizer, mode, **options):
    examples = make_examples(tokenizer, mode)
    return batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=3, **options)


def check_same_logits(tokenizer, model, onnx_model, mode):
    """Check batches of several shapes: each example alone, all together, padded further, two, and in reverse order."""
    examples = make_examples(tokenizer, mode)
    alone = [([example], 1) for example in examples]
    shapes = set()
    for part, pad_to_multiple_of in [*alone, (examples, 1), (examples, 32), (examples[:2], 1), (examples[::-1], 8)]:
        batch = batching.Collator(tokenizer.pad_token_id, pad_to_multiple_of)(part)
        shapes.add(tuple(batch["input_ids"].shape))
        expected = torch.cat(export.logits_per_example(export.make_logits_fn(model), batch))
        logits = torch.cat(export.logits_per_example(onnx_model, batch))
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert len(shapes) >= 6
    assert expected.std() > 1e-3
