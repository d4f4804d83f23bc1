"""Train on each real data set in $NBHELPERS_DATA with one command line, as its publisher wrote the files.

    python tests/benchmarks/own_data.py [NAME ...]

Adds a row for each to data/results/own_data.jsonl: the command line, the scores, and TF-IDF's beside them. A set that
has a row is left out, unless it is named. `--table` prints the rows as the table of docs/own_data.md.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nbhelpers.course import results

# name -> the arguments of `nbhelpers train`, in which DATA is the folder of the data sets
COMMANDS = {
    "MELD": "DATA/meld",
    "MELD, each turn alone": "DATA/meld --no-context",
    "IMDB": "DATA/imdb/train_5k.csv --test DATA/imdb/test_5k.csv",
    "SST-2": "DATA/sst2 --no-quotes",
    "Yelp sentences": "DATA/uci_sentences/yelp_labelled.txt --no-quotes",
    "Amazon sentences": "DATA/uci_sentences/amazon_cells_labelled.txt --no-quotes",
    "IMDb sentences": "DATA/uci_sentences/imdb_labelled.txt --no-quotes",
    "waimai": "DATA/waimai/waimai_10k.csv",
    "AG News": "DATA/ag_news/train_5k.csv --labels DATA/ag_news/train_5k_classes.txt",
    "Banking77": "DATA/banking77",
    "Financial PhraseBank": "DATA/financial_phrasebank/all-data.csv --encoding latin-1",
    "CLINC150": "DATA/clinc150/data_full.json",
    "CLINC150, imbalanced": "DATA/clinc150/data_imbalanced.json",
    "written reviews": "reviews",
    "written dialogues": "dialogues",
}


def measure(name: str) -> None:
    data = os.environ["NBHELPERS_DATA"]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "model")
        arguments = shlex.split(COMMANDS[name].replace("DATA", data))
        nbhelpers = str(Path(sys.executable).with_name("nbhelpers"))
        subprocess.run([nbhelpers, "train", *arguments, "--output", str(output)], check=True)
        content = json.loads((output / "scores.json").read_text(encoding="utf-8"))
    row = {
        "row": name,
        "command": f"nbhelpers train {COMMANDS[name]}",
        "split": content["split"],
        "rows": content["rows"],
    }
    results.append("own_data", {**row, "scores": content["scores"]})


def latest() -> dict[str, dict[str, Any]]:
    """The last row of each set that was measured, in the order of `COMMANDS`."""
    rows = {row["row"]: row for row in results.read("own_data")}
    return {name: rows[name] for name in COMMANDS if name in rows}


def table() -> str:
    """The rows in Markdown."""
    lines = ["| data set | command | tested on | weighted F1 | macro F1 | TF-IDF, weighted F1 |", "|" + "---|" * 6]
    for name, row in latest().items():
        ours, baseline = row["scores"]["this classifier"], row["scores"]["TF-IDF"]
        interval = f"{100 * ours['weighted F1, from']:.1f} to {100 * ours['weighted F1, to']:.1f}"
        scores = f"{100 * ours['weighted F1']:.1f} ({interval}) | {100 * ours['macro F1']:.1f}"
        command = row["command"].replace("DATA/", "")
        tested = f"{row['rows']:,} rows"
        lines.append(f"| {name} | `{command}` | {tested} | {scores} | {100 * baseline['weighted F1']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table())
    else:
        for chosen in sys.argv[1:] or [name for name in COMMANDS if name not in latest()]:
            measure(chosen)
