"""attribution: the scores add up, a linear model gives the known answer, padding gets nothing, and words for errors."""

import builtins
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn

from nbhelpers import attribution, encoders, plots

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
IDS = torch.tensor([[2, 7, 9, 12, 3, 1, 1], [2, 5, 5, 8, 11, 6, 3]])  # 1 is padding
SPECIAL = ((IDS == 2) | (IDS == 3)).long()
MASK = (IDS != 1).long()


def bert():
    return transformers.BertForSequenceClassification(config(transformers.BertConfig))


def roberta():
    return transformers.RobertaForSequenceClassification(config(transformers.RobertaConfig))


def mean_pooling_bert():
    return encoders.MeanPoolingClassifier(config(transformers.BertConfig))


def mean_pooling_roberta():
    return encoders.MeanPoolingClassifier(config(transformers.RobertaConfig))


def config(kind):
    return kind(**SIZES, vocab_size=20, num_labels=3, pad_token_id=1, initializer_range=0.3)


MODELS = [bert, roberta, mean_pooling_bert, mean_pooling_roberta]


class WordCounts(nn.Module):
    """The logit of a class is the sum of its weights for the words, so each word's score is known."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embeddings = nn.Embedding(20, 3)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=(self.embeddings(input_ids) * attention_mask.unsqueeze(-1)).sum(1))


def attribute(model, **options):
    options = {"target": 1, "pad_token_id": 1, "special_tokens_mask": SPECIAL, **options}
    return attribution.integrated_gradients(model, IDS, MASK, **options)


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def model(request):
    transformers.set_seed(0)
    return request.param()


def test_the_scores_add_up_to_the_difference_of_the_logits(model):
    result = attribute(model)
    assert result.scores.shape == IDS.shape
    assert (result.error < 0.05).all()
    assert (attribute(model, num_steps=100).error < 0.001).all()
    with torch.no_grad():
        logits = model.eval()(input_ids=IDS, attention_mask=MASK).logits[:, 1]
        baseline = torch.where((SPECIAL == 1) | (MASK == 0), IDS, 1)
        of_baseline = model(input_ids=baseline, attention_mask=MASK).logits[:, 1]
    torch.testing.assert_close(result.text_logit, logits)
    torch.testing.assert_close(result.baseline_logit, of_baseline)
    torch.testing.assert_close(result.difference, logits - of_baseline)


def test_padding_gets_zero_and_does_not_change_the_other_scores(model):
    scores = attribute(model, num_steps=100).scores
    assert (scores[0, 5:] == 0).all()
    alone = attribution.integrated_gradients(
        model, IDS[:1, :5], MASK[:1, :5], target=1, pad_token_id=1, special_tokens_mask=SPECIAL[:1, :5], num_steps=100
    )
    torch.testing.assert_close(scores[:1, :5], alone.scores, atol=1e-4, rtol=1e-3)


def test_special_tokens_stay_in_the_baseline_of_a_bert():
    transformers.set_seed(0)
    model = mean_pooling_bert()
    assert (attribute(model).scores[SPECIAL == 1] == 0).all()
    assert (attribute(model, special_tokens_mask=None).scores[SPECIAL == 1] != 0).all()


def test_a_linear_model_gets_the_exact_answer_in_one_step():
    model = WordCounts()
    weights = model.embeddings.weight.detach()
    result = attribute(model, target=torch.tensor([0, 2]), num_steps=1)
    for row, target in enumerate((0, 2)):
        expected = (weights[IDS[row], target] - weights[1, target]) * (MASK[row] * (1 - SPECIAL[row]))
        torch.testing.assert_close(result.scores[row], expected)


def test_the_model_keeps_its_mode_and_gets_no_gradients(model):
    model.train()
    model.base_model.eval()
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)  # as of a frozen encoder
    first, second = attribute(model), attribute(model)
    torch.testing.assert_close(first.scores, second.scores)  # no dropout
    assert model.training
    assert not model.base_model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_further_inputs_reach_the_model():
    transformers.set_seed(0)
    model = bert()
    types = torch.tensor([[0, 0, 1, 1, 1, 0, 0]]).repeat(2, 1)
    result = attribute(model, token_type_ids=types)
    assert (result.error < 0.05).all()
    assert not torch.allclose(result.text_logit, attribute(model).text_logit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 3}, r"target 3 is not a class of the model, which has 0 to 2"),
        ({"target": torch.tensor([0, -1])}, r"target \[0, -1\] is not a class"),
        ({"target": torch.tensor([0, 1, 2])}, r"target has shape \[3\]; pass one class, or one for each of 2 texts"),
        ({"num_steps": 0}, "num_steps=0 must be at least 1"),
        ({"special_tokens_mask": SPECIAL[0]}, r"special_tokens_mask \[7\]; both must be \[batch, tokens\]"),
    ],
)
def test_errors_are_readable(options, message):
    with pytest.raises(ValueError, match=message):
        attribute(WordCounts(), **options)


def test_without_captum_one_sentence_says_what_to_install(monkeypatch):
    find = builtins.__import__

    def without_captum(name, *rest):
        if name.startswith("captum"):
            raise ModuleNotFoundError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_captum)
    with pytest.raises(ImportError, match="captum, which is not installed; run pip install captum"):
        attribute(WordCounts())


def test_the_picture_names_the_largest_scores_of_both_signs():
    picture = plots.token_attributions(["so", "happy", "$5"], [0.25, 1.5, -0.5], "joy")
    assert (
        picture.summary
        == 'All tokens together: +1.25 for joy. Most for it: "happy" +1.50. Most against it: "$5" -0.50.'
    )
    assert "so +0.25, happy +1.50, $5 -0.50" in picture.alt


def test_the_picture_of_a_long_text_keeps_the_largest_scores_in_order():
    scores = [0.1] * 50
    scores[40], scores[10] = -3.0, 2.0
    picture = plots.token_attributions([f"t{i}" for i in range(50)], scores)
    assert "the 30 of 50 tokens" in picture._suptitle.get_text()
    assert picture.alt.index("t10 +2.00") < picture.alt.index("t40 -3.00")
    one_sign = plots.token_attributions(["a", "b"], [0.0, 1.0])
    assert "against it" not in one_sign.summary


@pytest.mark.parametrize(
    ("tokens", "scores", "message"),
    [
        (["a"], [1.0, 2.0], r"shape \[2\] for 1 tokens"),
        ([], [], "for 0 tokens"),
        (["a"], [float("nan")], "NaN"),
    ],
)
def test_the_picture_refuses_scores_that_do_not_fit(tokens, scores, message):
    with pytest.raises(ValueError, match=message):
        plots.token_attributions(tokens, scores)
