"""The larger embedded encoder with its real weights, from its packages."""

import torch

from nbhelpers import encoders


def test_it_is_the_published_encoder(base_encoder):
    tokenizer, model = encoders.load("embedded-base", ("calm", "angry"))
    assert type(model.encoder).__name__ == "MPNetModel"
    assert tokenizer.model_max_length == 512
    assert (tokenizer.pad_token_id, tokenizer.cls_token, tokenizer.sep_token) == (1, "<s>", "</s>")
    num_parameters = sum(parameter.numel() for parameter in model.encoder.parameters())
    assert round(num_parameters / 1e6, 1) == 108.9  # the 109.5 million of the card, without the pooler that is not used


def test_similar_sentences_have_similar_vectors(base_encoder):
    tokenizer, model = encoders.load("embedded-base", ("calm", "angry"))
    texts = ["The bus was late again.", "Once more the bus did not come on time.", "She bakes bread on Sundays."]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.encoder(**batch).last_hidden_state
    vectors = torch.nn.functional.normalize(encoders.mean_over_text(hidden, batch["attention_mask"]), dim=-1)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.7
    assert similarity[0, 2] < 0.2
