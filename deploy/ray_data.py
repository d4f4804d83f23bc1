"""Classify the rows of many files on several machines, with Ray Data: `nbhelpers predict` beyond one machine.

    pip install -e ".[deploy,scale]"             # on each machine
    ray start --head                             # on the first one
    ray start --address FIRST_MACHINE:6379       # on each other one

Then, on the first machine and in the root of the repository:

    python -m deploy.ray_data runs/reviews reviews/ scored --id review_id --workers 8

Ray reads parquet and csv files from a disk or from an address such as s3://bucket/reviews. The model's folder and the
output must be on a disk that all machines see under the same path. When a worker or a machine dies, Ray classifies its
rows again elsewhere. When all of them stop, the same command goes on where they stopped.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.checkpoint import CheckpointConfig

from nbhelpers import corpora
from nbhelpers.classifier import ClassifierError, served
from nbhelpers.classifier.chunks import Chunk, in_json
from nbhelpers.classifier.predicting import classify, columns_of, new_columns, require_columns
from nbhelpers.classifier.runs import changed_since_start

BATCH_ROWS = 1_000  # what a worker classifies at a time, and what is lost when it dies
TYPES = {"predicted": pyarrow.string(), "entities": pyarrow.string()}  # all other new columns are probabilities


class Classifier:
    """A worker: it loads the model once and adds the new columns to each batch of rows."""

    def __init__(self, folder: Path, columns: dict[str, str], all_probabilities: bool, threads: int) -> None:
        self.model = served.load_alone(folder, threads)
        self.columns, self.all_probabilities = columns, all_probabilities

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        names = list(self.columns.values())
        cells = zip(*(batch[name].to_pylist() for name in names), strict=True)
        answered = classify(self.model, Chunk(names, list(map(list, cells))), self.columns, self.all_probabilities)
        for name in new_columns(self.model, self.all_probabilities):
            added = map(in_json, answered.column(name))
            batch = batch.append_column(name, pyarrow.array(added, TYPES.get(name, pyarrow.float64())))
        return batch


def predict(
    folder: str | Path,
    source: str,
    output: str | Path,
    *,
    row_id: str,
    workers: int,
    threads: int = 1,
    text: str | None = None,
    all_probabilities: bool = False,
) -> Path:
    """Classify each row, and write parquet files with the same columns and rows, in any order, and with the answers.

    The new columns are those of `nbhelpers.classifier.predict`. What is done is kept beside the output until all is
    done: called again in the same way, it goes on there.

    Args:
        folder: from `classifier.train`, or an export of such a folder.
        source: a parquet or csv file, or a folder of them. The cells of a csv file stay the texts that they are.
        output: a new folder.
        row_id: a column that is different in each row, because the order of the rows is lost.
        workers: how many processes classify. Two cores of the cluster must be left to those that read and write.
        threads: cores for each worker.
        text: the column with the texts; by default that of the training data.
        all_probabilities: also write the probability of each class.

    Returns:
        The output.

    Raises:
        ClassifierError: the output exists or was begun by another call, a column is missing, the ids are not
            different, the cluster has too few cores, or Ray cannot read or write a file.
    """
    folder, output = Path(folder).resolve(), Path(output).resolve()
    if output.exists():
        raise ClassifierError(f"{output} exists already; remove it, or choose another name")
    cores = int(ray.cluster_resources()["CPU"])
    if not 1 <= workers * threads <= cores - 2:  # Ray would wait for more of them
        raise ClassifierError(f"workers={workers}, threads={threads}: {cores} cores have no room for this and two more")
    model = served.load(folder, 1)  # a folder that is wrong is found here, and not by each worker
    if model.reads == "dialogues":
        raise ClassifierError("this classifier reads dialogues, whose rows must stay together; use nbhelpers predict")
    if model.reads == "tags" and all_probabilities:
        raise ClassifierError("all_probabilities is for classes of texts; leave it out for entities")
    shown = corpora.without_secrets(source)
    columns = columns_of(served.remembered_options(folder), text)
    run = {"source": shown, "model": model.digest, "row_id": row_id, **columns, "all": all_probabilities}
    kept = output.with_name(f"{output.name}.parts")
    try:
        rows, names = read(source)
        require_columns(shown, names, {**columns, "row_id": row_id})
        if not (num_rows := rows.count()):
            raise ClassifierError(f"{shown} has no rows; check that it was saved and copied completely")
        if changed_since_start(kept, run):
            raise ClassifierError(f"{kept} is of another call; remove it, or choose another output")
        with DataContext.current(DataContext.get_current().copy()):
            # Ray notes the ids of the rows that are written, and leaves these rows out in the next call
            done = CheckpointConfig(row_id, str(kept / "done"), delete_checkpoint_on_success=False)
            DataContext.get_current().checkpoint_config = done
            rows, _ = read(source)
            rows.map_batches(
                Classifier,
                fn_constructor_args=(folder, columns, all_probabilities, threads),
                compute=ActorPoolStrategy(size=workers),
                num_cpus=threads,
                batch_size=BATCH_ROWS,
                batch_format="pyarrow",
            ).write_parquet(str(kept / "rows"))
    except (ray.exceptions.RayError, pyarrow.ArrowException, OSError) as error:
        said = str(getattr(error, "cause", None) or error).strip()  # Ray's own text is a traceback
        raise ClassifierError(f"{shown}: {said.splitlines()[0]}") from error
    written = sum(pyarrow.parquet.read_metadata(part).num_rows for part in (kept / "rows").glob("*.parquet"))
    if written != num_rows:
        raise ClassifierError(f"{kept} has {written:,} of {num_rows:,} rows; is each {row_id} in one row only?")
    (kept / "rows").rename(output)
    shutil.rmtree(kept)
    return output


def read(source: str) -> tuple[Dataset, list[str]]:
    """The rows of parquet or csv files, and the names of the columns of the first file.

    The cells of a csv file stay the texts that they are: "007" does not become a number.
    """
    system, path = pyarrow.fs.FileSystem.from_uri(source if "://" in source else str(Path(source).resolve()))
    place = system.get_file_info(path)
    within = [place] if place.is_file else system.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    files = [file.path for file in within if file.path.endswith((".parquet", ".csv"))]
    kinds = {Path(file).suffix for file in files}
    if len(kinds) != 1:
        shown = corpora.without_secrets(source)
        raise ClassifierError(f"{shown} has no files of one kind, .parquet or .csv; put such files into a folder")
    with system.open_input_file(files[0]) as file:
        if kinds == {".parquet"}:
            names = pyarrow.parquet.read_schema(file).names
            return ray.data.read_parquet(files, filesystem=system), names
        names = pyarrow.csv.open_csv(file).schema.names
    texts = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()), include_columns=names)
    across_lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return ray.data.read_csv(files, filesystem=system, convert_options=texts, parse_options=across_lines), names


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ray_data", description="Classify files on a Ray cluster.")
    for name in ("folder", "source", "output"):
        parser.add_argument(name)
    parser.add_argument("--id", dest="row_id", required=True, help="a column that is different in each row")
    parser.add_argument("--workers", type=int, required=True, help="processes that classify")
    parser.add_argument("--threads", type=int, default=1, help="cores for each of them")
    parser.add_argument("--text", help="the column with the texts; default: as in training")
    parser.add_argument("--all-probabilities", action="store_true", help="also write that of each class")
    options = vars(parser.parse_args())
    ray.init(address="auto")
    try:
        print(f"Written: {predict(**options)}")
    except ValueError as error:  # a ClassifierError, or an ExportedError
        sys.exit(str(error))


if __name__ == "__main__":
    main()
