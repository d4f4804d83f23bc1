"""Results tables: load the configurations of the rows from tables/*.yml, and check them before anything is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError
from nbhelpers.course.new_tokens import new_tokens_fault

SEEDED = ("fine-tuning", "average", "decision", "task")  # the methods whose result depends on the seed
SCORES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "accuracy": "accuracy"}
INPUT = {"corpus", "test", "method"}  # what every configuration may say
REQUIRED = {  # method -> what its configuration must say
    "majority": set(),
    "tf-idf": {"C"},
    "fine-tuning": {
        "batch_size",
        "encoder",
        "head_lr",
        "label_smoothing",
        "lr",
        "max_tokens",
        "num_epochs",
        "pooling",
        "schedule",
        "warmup_ratio",
    },
    "average": {"members"},
    "task": {"task"},
    "decision": {"by", "training"},  # one training, whose logits are moved before the largest is taken
}
OPTIONAL = {  # method -> what its configuration may say beside that
    "average": {"seeds"},  # at most so many runs, where more would share members
    "tf-idf": {"class_weight", "rows_per_class"},
    "fine-tuning": {
        "add_to_seed",
        "adversarial",
        "attention_dropout",
        "augmentation",
        "balanced_sampler",
        "causal_turns",
        "class_weight_power",
        "context",
        "distillation",
        "effective_number_beta",
        "focal_gamma",
        "future",
        "layer_decay",
        "layers",
        "logit_adjustment",
        "long_texts",
        "max_length",
        "mixup",
        "past",
        "perturbations",
        "prefix",
        "r_drop",
        "rows_per_class",
        "sentiment",
        "shift",
        "single_turns_first",
        "speaker_format",
        "teachers",
        "tuning",
        "unfreeze_per_epoch",
    },
}


def load_table(table: str) -> dict[str, Any]:
    """The content of tables/TABLE.yml.

    Args:
        table: the name of a file in tables/, without ".yml".

    Returns:
        A dict with "rows" (name -> what the row changes in the defaults) and "defaults". It may also have "baseline"
        (the row that others are compared with), "against" (row -> the row that it is compared with instead),
        "against_other_table" (row -> the "table" and the "row" that it is compared with in addition),
        "scores" (score -> its title, where they are not weighted F1, macro F1 and accuracy; the first one is compared)
        and "published" (lists of numbers that others have published, with their source).

    Raises:
        CourseError: there is no such file.
    """
    path = paths.TABLES / f"{table}.yml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in paths.TABLES.glob("*.yml")))
        raise CourseError(f"there is no table {table!r}; there are {known}")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def table_rows(table: str) -> dict[str, dict[str, Any]]:
    """Row name -> configuration: the defaults of the table, changed by what the row says.

    Stored runs belong to a row as long as both its name and its configuration are the same. Rename a row, or change
    its configuration, and it has to be measured again.
    """
    content = load_table(table)
    return {name: {**content["defaults"], **(changes or {})} for name, changes in content["rows"].items()}


def compared_with(table: str, name: str) -> str | None:
    """The row that a row is compared with: the one its "against" names, else the baseline, if it has the same test."""
    content, rows = load_table(table), table_rows(table)
    if named := content.get("against", {}).get(name):
        return str(named)
    baseline = content.get("baseline")
    if baseline in (None, name):
        return None
    test, test_of_baseline = (rows[row].get("test", rows[row].get("corpus")) for row in (name, baseline))
    return str(baseline) if test == test_of_baseline else None


def score_titles(table: str) -> dict[str, str]:
    """Score -> its title, for the scores that a table shows."""
    return dict(load_table(table).get("scores", SCORES))


def add_encoder(table: str, encoder: str) -> None:
    """Add rows with another encoder to tables/TABLE.yml: one for each row with the embedded encoder.

    Args:
        table: a table whose rows are called "CORPUS, ENCODER", such as "encoders".
        encoder: a folder or a Hub name. Rows that exist already are left as they are.

    Raises:
        CourseError: there is no such table, or it has no row whose name ends in ", embedded".
    """
    paths.require_checkout("adding rows to a results table")
    rows, lines = table_rows(table), []
    for name, config in rows.items():
        corpus, _, model = name.rpartition(", ")
        if model == "embedded" and f"{corpus}, {encoder}" not in rows:
            # the learning rates of `nbhelpers train` for encoders that it does not know; small ones have higher ones
            changed = {**config, "encoder": encoder, "lr": 2e-5, "head_lr": 1e-4}
            content = yaml.safe_dump(changed, default_flow_style=True, width=1000).strip()
            lines.append(f"  {json.dumps(f'{corpus}, {encoder}')}: {content}\n")
    if not any(name.endswith(", embedded") for name in rows):
        raise CourseError(f'table {table} has no rows "CORPUS, embedded" to copy; use the table encoders')
    with (paths.TABLES / f"{table}.yml").open("a", encoding="utf-8") as file:
        file.writelines(lines)  # the rows are the last part of the file


def check_rows(table: str) -> None:
    """Raise CourseError for a configuration that lacks something or says something unknown.

    A misspelled name would otherwise be ignored, and the row would measure something else than its name says.
    """
    rows = table_rows(table)
    for name, other in load_table(table).get("against_other_table", {}).items():
        if name not in rows or other["row"] not in table_rows(other["table"]):
            raise CourseError(f"{table}: against_other_table names {name!r} and {other['row']!r}; one does not exist")
    for name, config in rows.items():
        for part in (config, *config.get("members", ()), *filter(None, [config.get("training")])):
            if faults := list(configuration_faults(part)):
                raise CourseError(f"{table}, {name}: {', '.join(faults)}; correct nbhelpers/course/tables/{table}.yml")


def configuration_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a configuration, one phrase per fault; nothing where it is right."""
    method = config.get("method")
    if method not in REQUIRED:
        yield f"method {method!r} is not one of {', '.join(REQUIRED)}"
        return
    if method == "task":
        from nbhelpers.course.experiments.tasks import task_faults  # imports torch

        yield from task_faults(config)
        return
    known = INPUT | REQUIRED[method] | OPTIONAL.get(method, set())
    yield from (f"{name} is unknown" for name in sorted(set(config) - known))
    yield from (f"{name} is missing" for name in sorted(REQUIRED[method] - set(config)))
    if fault := new_tokens_fault(config):
        yield fault
    if "class_weight_power" in config:
        # The losses of these two have no class weights.
        yield from (f"class_weight_power does not go with {name}" for name in ("sentiment", "shift") if name in config)


def trainings(config: Mapping[str, Any], seed: int) -> list[tuple[dict[str, Any], int]]:
    """What a run has to train.

    Args:
        config: a row's configuration.
        seed: the seed of the run.

    Returns:
        (configuration, seed) of each training: that of the row itself, those of the members of an average, or the one
        whose decision is moved. A member with "add_to_seed" is trained with another seed than the run's.
    """
    if config["method"] not in ("average", "decision"):
        return [(dict(config), seed)]
    parts = config["members"] if config["method"] == "average" else [config["training"]]
    shared = {name: config[name] for name in ("corpus", "test") if name in config}
    members = [shared | part for part in parts]
    return [(member, seed + member.pop("add_to_seed", 0)) for member in members]
