"""Compare this package with other packages, each of which is installed into an environment of its own.

    python tests/benchmarks/peers/measure.py {train,serve} [--quick] [--only NAME ...] [--corpus NAME] [--record]

The environments are in build/peers/NAME and are kept. They find torch and what else is installed here, and get only
what a package needs in another version; so all measure with the same torch, and nothing large is downloaded. The peers
and this package's own ways take turns in one run. A peer that cannot be installed, or that does not run, is a row with
its reason. The other files of this folder are what runs in the environments.
"""

import argparse
import importlib.metadata
import json
import re
import site
import subprocess
import tempfile
import venv
from functools import partial
from pathlib import Path

import pandas as pd

from nbhelpers.course.bench import command, comparing, load, predict, sample, serve, train

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[2] / "build" / "peers"
MINUTES = 15  # for installing a peer, and for each of its measurements
TRAIN = {  # name -> the packages to install, and the script to run
    "simpletransformers": (["simpletransformers"], "train_simpletransformers.py"),
    "setfit, texts of pairs": (["setfit"], "train_setfit.py"),
    "sentence-transformers CrossEncoder": (["sentence-transformers"], "train_cross_encoder.py"),
}
SERVE = {
    "litserve": (["litserve"], "serve_litserve.py"),
    # it needs numpy 1, with which the newest of these do not run
    "infinity": (["infinity-emb[server,torch]", "datasets<4", "pandas<3", "pyarrow<20"], "serve_infinity.py"),
}


def environment(name, packages):
    """The Python of a peer's environment, which is made unless it exists. NotMeasured says why a package is missing."""
    folder = ENVIRONMENTS / re.sub(r"\W+", "_", name)
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return str(python)
    venv.create(folder, with_pip=True, clear=True)
    packages_here = site.getsitepackages()[0]
    (own,) = folder.glob("lib/python*/site-packages")
    own.joinpath("shared.pth").write_text(f"import site; site.addsitedir({packages_here!r})\n")
    pins = folder / "constraints.txt"
    pins.write_text(f"torch=={importlib.metadata.version('torch')}\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", str(pins)]
    run([*pip, *packages], "it cannot be installed")
    (folder / "complete").touch()
    return str(python)


def run(arguments, what):
    """What a program prints. If it fails, NotMeasured says with its last line why."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60 * MINUTES, check=False)
    except subprocess.TimeoutExpired:
        raise comparing.NotMeasured(f"{what}: it took more than {MINUTES} minutes") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it printed no reason"]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines  # pip's own, before its hints
        raise comparing.NotMeasured(f"{what}: {errors[-1][:200]}")
    return done.stdout


def texts_per_second(name, packages, script, model, table, mean_tokens):
    """The speed that a training script prints as JSON in its last line."""
    python = environment(name, packages)
    output = run(
        [python, str(HERE / script), str(model), str(table), str(train.BATCH_SIZE), str(mean_tokens)], "it does not run"
    )
    return json.loads(output.splitlines()[-1])["texts_per_second"]


def training_peers(drawn, place, only):
    """The ways of other packages to train: name -> a function that returns texts per second."""
    model, table = place / "encoder", place / "texts.csv"
    drawn.load_model("cls").save_pretrained(model)
    drawn.tokenizer.save_pretrained(model)
    labels = [example["labels"] for example in drawn.examples]
    pd.DataFrame({"text": drawn.texts, "labels": labels}).to_csv(table, index=False)
    return {
        name: partial(texts_per_second, name, packages, script, model, table, drawn.mean_tokens)
        for name, (packages, script) in TRAIN.items()
        if name in only
    }


def serving_peers(folder, only):
    """The services of other packages: name -> (command, endpoint), and why an environment could not be made."""
    services, failed = {}, {}
    for name, (packages, script) in SERVE.items():
        if name not in only:
            continue
        try:
            python = environment(name, packages)
        except comparing.NotMeasured as error:
            failed[name] = str(error)
            continue
        port = load.free_port()
        services[name] = ([python, str(HERE / script), str(folder), str(port)], ENDPOINTS[name](port))
    return services, failed


ENDPOINTS = {
    "litserve": lambda port: load.Endpoint(port, "/predict", "/health"),
    "infinity": lambda port: load.Endpoint(
        port, "/classify", "/health", lambda text: {"model": "model", "input": [text]}
    ),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", choices=["train", "serve"])
    parser.add_argument("--quick", action="store_true", help="as of `nbhelpers bench`")
    parser.add_argument("--only", nargs="*", default=[*TRAIN, *SERVE], help="names of peers")
    parser.add_argument("--corpus", help="default: as of `nbhelpers bench`")
    parser.add_argument("--record", action="store_true", help="add the rows to data/results/speed.jsonl")
    options = parser.parse_args()
    drawn = sample.draw_sample(options.corpus, command.QUICK_TEXTS if options.quick else command.NUM_TEXTS, "embedded")
    say = partial(print, flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if options.subject == "train":
            peers = training_peers(drawn, place, options.only)
            measured = train.measure(drawn, place, options.quick, say, peers)
        else:
            services, failed = serving_peers(predict.make_folders(drawn, place)["torch"], options.only)
            measured = serve.measure(drawn, place, options.quick, say, services)
            measured = measured._replace(failed=measured.failed | failed)
    command.show([measured], Path("runs"))
    if options.record:
        command.add_rows([measured], drawn)


if __name__ == "__main__":
    main()
