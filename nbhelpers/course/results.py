"""Measured numbers: one JSON line per run in data/results/, and what lessons and README read from there."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nbhelpers.course.lessons import ROOT, CourseError

RESULTS = ROOT / "data" / "results"
TABLES = Path(__file__).parent / "tables"
SCORES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "accuracy": "accuracy"}
COSTS = {  # column -> what a run measured, its unit, digits after the point
    "trainable": ("trainable_parameters", 1, 0),
    "without head": ("trainable_without_head", 1, 0),
    "GiB": ("peak_gib", 1, 2),
    "MB on disk": ("saved_bytes", 1e6, 1),
}
SEEDED = ("fine-tuning", "average")  # methods whose result depends on the seed
INPUT = {"corpus", "test", "method"}
NEEDED = {  # method -> what its configuration must say
    "majority": set(),
    "tf-idf": {"C"},
    "fine-tuning": {"encoder", "pooling", "num_epochs", "lr", "head_lr", "schedule", "warmup_ratio", "label_smoothing"}
    | {"batch_size", "max_tokens"},
    "average": {"members"},
}
OPTIONAL = {  # and what it may say
    "tf-idf": {"class_weight"},
    "fine-tuning": {
        "context",
        "past",
        "future",
        "speaker_format",
        "max_length",
        "causal_turns",
        "single_turns_first",
        "tuning",
    }
    | {"attention_dropout", "r_drop", "shift", "sentiment", "class_weight_power", "add_to_seed"},
}
MEASURED, NOT_MEASURED = "measured here", "not measured yet"
PUBLISHED = ("row", "seeds", "weighted F1", "macro F1", "accuracy", "seconds", "source")


def read(table: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All rows measured for a table, oldest first; a line that a killed run left unfinished is not among them."""
    path = folder / f"{table}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [row for line in lines if (row := parse(line)) is not None]


def parse(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def append(table: str, row: dict[str, Any], folder: Path = RESULTS) -> None:
    """Add a row, with the machine, versions, commit and date it was measured with, as one line in one write."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.jsonl"
    broken = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * broken + json.dumps(row | circumstances() | row) + "\n")  # a run knows its own threads


def circumstances() -> dict[str, Any]:
    """Device, versions, commit and date."""
    from nbhelpers import environment

    facts = environment.describe()
    return {
        "device": f"{facts['cpu']} ({facts['cpu features']})" if facts["device"] == "cpu" else facts["device"],
        "threads": facts["threads"],
        "precision": facts["precision"],
        "versions": {**environment.versions(("torch", "transformers")), "system": platform.system()},
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def commit() -> str:
    """The commit of the checkout, "-dirty" if a file differs that is not a result; "unknown" where git cannot tell."""
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!data/results")
        return git("rev-parse", "--short", "HEAD") + "-dirty" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def load_table(table: str) -> dict[str, Any]:
    """A table's file: "defaults", "rows", and what others "published". Raises CourseError when there is none."""
    path = TABLES / f"{table}.yml"
    if not path.exists():
        known = ", ".join(sorted(x.stem for x in TABLES.glob("*.yml")))
        raise CourseError(f"there is no table {table!r}; there are {known}")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def table_rows(table: str) -> dict[str, dict[str, Any]]:
    """Row name -> configuration, from the table's file: its defaults, changed by what the row says."""
    content = load_table(table)
    return {name: {**content["defaults"], **(changes or {})} for name, changes in content["rows"].items()}


def check_rows(table: str) -> None:
    """Raise CourseError for a configuration that says something unknown or lacks something: it would be misnamed."""
    for name, config in table_rows(table).items():
        for part in (config, *config.get("members", ())):
            method = part.get("method")
            if method not in NEEDED:
                raise CourseError(f"{table}, {name}: method {method!r} is not one of {', '.join(NEEDED)}")
            known = INPUT | NEEDED[method] | OPTIONAL.get(method, set())
            faults = [f"{x} is unknown" for x in sorted(set(part) - known)]
            faults += [f"{x} is missing" for x in sorted(NEEDED[method] - set(part))]
            if "class_weight_power" in part:  # their losses take no class weights
                faults += [f"class_weight_power does not go with {x}" for x in ("sentiment", "shift") if x in part]
            if faults:
                raise CourseError(f"{table}, {name}: {', '.join(faults)}; mend nbhelpers/course/tables/{table}.yml")


def missing_runs(table: str, seeds: int, only: str | None) -> Iterator[tuple[str, dict[str, Any], int]]:
    """(row, configuration, seed) of the runs that are not there yet.

    A row's runs belong on one kind of device: what another one left incomplete is begun anew.
    """
    check_rows(table)
    rows = table_rows(table)
    if only is not None and only not in rows:
        raise CourseError(f"table {table} has no row {only!r}; there are {', '.join(rows)}")
    facts = circumstances()
    for name, config in rows.items():
        wanted = set(range(seeds if config["method"] in SEEDED else 1))
        if only in (None, name):
            found = measured(table, name)
            there = set(next(reversed(found.values()), ()))
            if not wanted <= there:
                there = set(found.get((facts["device"], facts["precision"]), ()))
            for seed in sorted(wanted - there):
                yield name, config, seed


def measure(table: str, seeds: int, only: str | None, say: Callable[[str], None], jobs: int = 1) -> None:
    """Run what is missing, `jobs` runs at a time on equal shares of the threads, and append each row as it is done.

    A training that several rows need, as an average does, is done once. A run that fails does not keep others from
    being measured; raises CourseError, in the end, for the first that did.
    """
    import torch

    from nbhelpers import corpora, encoders
    from nbhelpers.course import experiments

    left, before, failed = list(missing_runs(table, seeds, only)), len(read(table)), dict[str, BaseException]()
    threads = max(1, torch.get_num_threads() // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        parts = {key(part): part for _, config, seed in left for part in trainings(config, seed)}
        waiting = {name: pool.submit(alone, experiments.run, *part, threads) for name, part in parts.items()}
        try:
            for _ in as_completed(waiting.values()):
                ready = [run for run in left if all(waiting[key(part)].done() for part in trainings(*run[1:]))]
                left = [run for run in left if run not in ready]
                for name, config, seed in ready:
                    futures = [waiting[key(part)] for part in trainings(config, seed)]
                    if errors := [error for future in futures if (error := future.exception())]:
                        failed[name] = errors[0]
                        continue
                    row = experiments.scored(config, [future.result() for future in futures])
                    append(table, {"row": name, "config": config, "seed": seed, "jobs": jobs, **row})
                    score, seconds = 100 * row["test"]["weighted_f1"], row["seconds"]
                    say(f"{table}, {name}, seed {seed}: test weighted F1 {score:.2f}, {seconds:.0f} s")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in waiting.values()):  # only where something was raised
                for child in multiprocessing.active_children():
                    child.kill()
                time.sleep(0.05)
            if len(read(table)) > before:
                write_tests(table)
    for name, error in failed.items():
        if isinstance(error, BrokenProcessPool):
            raise CourseError(f"{table}, {name}: the process of a run was killed; out of memory?")
        if isinstance(error, corpora.CorpusError | encoders.EncoderError | ValueError | FloatingPointError):
            raise CourseError(f"{table}, {name}: {error}")
        raise error


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function gives in a process of its own: its peak memory is this run's, its death harms no other."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=end_with_parent) as pool:
        return pool.submit(function, *arguments).result()


def end_with_parent() -> None:
    """Let no process of a run outlive the program that started it."""

    def watch(parent: Any) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, args=(multiprocessing.parent_process(),), daemon=True).start()


def key(training: tuple[dict[str, Any], int]) -> str:
    return json.dumps(training, sort_keys=True)


def trainings(config: dict[str, Any], seed: int) -> list[tuple[dict[str, Any], int]]:
    """(configuration, seed) of what a run trains: itself, or the members of an average.

    A member may ask for another seed by "add_to_seed".
    """
    if config["method"] != "average":
        return [(config, seed)]
    shared = {name: config[name] for name in ("corpus", "test") if name in config}
    members = [shared | member for member in config["members"]]
    return [(member, seed + member.pop("add_to_seed", 0)) for member in members]


def measured(table: str, row: str) -> dict[tuple[str, str], dict[int, dict[str, Any]]]:
    """(device, precision) -> seed -> the run of a row's present configuration; the device measured last comes last."""
    config, found = table_rows(table)[row], dict[tuple[str, str], dict[int, dict[str, Any]]]()
    for run in read(table):
        if run["row"] == row and run["config"] == config:
            where = run["device"], run["precision"]
            found[where] = found.pop(where, {}) | {run["seed"]: run}
    return found


def runs(table: str, row: str) -> list[dict[str, Any]]:
    """What was measured for a row with its present configuration on the kind of device measured last, seed by seed."""
    last = next(reversed(measured(table, row).values()), {})
    return [last[seed] for seed in sorted(last)]


def write_tests(table: str) -> None:
    """Keep in data/results/TABLE.tests.json what follows from the test predictions of each row's seeds.

    The majority vote of the seeds (a tie goes to the label of the lowest seed), and the comparison with the baseline,
    or the row that the table's "against" names: seed by seed on the same test rows; whole dialogues are drawn where the
    corpus has them. Lessons read the file, as the labels of MELD may not be at hand there.
    """
    from nbhelpers import metrics
    from nbhelpers.course import experiments

    content, found, read_once = load_table(table), dict[str, dict[str, Any]](), functools.cache(experiments.read)
    for name, config in table_rows(table).items():
        made = predictions(table, name)
        if config["method"] not in SEEDED or not made:
            continue
        data, names = read_once(config.get("test", config["corpus"]))
        labels, groups = data["test"].labels, data["test"].dialogue_ids or None
        vote = [statistics.mode(votes) for votes in zip(*made.values(), strict=True)]
        found[name] = {"vote": metrics.scores(labels, vote, len(names))}
        against = content.get("against", {}).get(name, content.get("baseline"))
        before = predictions(table, against) if against not in (None, name) else {}
        seeds = sorted(set(before) & set(made))
        if seeds:
            a, b = ([x[seed] for seed in seeds] for x in (before, made))
            outcome = metrics.compare_runs(labels, a, b, groups=groups, num_classes=len(names))
            outcome = {key: round(value, 5) for key, value in outcome.items()}
            found[name] |= {"against": against, "seeds": seeds, **outcome}
    if found:
        (RESULTS / f"{table}.tests.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def predictions(table: str, row: str) -> dict[int, list[int]]:
    """Seed -> the labels that the run of this seed gave to the test rows."""
    return {run["seed"]: [int(digit) for digit in run["predictions"]] for run in runs(table, row)}


def tests(table: str) -> dict[str, Any]:
    """What `write_tests` left: row -> "vote", and how it compares with the baseline; {} when nothing was measured."""
    path = RESULTS / f"{table}.tests.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def votes(table: str, rows: Sequence[str]) -> pd.DataFrame:
    """For each row the mean test scores of its seeds, and those of their majority vote, in percent."""
    kept, shown = tests(table), []
    for name in rows:
        scores = 100 * pd.DataFrame([run["test"] for run in runs(table, name)])
        row = {"row": name, "seeds": len(scores)}
        for key, column in list(SCORES.items())[:2] if len(scores) and name in kept else ():
            row |= {column: mean_sd(scores[key]), f"{column} of their vote": f"{100 * kept[name]['vote'][key]:.1f}"}
        shown.append(row)
    return pd.DataFrame(shown).fillna("")


def summary(table: str, rows: Sequence[str] | None = None, costs: bool = False) -> pd.DataFrame:
    """What was measured with the table's present configurations: mean ± sd over seeds, in percent.

    Args:
        rows: only these, in this order, some of them perhaps published by others; default: all.
        costs: also the trainable parameters (all, and without the head), peak memory and megabytes on disk.

    Raises CourseError for a row that the table does not have.
    """
    known, compared, shown = table_rows(table), tests(table), []
    published = {line[0]: dict(zip(PUBLISHED, line, strict=True)) for line in load_table(table).get("published", [])}
    for name in [*known, *published] if rows is None else rows:
        if name in published:
            shown.append(published[name])
            continue
        if name not in known:
            raise CourseError(f"table {table} has no row {name!r}; there are {', '.join([*known, *published])}")
        made = pd.DataFrame(runs(table, name))
        row = {"row": name, "seeds": len(made)}
        if len(made):
            scores = 100 * pd.DataFrame(list(made["test"]))
            row |= {column: mean_sd(scores[key]) for key, column in SCORES.items()}
            if made["threads"].nunique() == 1:  # else their seconds do not compare
                row |= {"seconds": f"{made['seconds'].mean():.0f}", "threads": str(made["threads"].max())}
        for column, (key, unit, digits) in COSTS.items() if costs else ():
            row[column] = f"{made[key].mean() / unit:,.{digits}f}" if key in made else ""
        if len(made) and "against" in compared.get(name, {}):
            row |= {"difference": difference(compared[name]), "against": compared[name]["against"]}
        shown.append({**row, "source": MEASURED if len(made) else NOT_MEASURED})
    frame = pd.DataFrame(shown).fillna("")
    last = [column for column in ("difference", "against", "source") if column in frame]
    return frame[[*frame.columns.drop(last), *last]]


def mean_sd(values: pd.Series) -> str:
    """For instance "61.5 ± 0.4"; a single value has no spread."""
    return f"{values.mean():.1f} ± {values.std():.1f}" if len(values) > 1 else f"{values.mean():.1f}"


def difference(test: dict[str, Any]) -> str:
    """For instance "+2.1 (1.0 to 3.2), p 0.001": 95 % interval, larger p of the two tests."""
    interval = f"{100 * test['difference']:+.1f} ({100 * test['low']:.1f} to {100 * test['high']:.1f})"
    return f"{interval}, p {max(test['p_bootstrap'], test['p_permutation']):.3f}"
