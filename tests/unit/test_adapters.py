"""Adapters on the embedded BERT and on other architectures with random weights: training, saving, merging, errors."""

import functools

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from nbhelpers import adapters, batching, dialogue, encoders, objectives, training

LABELS = ("calm", "angry", "sad")
METHODS = {
    "lora": adapters.lora,
    "lora all": functools.partial(adapters.lora, target_modules="all"),
    "ia3": adapters.ia3,
}
TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
CONFIGS = {
    "bert": transformers.BertConfig(vocab_size=31000, **TINY),
    "roberta": transformers.RobertaConfig(vocab_size=31000, max_position_embeddings=66, pad_token_id=1, **TINY),
    "distilbert": transformers.DistilBertConfig(vocab_size=31000, dim=32, n_layers=2, n_heads=2, hidden_dim=64),
    "electra": transformers.ElectraConfig(vocab_size=31000, **TINY),
    "modernbert": transformers.ModernBertConfig(vocab_size=31000, pad_token_id=0, **TINY),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder per architecture with random weights and the embedded encoder's tokenizer."""
    root = tmp_path_factory.mktemp("encoders")
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.embedded_folder())
    torch.manual_seed(0)
    for name, config in CONFIGS.items():
        transformers.AutoModel.from_config(config).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


def fresh(folder, name, pooling, seed=0):
    torch.manual_seed(seed)
    return encoders.load(folder / name, LABELS, pooling=pooling)


def a_batch(tokenizer):
    texts = ["You did what?", "Fine.", "I miss him."]
    return batching.Collator(tokenizer.pad_token_id)(batching.tokenize(texts, tokenizer, labels=[1, 0, 2]))


def trained(model, batch, steps=3):
    """A few large steps, so that every new weight has moved."""
    optimizer = training.make_optimizer(model, 1e-2)
    for _ in range(steps):
        model.train()
        objectives.cross_entropy(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def logits(model, batch):
    with torch.inference_mode():
        return model.eval()(batch["input_ids"], batch["attention_mask"]).logits


@pytest.mark.slow
@pytest.mark.parametrize("pooling", encoders.POOLINGS)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("method", METHODS)
def test_only_adapter_and_head_are_trained_and_both_are_reloaded(tmp_path, folder, method, name, pooling):
    tokenizer, model = fresh(folder, name, pooling)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    batch = a_batch(tokenizer)
    adapted = trained(METHODS[method](model), batch)
    expected = logits(adapted, batch)
    frozen = {key: p for key, p in adapted.named_parameters() if not p.requires_grad}
    for key, parameter in frozen.items():
        plain = key.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", "")
        assert torch.equal(parameter, before[plain]), key

    adapted.save_pretrained(tmp_path / "adapter")
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any("classifier" in key for key in saved)  # the head, without which a reloaded model guesses
    assert not any("embeddings" in key for key in saved)
    _, other = fresh(folder, name, pooling, seed=1)  # another random head
    again = adapters.load_adapter(other, tmp_path / "adapter")
    assert torch.equal(logits(again, batch), expected)

    plain = adapters.merge(again)
    assert not any(isinstance(module, peft.tuners.tuners_utils.BaseTunerLayer) for module in plain.modules())
    assert (logits(plain, batch) - expected).abs().max() <= 1e-5
    plain.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    assert (logits(encoders.load_trained(tmp_path / "plain")[1], batch) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["bert", "roberta", "electra"])
def test_prefix_tuning_is_reloaded_with_its_head(tmp_path, folder, name):
    tokenizer, model = fresh(folder, name, "cls")
    batch = a_batch(tokenizer)
    adapted = trained(adapters.prefix(model, num_tokens=4), batch)
    adapted.save_pretrained(tmp_path)
    again = adapters.load_adapter(fresh(folder, name, "cls", seed=1)[1], tmp_path)
    torch.testing.assert_close(logits(again, batch), logits(adapted, batch), atol=1e-6, rtol=1e-5)


def test_prefix_tuning_refuses_mean_pooling_and_merging(folder):
    with pytest.raises(ValueError, match="pooling='cls'"):
        adapters.prefix(fresh(folder, "bert", "mean")[1])
    with pytest.raises(ValueError, match="no weights to merge"):
        adapters.merge(adapters.prefix(fresh(folder, "bert", "cls")[1]))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_error_for_an_unknown_layer_lists_the_layers_of_the_model(folder, name):
    _, model = fresh(folder, name, "cls")
    with pytest.raises(ValueError, match="the model has no linear layer 'q_proj'; choose from ") as error:
        adapters.lora(model, target_modules=["q_proj"])
    for name in adapters.linear_layers(model):
        assert name in str(error.value)
    assert not isinstance(model, peft.PeftModel)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_head_never_gets_an_adapter(folder, name):
    _, model = fresh(folder, name, "cls")  # RoBERTa's head has a layer named "dense", as its encoder has
    adapted = adapters.lora(model, target_modules="all")
    targeted = [key for key, module in adapted.named_modules() if isinstance(module, peft.tuners.lora.Linear)]
    assert targeted
    assert not any("classifier" in key or "pooler" in key or key.endswith("head.dense") for key in targeted)


def test_parameters_are_counted_with_and_without_an_adapter():
    _, model = encoders.load("embedded", LABELS)
    everything = sum(p.numel() for p in model.parameters())
    head = 384 * 3 + 3
    counted = {"trainable": everything, "without head": everything - head, "total": everything}
    assert adapters.num_parameters(model) == counted
    adapted = adapters.lora(model, r=8)
    per_layer = 2 * (384 * 8 + 8 * 384)  # A and B for query and value
    counted = {"trainable": 6 * per_layer + head, "without head": 6 * per_layer, "total": everything + 6 * per_layer}
    assert adapters.num_parameters(adapted) == counted


def test_a_new_adapter_does_not_change_the_logits(folder):
    tokenizer, model = fresh(folder, "roberta", "mean")
    batch = a_batch(tokenizer)
    before = logits(model, batch)
    torch.testing.assert_close(logits(adapters.lora(model), batch), before)


def test_a_model_with_an_adapter_classifies_turns():
    tokenizer, model = encoders.load("embedded", LABELS)
    turns = dialogue.encode_turns(["Sold it.", "Oh."], [0, 0], tokenizer)
    batch = batching.Collator(0)(dialogue.whole_dialogues(turns, [0, 0], tokenizer, labels=[0, 1]))
    adapted = adapters.lora(model)
    assert adapted(**batch).logits.shape == (1, 2, 3)
    assert objectives.r_drop(adapted.train(), batch).isfinite()


def test_the_optimizer_gives_adapters_the_learning_rate_of_the_encoder(folder):
    _, model = fresh(folder, "bert", "mean")
    optimizer = training.make_optimizer(adapters.lora(model), 1e-3, head_lr=1e-2)
    sizes = {group["lr"]: sum(p.numel() for p in group["params"]) for group in optimizer.param_groups}
    assert set(sizes) == {1e-3, 1e-2}


def test_a_folder_without_an_adapter_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match="holds no adapter"):
        adapters.load_adapter(fresh(folder, "bert", "mean")[1], tmp_path)


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_an_adapter_saved_without_its_head_is_refused(tmp_path, folder, name, pooling):
    config = peft.LoraConfig(target_modules=["query", "value"])  # no task type, no modules_to_save
    peft.get_peft_model(fresh(folder, name, pooling)[1], config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"saved without its head \(.*classifier"):
        adapters.load_adapter(fresh(folder, name, pooling)[1], tmp_path)


@pytest.mark.parametrize(
    ("name", "pooling", "labels"), [("bert", "cls", LABELS), ("roberta", "mean", LABELS), ("bert", "mean", LABELS[:2])]
)
def test_an_adapter_of_another_model_is_refused(tmp_path, folder, name, pooling, labels):
    if name == "roberta":  # the layers have the same names but other sizes
        sizes = {"hidden_size": 48, "num_attention_heads": 3}
        config = transformers.RobertaConfig(**CONFIGS["roberta"].to_dict() | sizes)
        model = encoders.MeanPoolingClassifier(config)
    else:
        model = encoders.load(folder / name, labels, pooling=pooling)[1]
    adapters.lora(fresh(folder, "bert", "mean")[1]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="trained on another model"):
        adapters.load_adapter(model, tmp_path)


def test_the_names_of_the_classes_are_restored_or_compared(tmp_path, folder):
    adapters.save(adapters.lora(fresh(folder, "bert", "mean")[1]), tmp_path)
    for swapped in (("angry", "calm", "sad"), ("calm", "angry", "glad")):
        with pytest.raises(ValueError, match="trained for the labels calm, angry, sad, in this order"):
            adapters.load_adapter(encoders.load(folder / "bert", swapped)[1], tmp_path)
    unnamed = encoders.load(folder / "bert", ("LABEL_0", "LABEL_1", "LABEL_2"))[1]
    loaded = adapters.load_adapter(unnamed, tmp_path)
    assert loaded.config.id2label == dict(enumerate(LABELS))
    assert loaded.config.label2id == {name: i for i, name in enumerate(LABELS)}


def test_a_second_adapter_is_refused(tmp_path, folder):
    adapted = adapters.lora(fresh(folder, "bert", "mean")[1])
    adapters.save(adapted, tmp_path)
    for model in (adapted, adapted.get_base_model()):
        with pytest.raises(ValueError, match="already has an adapter"):
            adapters.load_adapter(model, tmp_path)


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert"])
def test_ia3_learns_a_factor_per_key_value_and_feed_forward_unit(folder, name):
    """As in Liu et al. 2022: none for the attention's output layer, whose name ends like that of a chosen layer."""
    _, model = fresh(folder, name, "mean")
    assert adapters.num_parameters(adapters.ia3(model))["without head"] == 2 * (32 + 32 + 64)


@pytest.mark.parametrize("kind", ["DebertaV2", "MPNet"])
def test_ia3_knows_other_names_for_key_and_value(kind):
    model = encoders.MeanPoolingClassifier(getattr(transformers, f"{kind}Config")(vocab_size=100, **TINY))
    assert adapters.num_parameters(adapters.ia3(model))["without head"] == 2 * (32 + 32 + 64)


def test_ia3_scales_outputs_of_attention_and_inputs_of_the_feed_forward_block(folder):
    _, model = fresh(folder, "modernbert", "mean")
    layers = [m for m in adapters.ia3(model).modules() if hasattr(m, "is_feedforward")]
    assert {(m.in_features, m.out_features, m.is_feedforward) for m in layers} == {(32, 96, False), (64, 32, True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "modernbert", "embedded"])  # only of the last one the embedding grows
def test_rows_of_new_tokens_are_trained_saved_and_merged(tmp_path, folder, name):
    source = name if name == "embedded" else folder / name
    tokenizer, model = encoders.load(source, LABELS)
    num_known = len(tokenizer)
    dialogue.add_speaker_tokens(tokenizer, model)
    before = model.get_input_embeddings().weight.detach().clone()
    turns = dialogue.encode_turns(["Sold it.", "Oh."], [0, 0], tokenizer, speakers=["Ann", "Bo"], speaker_format="id")
    batch = batching.Collator(0)(dialogue.whole_dialogues(turns, [0, 0], tokenizer, labels=[0, 1]))
    ids = tokenizer.convert_tokens_to_ids(dialogue.speaker_tokens())
    adapted = trained(adapters.lora(model, trainable_token_indices=ids), batch)
    expected = logits(adapted, batch)
    adapters.save(adapted, tmp_path)

    other_tokenizer, other = encoders.load(source, LABELS)
    dialogue.add_speaker_tokens(other_tokenizer, other)  # other random rows
    again = adapters.load_adapter(other, tmp_path)
    torch.testing.assert_close(logits(again, batch), expected)
    merged = adapters.merge(again)
    torch.testing.assert_close(logits(merged, batch), expected, atol=1e-5, rtol=0)
    rows = merged.get_input_embeddings().weight
    assert torch.equal(rows[:num_known], before[:num_known])
    assert ((rows[ids[:2]] - before[ids[:2]]).abs() > 1e-3).any(-1).all()
