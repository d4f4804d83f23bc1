"""The search: trials that survive a kill, workers that share them, equal budgets, and how lucky the best one is."""

import dataclasses
import inspect
import math
import subprocess
import sys
import time

import numpy as np
import optuna
import pytest
import torch
import transformers
from scipy import stats

from nbhelpers import training
from nbhelpers.search import SearchError, confirm, holm, search, winners_curse

SPACE = {"lr": (1e-5, 1e-2, "log"), "layers": (1, 6), "dropout": (0.0, 0.5), "pooling": ["cls", "mean"]}
GRID = {"lr": [1, 2, 3], "layers": [1, 2]}


def peak(config, report):
    """Best at lr 1e-3, after four epochs."""
    for epoch in range(1, 5):
        score = 1 - abs(math.log10(config["lr"]) + 3) / 4 - 1 / (epoch + 2)
        report(epoch, score)
    return score


def configs(trials):
    return trials["config"].tolist()


# ---- the space ----


def test_a_space_gives_values_of_the_right_kind_in_range():
    for config in configs(search(lambda config, report: 0.0, SPACE, 40, sampler="random")):
        assert 1e-5 <= config["lr"] <= 1e-2
        assert isinstance(config["layers"], int)
        assert 1 <= config["layers"] <= 6
        assert 0 <= config["dropout"] <= 0.5
        assert config["pooling"] in ("cls", "mean")
        assert config["seed"] == 0


def test_a_logarithmic_range_gives_each_power_of_ten_the_same_share():
    trials = search(lambda config, report: 0.0, {"lr": (1e-5, 1e-1, "log")}, 400, sampler="random")
    shares = np.histogram([math.log10(config["lr"]) for config in configs(trials)], bins=4, range=(-5, -1))[0] / 400
    assert shares == pytest.approx(np.full(4, 0.25), abs=0.07)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({}, "the space is empty"),
        ({"lr": []}, r"space\['lr'\] is \[\]; a list needs at least one choice"),
        ({"lr": [(1, 2)]}, "numbers, strings"),
        ({"lr": (1e-3, 1e-5)}, "has no valid value; it needs low <= high"),
        ({"lr": (0.0, 1e-3, "log")}, "needs 0 < low <= high"),
        ({"lr": (0.0, math.nan)}, "has no valid value"),
        ({"lr": (0.0, 1.0, "linear")}, "write .low, high."),
        ({"lr": 1e-5}, "write .low, high."),
        ({"seed": (1, 40)}, "the best seed is only a lucky one; use `confirm`"),
    ],
)
def test_a_space_without_a_valid_point_is_refused_in_a_sentence(space, sentence):
    with pytest.raises(SearchError, match=sentence):
        search(peak, space, 3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sampler": "bayes"}, "sampler='bayes' is unknown; use 'tpe', 'random' or 'grid'"),
        ({"pruner": "hyperband"}, "pruner='hyperband' is unknown"),
        ({"num_trials": 0}, "num_trials=0"),
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"sampler": "grid"}, r"space\['lr'\] is .*, but a grid needs a list"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(SearchError, match=sentence):
        search(peak, SPACE, **{"num_trials": 3, **settings})


# ---- samplers ----


def test_a_grid_tries_every_point_once_and_then_ends():
    trials = search(lambda config, report: config["lr"] * config["layers"], GRID, 100, sampler="grid")
    assert sorted((config["lr"], config["layers"]) for config in configs(trials)) == [
        (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2),
    ]  # fmt: skip
    assert trials["score"].max() == 6


def test_a_grid_that_ends_early_is_spread_over_the_whole_grid():
    trials = search(lambda config, report: 0.0, {"lr": list(range(10)), "layers": list(range(10))}, 30, sampler="grid")
    assert len({config["lr"] for config in configs(trials)}) > 5  # in order, it would have been 3


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_the_seed_decides_the_trials(sampler):
    space = GRID if sampler == "grid" else SPACE
    first, again, other = (search(lambda c, report: c["lr"], space, 6, sampler=sampler, seed=s) for s in (0, 0, 1))
    assert configs(first) == configs(again)
    assert configs(first) != configs(other)


def test_tpe_starts_at_random_and_then_learns():
    tpe, random = (search(peak, SPACE, 40, sampler=sampler) for sampler in ("tpe", "random"))
    assert configs(tpe)[:10] == configs(random)[:10]
    assert tpe["score"][10:].mean() > random["score"][10:].mean() + 0.05


# ---- budget and pruning ----


@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", None), ("random", None), ("grid", None), ("random", "median")])
def test_the_budget_counts_epochs_whatever_the_sampler(sampler, pruner):
    space = {"lr": [10**-power for power in np.linspace(2, 5, 30).tolist()]}
    trials = search(peak, space, 1000, sampler=sampler, pruner=pruner, max_epochs=42)
    assert 42 <= trials["epochs"].sum() < 42 + 4  # the last trial starts before the budget is used up
    assert (len(trials) > 11) == (pruner is not None)  # 11 trials of 4 epochs; pruning pays for more


def test_pruned_trials_show_what_they_cost_and_have_no_score():
    trials = search(peak, {"lr": (1e-5, 1e-2, "log")}, 20, sampler="random", pruner="median")
    pruned, complete = trials[trials["state"] == "pruned"], trials[trials["state"] == "complete"]
    assert 3 < len(pruned) < 15
    assert pruned["score"].isna().all()
    assert (pruned["epochs"] == 2).all()  # min_epochs
    assert (complete["epochs"] == 4).all()
    assert (trials["reports"].map(len) == trials["epochs"]).all()
    assert (complete["reports"].map(lambda reports: reports[-1]) == complete["score"]).all()


def test_halving_lets_about_a_quarter_go_on():
    trials = search(peak, {"lr": (1e-5, 1e-2, "log")}, 60, sampler="random", pruner="halving", min_epochs=1)
    assert 8 <= (trials["epochs"] > 1).sum() <= 25  # more than 15, because the first ones have few competitors
    assert (trials["state"] == "pruned").sum() >= 35


@pytest.mark.parametrize(("min_epochs", "survives"), [(1, False), (3, True)])
def test_without_a_warm_up_the_median_pruner_kills_a_slow_starter_that_would_win(min_epochs, survives):
    curves = {"fast": [0.5, 0.55, 0.6, 0.6], "slow": [0.1, 0.4, 0.7, 0.9]}
    started = []

    def train_and_score(config, report):
        started.append(config)
        for epoch, score in enumerate(curves["slow" if len(started) == 6 else "fast"], 1):
            report(epoch, score)
        return score

    trials = search(train_and_score, {"x": (0.0, 1.0)}, 6, pruner="median", min_epochs=min_epochs)
    assert (trials["state"].iloc[5] == "complete") == survives
    assert trials["score"].max() == (0.9 if survives else 0.6)


@pytest.mark.parametrize("settings", [{"pruner": "median"}, {"max_epochs": 9}])
def test_a_pruner_and_a_budget_need_reports(settings):
    with pytest.raises(SearchError, match="call report"):
        search(lambda config, report: 1.0, SPACE, 5, **settings)


def test_epochs_must_be_reported_one_by_one():
    """Optuna ignores a second report for the same step without a word."""

    def train_and_score(config, report):
        report(1, 0.1)
        report(1, 0.9)

    with pytest.raises(SearchError, match=r"all 2 trials failed, the last one with ValueError: report\(1, ...\) came"):
        search(train_and_score, SPACE, 2)


# ---- failures ----


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(caplog):
    def train_and_score(config, report):
        report(1, 0.5)
        if config["layers"] == 2:
            raise RuntimeError("CUDA out of memory")
        return math.nan if config["lr"] == 3 else config["lr"]

    trials = search(train_and_score, GRID, 6, sampler="grid")
    failed = trials[trials["state"] == "failed"]
    assert sorted(failed["error"]) == ["RuntimeError: CUDA out of memory"] * 3 + ["ValueError: the score is nan"]
    assert failed["score"].isna().all()
    assert trials["score"].max() == 2
    assert trials["epochs"].sum() == 6  # the epochs of failed trials were paid for as well
    assert "CUDA out of memory" in caplog.text  # with the traceback


def test_if_all_trials_fail_one_sentence_says_so():
    with pytest.raises(SearchError, match=r"^all 3 trials failed, the last one with KeyError: 'learning_rate'$"):
        search(lambda config, report: config["learning_rate"], SPACE, 3)


# ---- storage, kills and workers ----


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_an_interrupted_search_ends_like_one_that_was_not(tmp_path, sampler):
    # TPE has learned from the trials before when the twelfth is repeated.
    space, num_trials, killed = (GRID, 6, 3) if sampler == "grid" else (SPACE, 13, 12)
    calls = []

    def interrupted(config, report):
        calls.append(config)
        report(1, 0.0)
        if len(calls) == killed:
            raise KeyboardInterrupt
        return peak(config, lambda epoch, score: None)

    storage = tmp_path / "new folder" / "search.db"
    with pytest.raises(KeyboardInterrupt):
        search(interrupted, space, num_trials, sampler=sampler, storage=storage)
    resumed = search(interrupted, space, num_trials, sampler=sampler, storage=storage)
    assert len(calls) == num_trials + 1
    assert calls[killed - 1] == calls[killed]  # it ran twice
    assert configs(resumed) == configs(search(peak, space, num_trials, sampler=sampler))
    assert resumed["epochs"].sum() == num_trials
    search(interrupted, space, num_trials, sampler=sampler, storage=storage)
    assert len(calls) == num_trials + 1  # nothing is missing, so nothing runs
    assert sorted(path.name for path in storage.parent.iterdir()) == ["search.db", "search.db.lock"]


def test_more_trials_can_be_added_later(tmp_path):
    storage = tmp_path / "search.db"
    assert len(search(peak, SPACE, 2, storage=storage)) == 2
    assert configs(search(peak, SPACE, 3, storage=storage)) == configs(search(peak, SPACE, 3))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"space": {"lr": [1, 5]}}, r"belongs to a search with space=\{'lr': \(1, 5\)\}, not \{'lr': \[1, 5\]\}"),
        ({"sampler": "random"}, "with sampler=tpe, not random; choose another storage"),
        ({"seed": 1}, "with seed=0, not 1"),
    ],
)
def test_a_storage_of_another_search_is_refused(tmp_path, change, sentence):
    settings = {"space": {"lr": (1, 5)}, "num_trials": 1, "storage": tmp_path / "search.db"}
    search(lambda config, report: 1.0, **settings)
    with pytest.raises(SearchError, match=sentence):
        search(lambda config, report: 1.0, **{**settings, **change})


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("These are notes. " * 100)
    with pytest.raises(SearchError, match=r"file is not a database.*; choose another storage"):
        search(peak, SPACE, 1, storage=tmp_path / "notes.txt")


WORKER = """
import os, sys, time
from pathlib import Path
from nbhelpers.search import search

folder, mode = Path(sys.argv[1]), sys.argv[2]

def train_and_score(config, report):
    with open(folder / "log", "a") as log:
        log.write(f"{os.getpid()} {config['lr']}\\n")
    report(1, 0.5)
    while mode == "hang" or len({line.split()[0] for line in open(folder / "log")}) < 2:  # until both have a trial
        time.sleep(0.01)
    return config["lr"]

trials = search(train_and_score, {"lr": (0.0, 1.0)}, 8, sampler="random", storage=folder / "search.db")
print([config["lr"] for config in trials["config"]])
"""


def start_worker(folder, mode="share"):
    arguments = [sys.executable, "-c", WORKER, str(folder), mode]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_log(folder):
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return [(int(pid), float(lr)) for pid, lr in map(str.split, lines)]


@pytest.mark.slow
def test_two_processes_share_the_trials(tmp_path):
    workers = [start_worker(tmp_path) for _ in range(2)]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    started = read_log(tmp_path)
    expected = [c["lr"] for c in configs(search(lambda c, report: 0.0, {"lr": (0.0, 1.0)}, 8, sampler="random"))]
    assert sorted(lr for _, lr in started) == sorted(expected)  # each once; the same seed gave no trial to both
    assert {pid for pid, _ in started} == {worker.pid for worker in workers}
    assert [output.strip() for output, _ in outputs] == [str(expected)] * 2  # both return all trials


@pytest.mark.slow
def test_the_trial_of_a_killed_process_is_repeated_by_another(tmp_path):
    worker = start_worker(tmp_path, "hang")
    deadline = time.monotonic() + 120
    while not read_log(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    [(pid, lr_of_killed)] = read_log(tmp_path)
    mine = []

    def train_and_score(config, report):
        mine.append(config["lr"])
        if len(mine) == 3:
            worker.kill()  # SIGKILL, while its trial runs
            worker.communicate()
        return config["lr"]

    trials = search(train_and_score, {"lr": (0.0, 1.0)}, 8, sampler="random", storage=tmp_path / "search.db")
    assert pid == worker.pid
    assert lr_of_killed == configs(trials)[0]["lr"]
    assert mine.count(lr_of_killed) == 1
    assert mine.index(lr_of_killed) >= 3  # as long as the other process lived, its trial was left alone
    assert (trials["state"] == "complete").all()
    assert len(mine) == len(trials) == 8
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 'search.db'}")
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1  # the killed one is on record


# ---- luck ----


def test_the_winners_curse_is_the_expected_maximum_of_normal_draws():
    published = {1: 0, 2: 1 / math.sqrt(math.pi), 3: 1.5 / math.sqrt(math.pi), 5: 1.16296, 10: 1.53875, 100: 2.50759}
    assert {n: round(winners_curse(n), 5) for n in published} == {n: round(value, 5) for n, value in published.items()}
    assert [round(winners_curse(n), 2) for n in (5, 10, 20, 50)] == [1.16, 1.54, 1.87, 2.25]
    assert winners_curse(20, sd=0.02) == pytest.approx(0.02 * winners_curse(20))
    draws = np.random.default_rng(0).standard_normal((20_000, 20)).max(1)
    assert winners_curse(20) == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(20_000))
    assert winners_curse(10**6) == pytest.approx(4.8636, abs=1e-3)


def test_the_best_of_twenty_equal_models_on_300_rows():
    """Exact, with binomial scores: 0.887 for a true accuracy of 0.85."""
    rows = np.arange(301)
    at_most = stats.binom.cdf(rows, 300, 0.85) ** 20
    expected = (np.diff(at_most, prepend=0) * rows).sum() / 300
    assert expected == pytest.approx(0.887, abs=0.0005)
    assert 0.85 + winners_curse(20, math.sqrt(0.85 * 0.15 / 300)) == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("arguments", [(0,), (5, -1.0), (5, math.nan)])
def test_the_winners_curse_refuses_what_is_no_search(arguments):
    with pytest.raises(SearchError, match="at least one trial"):
        winners_curse(*arguments)


def noise(config, report):
    """A score that depends on nothing but chance."""
    return 0.8 + 0.02 * np.random.default_rng([config["seed"], round(config["lr"] * 1e9)]).standard_normal()


def test_confirmation_takes_back_the_luck_of_the_winner():
    trials = search(noise, {"lr": (1e-5, 1e-3, "log")}, 20, sampler="random")
    assert trials["score"].max() > 0.8 + 0.02  # although all are equal
    best = trials.nlargest(1, "score")["config"].iloc[0]
    table = confirm(noise, {"default": {"lr": 2e-5}, "best": best}, seeds=range(1, 11))
    assert table.loc["best", "mean"] < trials["score"].max() - 0.015
    assert table.loc["best", "low"] < 0 < table.loc["best", "high"]
    assert table.loc["best", "p_holm"] > 0.05


def test_confirmation_is_a_paired_t_test_with_holms_correction(tmp_path):
    table_of_scores = {"a": [0.70, 0.74, 0.78], "b": [0.73, 0.76, 0.82], "c": [0.71, 0.73, 0.79]}
    calls = []

    def train_and_score(config, report):
        calls.append(config)
        return table_of_scores[config["name"]][config["seed"] - 1]

    arguments = ({name: {"name": name, "seed": 99} for name in "abc"}, [1, 2, 3])
    table = confirm(train_and_score, *arguments, storage=tmp_path / "confirm.db")
    assert len(calls) == 9
    assert table["scores"].to_dict() == table_of_scores
    assert table["mean"].round(4).tolist() == [0.74, 0.77, 0.7433]
    assert table["sd"].iloc[0] == pytest.approx(0.04)
    # b - a: 0.03, 0.02, 0.04, mean 0.03, standard error 0.01 / sqrt(3), t = 5.196 with 2 degrees of freedom
    b, c = table.loc["b"], table.loc["c"]
    assert b["p_value"] == pytest.approx(0.03509, abs=1e-5)
    assert (b["low"], b["high"]) == pytest.approx(
        (0.03 - 4.30265 * 0.01 / 3**0.5, 0.03 + 4.30265 * 0.01 / 3**0.5), 1e-5
    )
    assert c["p_value"] == pytest.approx(stats.ttest_rel(table_of_scores["c"], table_of_scores["a"]).pvalue)
    assert (b["p_holm"], c["p_holm"]) == pytest.approx((2 * b["p_value"], c["p_value"]))
    assert table.loc["a", ["difference", "p_value", "p_holm"]].isna().all()
    confirm(train_and_score, *arguments, storage=tmp_path / "confirm.db")
    assert len(calls) == 9  # it goes on where it stopped


def test_a_finalist_that_scores_exactly_like_the_default_has_p_value_1():
    configs = {"default": {"lr": 1}, "copy": {"lr": 1}, "better": {"lr": 2}}
    table = confirm(lambda config, report: config["seed"] * config["lr"] / 10, configs, [1, 2, 3])
    assert table.loc["copy", ["difference", "low", "high", "p_value"]].tolist() == [0, 0, 0, 1]


def test_confirmation_refuses_what_proves_nothing():
    pair = {"default": {"lr": 1.0}, "best": {"lr": 2.0}}
    with pytest.raises(SearchError, match="1 configurations; pass the default and at least one finalist"):
        confirm(noise, {"default": {}}, [1, 2])
    for seeds in ([1], [1, 1]):
        with pytest.raises(SearchError, match="pass at least two, each once"):
            confirm(noise, pair, seeds)
    with pytest.raises(SearchError, match="no score depends on the seed"):
        confirm(lambda config, report: config["lr"], pair, [1, 2, 3])
    with pytest.raises(SearchError, match="best with seed 2 failed with ZeroDivisionError"):
        confirm(lambda c, report: 1 / (c["lr"] + c["seed"] - 4) + c["seed"], pair, [1, 2])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm([0.6, 0.7]).tolist() == [1, 1]


# ---- what transformers does ----


def test_trainers_own_search_minimizes_the_sum_of_the_metrics_and_searches_over_seeds():
    signature = inspect.signature(transformers.Trainer.hyperparameter_search)
    assert signature.parameters["direction"].default == "minimize"
    metrics = {"eval_loss": 0.3, "eval_accuracy": 0.9, "eval_f1": 0.8, "eval_runtime": 5.0, "epoch": 3.0}
    assert transformers.trainer_utils.default_compute_objective(metrics) == pytest.approx(0.9 + 0.8)
    values = {"learning_rate": 1e-5, "num_train_epochs": 1, "seed": 7, "per_device_train_batch_size": 4}
    trial = optuna.trial.FixedTrial(values)
    assert transformers.trainer_utils.default_hp_space_optuna(trial)["seed"] == 7
    assert trial.distributions["seed"] == optuna.distributions.IntDistribution(1, 40)


@pytest.mark.slow
def test_so_trainers_own_search_returns_the_worst_trial(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model_config = transformers.BertConfig(**sizes, vocab_size=20)
    rows = [{"input_ids": [1, 2], "labels": 0}, {"input_ids": [3, 4], "labels": 1}]
    accuracies = iter([0.9, 0.2, 0.5])
    trainer = transformers.Trainer(
        model_init=lambda: transformers.BertForSequenceClassification(model_config),
        args=transformers.TrainingArguments(
            str(tmp_path), max_steps=1, use_cpu=True, save_strategy="no", disable_tqdm=True, report_to="none"
        ),
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=lambda prediction: {"accuracy": (accuracy := next(accuracies)), "f1": accuracy},
    )
    best = trainer.hyperparameter_search(lambda trial: {"learning_rate": 1e-5}, n_trials=3, backend="optuna")
    assert best.objective == pytest.approx(0.2 + 0.2)


def test_early_stopping_is_a_callback_and_no_training_argument():
    fields = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    assert not [name for name in fields if "early_stopping" in name]
    with pytest.raises(TypeError, match="early_stopping_patience"):
        transformers.TrainingArguments("folder", early_stopping_patience=3)
    assert transformers.EarlyStoppingCallback(early_stopping_patience=3).early_stopping_patience == 3


def test_a_pruned_trial_ends_the_training_loop():
    """With `fit` as the docstring of the unit shows: the exception passes through its log."""
    rows = [{"inputs": torch.tensor([1.0]), "labels": torch.tensor(0)}]
    dataloader = torch.utils.data.DataLoader(rows)
    epochs_of_trials = []

    def train_and_score(config, report):
        epochs_of_trials.append(0)
        model = torch.nn.Linear(1, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)

        def evaluate(model):
            epochs_of_trials[-1] += 1
            return epochs_of_trials[-1] + config["quality"]

        history = training.fit(
            model,
            dataloader,
            lambda model, batch: model(batch["inputs"]).logsumexp(-1).mean(),
            optimizer,
            scheduler,
            num_epochs=4,
            evaluate=evaluate,
            log=lambda row: report(row["epoch"], row["dev_score"]) if "dev_score" in row else None,
        )
        return history[-1]["dev_score"]

    qualities = {"quality": (0.0, 1.0)}
    trials = search(train_and_score, qualities, 10, sampler="random", pruner="median", min_epochs=1)
    assert trials["epochs"].tolist() == epochs_of_trials
    assert set(epochs_of_trials) == {1, 4}
    assert (trials["state"] == "pruned").tolist() == [epochs == 1 for epochs in epochs_of_trials]
