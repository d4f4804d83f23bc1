"""A tiny model, a little data, and short runs of the loop and the Trainer, for the tests of nbhelpers.training."""

import torch
import transformers
from torch import nn
from transformers import BertConfig

from nbhelpers import batching, encoders, objectives, training

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100)


def tiny_model(seed=0, pooling="mean", config_class=BertConfig, **options):
    """A classifier of three classes with random weights, with the course's mean pooling or with its own head."""
    torch.manual_seed(seed)
    config = config_class(**{**SIZES, "num_labels": 3, "max_position_embeddings": 66, **options})
    if pooling == "mean":
        return encoders.MeanPoolingClassifier(config)
    return transformers.AutoModelForSequenceClassification.from_config(config)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def random_examples(count=50, seed=0):
    """Random token ids; the label follows from the first one, so it can be learned."""
    generator = torch.Generator().manual_seed(seed)
    examples = []
    for _ in range(count):
        length = int(torch.randint(3, 20, (), generator=generator))
        input_ids = torch.randint(4, 100, (length,), generator=generator).tolist()
        examples.append({"input_ids": input_ids, "labels": input_ids[0] % 3})
    return examples


def small_dataloader(examples=None, **options):
    return batching.make_dataloader(examples or random_examples(), pad_token_id=1, **{"batch_size": 8, **options})


def train(model, *, num_epochs=2, objective=objectives.cross_entropy, dataloader=None, **options):
    """Train with the loop; returns its history."""
    dataloader = dataloader or small_dataloader()
    optimizer = training.make_optimizer(model, 1e-3)
    num_steps = num_epochs * training.updates_per_epoch(dataloader, options.get("gradient_accumulation_steps", 1))
    scheduler = training.make_scheduler(optimizer, num_steps)
    torch.manual_seed(1)
    return training.fit(model, dataloader, objective, optimizer, scheduler, num_epochs=num_epochs, **options)


def train_by_trainer(
    model,
    folder,
    *,
    num_epochs=2,
    objective=objectives.cross_entropy,
    dataloader=None,
    dev_dataloader=None,
    resume=False,
    callbacks=None,
    patience=None,
    threshold=0.0,
    compute_metrics=None,
    **options,
):
    """Train with the Trainer on the same data, with the same optimizer and seeds; returns the Trainer."""
    defaults = {"metric_for_best_model": None, "logging_steps": 1}
    args = training.make_training_arguments(folder, num_epochs=num_epochs, seed=1, **{**defaults, **options})
    trainer = training.Trainer(
        model,
        args,
        objective,
        dataloader or small_dataloader(),
        dev_dataloader,
        optimizer=training.make_optimizer(model, 1e-3),
        callbacks=callbacks,
        patience=patience,
        threshold=threshold,
        compute_metrics=compute_metrics,
    )
    torch.manual_seed(1)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def same_weights(first, second):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(parameter, other) for parameter, other in pairs)
