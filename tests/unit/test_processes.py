"""Several processes that train one model."""

import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader

from nbhelpers import batching, classifier, training
from nbhelpers.classifier import processes

# Trains a tiny model without dropout, and saves the weights and the dev score of the first process.
SCRIPT = """
import os, signal, sys, torch, transformers
from nbhelpers import batching, classifier, training

transformers.set_seed(0)
sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, **off, vocab_size=50, num_labels=3))
draw = torch.Generator().manual_seed(0)
rows = [
    {"input_ids": [2, *torch.randint(5, 50, (1 + i % 7,), generator=draw).tolist(), 3], "labels": i % 3}
    for i in range(23)
]
rows[4]["labels"] = -100  # an item that does not count
train = batching.make_dataloader(rows, 0, max_tokens=40, batch_size=5, seed=0)
dev = batching.make_dataloader(rows[:11], 0, max_tokens=40, shuffle=False)
args = training.make_training_arguments(sys.argv[1], num_epochs=3, gradient_accumulation_steps=2, use_cpu=True)
seen = []


class Death(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if sys.argv[3:] == ["die"] and args.process_index == 1 and state.epoch > 1.5:
            os.kill(os.getpid(), signal.SIGKILL)


def score(prediction):
    seen.append(len(prediction.label_ids))
    right = (prediction.predictions.argmax(-1) == prediction.label_ids)[prediction.label_ids >= 0]
    return {"weighted_f1": float(right.mean())}


def objective(model, batch):
    logits = model(**{name: x for name, x in batch.items() if name != "labels"}).logits
    return torch.nn.functional.cross_entropy(logits, batch["labels"])


optimizer = training.make_optimizer(model, 1e-2)
trainer = training.Trainer(model, args, objective, train, dev, optimizer=optimizer, compute_metrics=score,
                           callbacks=[Death()])
trainer.train(resume_from_checkpoint=training.last_checkpoint(sys.argv[1]))
if args.process_index == 0:
    losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    torch.save({"weights": model.state_dict(), "losses": losses, "seen": seen}, sys.argv[2])
"""


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one_also_after_one_was_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)

    def command(name):
        return [sys.executable, str(tmp_path / "script.py"), str(tmp_path / name), str(tmp_path / f"{name}.pt")]

    subprocess.run(command("one"), check=True, capture_output=True)
    with pytest.raises(classifier.ClassifierError, match="one of 2 processes ended with code -9"):
        processes.run([*command("two"), "die"], 2)
    assert training.last_checkpoint(tmp_path / "two")
    assert processes.run(command("two"), 2) == 0
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    assert set(one["seen"]) == set(two["seen"]) == {11}  # each row of dev counts once
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-4)
    for name, weights in one["weights"].items():
        assert torch.allclose(weights, two["weights"][name], atol=1e-4), name


def test_the_shares_of_all_processes_are_the_batches_of_one():
    examples = [{"input_ids": [2] * (1 + i % 9), "labels": i % 2} for i in range(37)]
    dataloader = batching.make_dataloader(examples, 0, max_tokens=24, batch_size=4, seed=3)
    whole = dataloader.batch_sampler
    shares = [training.SharedBatches(whole, process, 3) for process in range(3)]
    for epoch in (0, 1):
        whole.set_epoch(epoch)
        batches = list(whole)
        parts = [list(part) for part in shares]
        assert {len(part) for part in parts} == {len(batches)} == {len(shares[0])}
        for i, batch in enumerate(batches):
            assert sorted(item for part in parts for item in part[i] if item >= 0) == sorted(batch)


@pytest.mark.parametrize("labels", [1, [1, 0], torch.tensor([1, 0])])
def test_a_process_without_an_item_gets_one_without_a_label(labels):
    rows = DataLoader([{"input_ids": [2, 3], "labels": labels}], batch_size=4)
    (batch,) = training.share(rows, 1, 2).batch_sampler
    example = training.share(rows, 1, 2).dataset[batch[0]]
    assert torch.as_tensor(example["labels"]).unique().tolist() == [-100]
    assert example["input_ids"] == [2, 3]


def test_a_random_order_of_each_process_is_refused():
    with pytest.raises(ValueError, match="each process would shuffle in its own order"):
        training.share(DataLoader([{"labels": 1}] * 4, shuffle=True), 0, 2)


def test_what_trains_in_one_process_is_refused_in_several(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(classifier.ClassifierError, match="adversarial trains in one process; leave it out, or pass"):
        classifier.train("reviews", tmp_path / "model", adversarial="fgm")
    assert not list(tmp_path.iterdir())


def test_only_the_first_process_says_why_it_refuses(capfd):
    assert processes.run([sys.executable, "-c", "import sys; print('no', file=sys.stderr); sys.exit(2)"], 2) == 2
    assert capfd.readouterr().err == "no\n"


def test_all_that_the_processes_print_can_go_into_a_file(tmp_path, capfd):
    code = "import os, sys; print('out', os.environ['RANK'], flush=True); print('err', file=sys.stderr)"
    with (tmp_path / "log.txt").open("w") as log:
        assert processes.run([sys.executable, "-c", code], 2, log=log) == 0
    assert sorted((tmp_path / "log.txt").read_text().splitlines()) == ["err", "err", "out 0", "out 1"]
    assert capfd.readouterr() == ("", "")
