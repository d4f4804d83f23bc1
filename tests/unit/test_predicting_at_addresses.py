"""Train, evaluate and predict with files at an address and with rows of a database."""

import io
import json
import shutil
import sqlite3

import fsspec
import pandas as pd
import pyarrow.parquet
import pytest
from test_own_data_command import nbhelpers

from nbhelpers import classifier, corpora
from nbhelpers.classifier import chunks, predicting, tags, training
from nbhelpers.corpora import transfer

pytestmark = pytest.mark.slow
SECRET = "hunter2"
QUERY = "select id, Review, price, day from messages order by id"


def parquet(frame):
    target = io.BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()


@pytest.fixture(scope="module")
def reviews():
    part = corpora.load("reviews")["train"]
    names = part.features["label"].names
    texts = part["text"][:80]
    return pd.DataFrame({"id": range(80), "Review": texts, "stars": [names[i] for i in part["label"][:80]]})


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A cache of its own, and an empty storage in memory."""
    storage = fsspec.filesystem("memory")
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("NBHELPERS_CACHE", str(cache))
        patch.setattr(transfer, "PAUSE", 0)
        patch.setattr(predicting, "CHUNK_ROWS", 30)
        yield storage, cache
    storage.store.clear()


def found_in_files(text, *folders):
    """The files that contain a text, or have it in their names."""
    files = [path for folder in folders for path in folder.rglob("*")]
    return [path for path in files if text in str(path) or (path.is_file() and text.encode() in path.read_bytes())]


@pytest.fixture(scope="module")
def folder(cached, reviews, shallow_encoder, tmp_path_factory):
    """A classifier that was trained on a file at an address with secrets, by the command."""
    place, (storage, cache) = tmp_path_factory.mktemp("place"), cached
    storage.pipe(f"/ann:{SECRET}@host/reviews.parquet?signature={SECRET}", parquet(reviews))
    address = f"memory://ann:{SECRET}@host/reviews.parquet?signature={SECRET}"
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "save", saved_after(seen, training.save, place, cache))
        options = ["--encoder", shallow_encoder, "--epochs", "1", "--max-length", "32", "--text", "Review"]
        code, out, err = nbhelpers("train", address, *options, folder=place)
    assert code == 0, err
    assert seen == [[]], "while it is trained, no file has the secret"
    assert SECRET not in out + err
    assert found_in_files(SECRET, place, cache) == []
    return place / "runs" / "reviews"


def saved_after(seen, save, *folders):
    """`save`, after a look at the files of a run."""

    def look_and_save(*arguments):
        assert list(folders[0].rglob("run.json"))
        seen.append(found_in_files(SECRET, *folders))
        save(*arguments)

    return look_and_save


def test_a_model_remembers_its_address_without_secrets(folder):
    settings = json.loads((folder / "config.json").read_text())["settings"]
    assert settings["corpus"] == "memory://ann@host/reviews.parquet"
    assert "reviews.parquet" not in (folder / "README.md").read_text()


def test_a_parquet_file_at_an_address_gives_the_same_rows_also_after_a_stop(cached, folder, reviews, tmp_path):
    reviews.to_parquet(tmp_path / "r.parquet", index=False)
    local = pd.read_parquet(classifier.predict(folder, tmp_path / "r.parquet", tmp_path / "local.parquet"))
    assert len(local) == 80
    cached[0].pipe("/bucket/r.parquet", parquet(reviews))
    calls = []

    def stop(rows):
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt

    arguments = (folder, "memory://bucket/r.parquet", tmp_path / "remote.parquet")
    with pytest.raises(KeyboardInterrupt):
        classifier.predict(*arguments, progress=stop)
    assert found_in_files(SECRET, tmp_path) == []
    found = pd.read_parquet(classifier.predict(*arguments, progress=calls.append))
    assert calls == [30, 60, 80]
    pd.testing.assert_frame_equal(found, local)


def test_a_stopped_run_does_not_go_on_with_another_version_of_the_file(cached, folder, reviews, tmp_path):
    def stop(rows):
        raise KeyboardInterrupt

    cached[0].pipe("/bucket/r.parquet", parquet(reviews))
    arguments = (folder, "memory://bucket/r.parquet", tmp_path / "out.parquet")
    with pytest.raises(KeyboardInterrupt):
        classifier.predict(*arguments, progress=stop)
    cached[0].pipe("/bucket/r.parquet", parquet(reviews[::-1]))
    with pytest.raises(classifier.ClassifierError, match="is of another file, model or call; remove it"):
        classifier.predict(*arguments)


def test_an_output_is_written_to_an_address_also_after_a_stop(cached, folder, reviews, tmp_path):
    storage, cache = cached
    path, address = tmp_path / "r.csv", f"memory://ann:{SECRET}@out/labels.csv?key={SECRET}"
    written = f"/ann:{SECRET}@out/labels.csv?key={SECRET}"
    reviews.to_csv(path, index=False)
    local = classifier.predict(folder, path, tmp_path / "local.csv")
    code, out, err = nbhelpers("predict", str(folder), str(path), "-o", address, folder=tmp_path)
    assert code == 0, err
    assert "Written: memory://ann@out/labels.csv" in out
    assert SECRET not in out + err
    assert storage.cat(written) == local.read_bytes()
    assert list((cache / "outputs").rglob("*.csv*")) == []
    code, _out, err = nbhelpers("predict", str(folder), str(path), "-o", address, folder=tmp_path)
    assert (code, err) == (
        2,
        "nbhelpers: memory://ann@out/labels.csv exists already; remove it, or choose another name\n",
    )


def test_an_output_that_cannot_be_written_is_kept_until_it_can(cached, folder, reviews, tmp_path, monkeypatch):
    storage, cache = cached
    path, address, calls = tmp_path / "r.csv", "memory://out/kept.csv", []
    reviews.to_csv(path, index=False)

    def fail(*_, **__):
        raise PermissionError("Forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(type(storage), "open", fail)
        with pytest.raises(classifier.ClassifierError) as caught:
            classifier.predict(folder, path, address)
    (kept,) = (cache / "outputs").rglob("kept.csv")
    assert str(caught.value) == (
        "memory://out/kept.csv: there is no permission; check the credentials in the environment; all rows are done "
        f"and in {kept}, and the same call writes them again"
    )
    assert len(pd.read_csv(kept)) == 80
    assert classifier.predict(folder, path, address, progress=calls.append) == address
    assert calls == [], "no row is classified again"
    assert len(pd.read_csv(io.BytesIO(storage.cat("/out/kept.csv")))) == 80
    assert list((cache / "outputs").rglob("*.csv*")) == []


def test_a_copy_that_is_stopped_leaves_no_half_output(cached, tmp_path, monkeypatch):
    (tmp_path / "r.csv").write_text("text\nfine\n")

    def interrupted(source, target, length):
        target.write(source.read(6))
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        transfer.write_to("memory://out/half.csv", tmp_path / "r.csv")
    assert not cached[0].exists("/out/half.csv")


def test_outputs_that_are_refused_before_anything_is_classified(folder, tmp_path):
    def message(output):
        with pytest.raises((classifier.ClassifierError, corpora.CorpusError)) as caught:
            classifier.predict(folder, tmp_path / "absent.csv", output)
        return str(caught.value)

    assert (
        message("https://ann:x@host/a.csv")
        == "https://host/a.csv is an address of the web, where nothing can be written"
    )
    assert message("memory://out/a.xlsx").startswith("a.xlsx: this format cannot be written; use .csv")
    assert message("postgresql://localhost/a.csv").startswith("postgresql://localhost/a.csv begins with no storage")


@pytest.fixture
def shop(tmp_path, reviews):
    """The folder of shop.db, whose cells have types that no file of texts has."""
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table messages (id, Review text, price, day text, stars text)")
        for i, text, stars in reviews.itertuples(index=False):
            price = None if i < 30 else f"{i}.5 EUR" if i % 7 == 0 else i + 0.5  # sqlite allows any type in a cell
            database.execute("insert into messages values (?, ?, ?, '2041-03-05', ?)", (i, text, price, stars))
    database.close()
    return tmp_path


def test_rows_of_a_database_are_predicted_also_after_a_stop(cached, folder, reviews, shop, monkeypatch):
    monkeypatch.chdir(shop)
    reviews.to_csv("r.csv", index=False)
    local = pd.read_csv(classifier.predict(folder, "r.csv", "local.csv"))
    command = ("predict", str(folder), "sqlite:///shop.db", "--query", QUERY, "-o", "out.parquet")
    assert nbhelpers(*command, folder=shop)[0] == 0
    found = pd.read_parquet("out.parquet")
    assert found["id"].tolist() == list(range(80))
    assert found["price"].isna().sum() == 30
    assert found["price"][[30, 35]].tolist() == ["30.5", "35.5 EUR"]
    for column in ("Review", "predicted", "probability"):
        assert found[column].tolist() == local[column].tolist()
    (shop / "out.parquet").unlink()
    assert sorted(path.name for path in shop.iterdir()) == ["local.csv", "r.csv", "shop.db"]

    def stop(rows):
        raise KeyboardInterrupt

    address, said = f"sqlite:///shop.db?timeout={SECRET[-1]}", []
    with pytest.raises(KeyboardInterrupt):
        classifier.predict(folder, address, "out.parquet", query=QUERY, progress=stop, log=said.append)
    assert said == ["the rows are first copied to out.parquet.rows.parquet"]
    with sqlite3.connect("shop.db") as database:  # another program goes on working
        database.execute("delete from messages where id < 50")
    database.close()
    with pytest.raises(classifier.ClassifierError, match="is of another file, model or call"):
        classifier.predict(folder, address, "out.parquet", query=QUERY.replace("order by id", ""))
    classifier.predict(folder, address, "out.parquet", query=QUERY, log=said.append)
    pd.testing.assert_frame_equal(pd.read_parquet("out.parquet"), found)
    assert len(said) == 1
    (shop / "out.parquet").unlink()
    classifier.predict(folder, address, "out.parquet", query=QUERY, log=said.append)  # a new run reads the rows again
    assert pd.read_parquet("out.parquet")["id"].tolist() == list(range(50, 80))


def test_a_classifier_is_trained_and_evaluated_on_rows_of_a_database(cached, folder, shop, shallow_encoder):
    options = ("--query", "select Review, stars from messages", "--text", "Review", "--label", "stars")
    few = ("--encoder", shallow_encoder, "--epochs", "1", "--max-length", "32")
    code, out, err = nbhelpers("train", "sqlite:///shop.db", *options, *few, folder=shop)
    assert code == 0, err
    assert "64 texts in train, 8 texts in dev, 8 texts in test" in out
    code, out, err = nbhelpers(
        "evaluate", "runs/shop", "sqlite:///shop.db", "--table", "messages", *options[2:], folder=shop
    )
    assert code == 0, err
    assert "messages, 80 rows" in out
    (shop / "more.csv").write_text("Review,stars\nfine,positive\nbad,negative\n")
    code, out, err = nbhelpers("evaluate", "runs/shop", "more.csv", folder=shop)
    assert code == 0, "the query of the training is not that of another file: " + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "{}", "memory://absent/r.csv", "-o", "x.csv"], "memory://absent/r.csv: it does not exist; check"),
        (["predict", "{}", "absent.csv", "-o", "x.csv"], "absent.csv does not exist; check the path"),
        (["predict", "{}", "sqlite:///shop.db", "-o", "x.csv"], "of a database pass --query or --table as well"),
        (["predict", "{}", "sqlite:///shop.db", "--table", "message", "-o", "x.csv"], "did you mean messages?"),
        (["predict", "{}", "sqlite:///shop.db", "--query", "select stars from messages", "-o", "x.csv"],
         "query: no column 'Review'; the columns are stars; pass --text"),
        (["predict", "{}", "sqlite:///shop.db", "--query", "select Review from messages limit 0", "-o", "x.csv"],
         "the query or the table gives no rows; check it"),
        (["train", "sqlite:///shop.db", "--table", "messages", "--dev", "shop.db"],
         "--query and --table read one database; pass its address alone, and no other split"),
        (["train", "sqlite:///shop.db", "--query", "drop table messages"], "does not begin with select"),
        (["evaluate", "{}", f"http://ann:{SECRET}@127.0.0.1:9/r.csv"], "http://127.0.0.1:9/r.csv: cannot be reached"),
    ],
)  # fmt: skip
def test_a_wrong_address_ends_with_one_sentence(cached, folder, shop, arguments, message):
    code, _out, err = nbhelpers(*(x.replace("{}", str(folder)) for x in arguments), folder=shop)
    assert code == 2
    assert message in err
    assert SECRET not in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in shop.iterdir()] == ["shop.db"], "a failure leaves nothing behind"


def test_ctrl_c_says_how_a_copy_goes_on(cached, folder, tmp_path, monkeypatch):
    def interrupted(address, progress):
        progress(1, 2)
        progress(2, None)
        raise KeyboardInterrupt

    monkeypatch.setattr(corpora, "local_path", interrupted)
    arguments = ("predict", str(folder), "memory://bucket/r.parquet", "-o", "out.csv")
    assert nbhelpers(*arguments, folder=tmp_path)[::2] == (130, "stopped; the same command goes on\n")


def test_tagged_words_are_read_from_an_address(cached):
    cached[0].pipe("/bucket/talks.conll?key=1", b"Ann B-PER\nleft O\n\nBo B-PER\nsaw O\n\n")
    address = "memory://bucket/talks.conll?key=1"
    assert tags.is_tagged(address, None)
    assert tags.load_tags({"train": address, "dev": address}, {}).splits["dev"].texts == [
        ["Ann", "left"],
        ["Bo", "saw"],
    ]
    assert tags.load_tags(address, {}).names == ["O", "B-PER", "I-PER"]


def test_columns_whose_parts_have_different_types_can_be_joined(tmp_path):
    rows = [[[1, None, 2.5, 1j], [2, None, None, 1j]], [[3, "a", "b", 1j], [2**70, None, None, 1j]]]
    for i, part in enumerate(rows):
        chunks.write_part(chunks.Chunk(["a", "b", "c", "d"], part), tmp_path / f"{i}.parquet", ".parquet")
    chunks.join_parts(sorted(tmp_path.glob("*")), ["a", "b", "c", "d"], tmp_path / "out.parquet", ".parquet")
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert found == {
        "a": ["1", "2", "3", str(2**70)],
        "b": [None, None, "a", None],
        "c": ["2.5", None, "b", None],
        "d": ["1j"] * 4,
    }
