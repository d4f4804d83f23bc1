"""Train on each real data set in $NBHELPERS_DATA with one command line, as its publisher wrote the files.

    python tests/benchmarks/own_data.py [NAME ...]

Adds a row for each to data/results/own_data.jsonl: the command line, the scores, TF-IDF's beside them, and the seconds.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
        start = time.perf_counter()
        subprocess.run([nbhelpers, "train", *arguments, "--output", str(output)], check=True)
        seconds = time.perf_counter() - start
        content = json.loads((output / "scores.json").read_text(encoding="utf-8"))
    row = {
        "row": name,
        "command": f"nbhelpers train {COMMANDS[name]}",
        "split": content["split"],
        "rows": content["rows"],
    }
    results.append("own_data", {**row, "scores": content["scores"], "seconds": round(seconds, 1)})


if __name__ == "__main__":
    for chosen in sys.argv[1:] or COMMANDS:
        measure(chosen)
