"""Rows of a database, with sqlite: read in small parts, never changed, and each mistake told in a sentence."""

import sqlite3
import sys
import tracemalloc

import pytest
import sqlalchemy
from corpus_files import error_message

from nbhelpers.corpora import databases, load, load_dialogues, loading_report, stream
from nbhelpers.corpora.databases import database_rows

ROWS = [(1, "Good, really", "pos"), (2, "So: 100% :bad: ::x", "neg"), (3, "fine", "pos")]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The folder of shop.db, as the working directory. The database has a table and a view of it."""
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("shop.db") as database:
        database.execute("create table messages (id integer, text text, label text)")
        database.executemany("insert into messages values (?, ?, ?)", ROWS)
        database.execute('create view "our view" as select text, label from messages where id < 3')
    database.close()
    return tmp_path


def content(folder):
    database = sqlite3.connect(folder / "shop.db")
    try:
        return database.execute("select * from messages").fetchall()
    finally:
        database.close()


def test_a_table_a_view_and_a_query_give_rows(shop):
    assert stream("sqlite:///shop.db", table="messages").names == ["id", "text", "label"]
    assert list(stream("sqlite:///shop.db", table="main.messages").rows) == [list(row) for row in ROWS]
    assert [row[1] for row in stream("sqlite:///shop.db", table="our view").rows] == ["pos", "neg"]
    found = stream(
        f"sqlite:///{shop}/shop.db", query="select text, id % 2 as odd from messages where text like '%:bad:%'"
    )
    assert (found.names, list(found.rows), found.notes) == (["text", "odd"], [["So: 100% :bad: ::x", 0]], [])
    rows = stream("sqlite:///shop.db", query="with x as (select 1 as a) select a, a + 1 as b from x").rows
    assert list(rows) == [[1, 2]]


def test_a_corpus_is_loaded_from_a_query(shop):
    data = load("sqlite:///shop.db", query="select text, label from messages order by id desc")
    assert data["train"]["text"][:] == [text for _, text, _ in ROWS[::-1]]
    assert data["train"].features["label"].names == ["neg", "pos"]
    assert loading_report(data["train"])["file"] == "query"
    data = load("sqlite:///shop.db", table="messages", text="text", label="label")
    assert data["train"]["text"][:] == [text for _, text, _ in ROWS]
    turns = "select text, label, id > 2 as scene from messages order by id"
    data = load("sqlite:///shop.db", query=turns, dialogue="scene")
    assert data["train"]["dialogue_id"][:] == [0, 0, 1]
    assert (
        load_dialogues("sqlite:///shop.db", query=turns, dialogue="scene")["train"]["text"][:]
        == data["train"]["text"][:]
    )


def test_rows_without_an_order_are_sorted(shop, monkeypatch):
    """A server may give them in another order at the next call, and the splits of a resumed training would change."""
    shuffled = iter([["text", "label"], ["b", "x"], ["a", "y"]])
    monkeypatch.setattr(databases, "rows_of", lambda *_: shuffled)
    assert load("sqlite:///shop.db", table="messages")["train"]["text"][:] == ["a", "b"]


def test_a_fault_in_a_row_is_told_with_its_place(shop):
    with sqlite3.connect("shop.db") as database:
        database.execute("insert into messages values (4, 'no label', null)")
    database.close()
    query = "select text, label from messages order by id"
    assert error_message(load, "sqlite:///shop.db", query=query).startswith("query, row 4: label is missing;")


@pytest.mark.parametrize(
    ("address", "options", "message"),
    [
        ("sqlite:///shop.db", {"table": "mesages"}, "there is no table 'mesages'; did you mean messages?"),
        ("sqlite:///shop.db", {"table": "x"}, "there is no table 'x'; there are messages, our view"),
        ("sqlite:///shop.db", {"table": ""}, "table='' is not the name of a table; pass for example table='messages'"),
        ("sqlite:///shop.db", {"query": "select txt from messages"},
         "sqlite:///shop.db: no such column: txt; check the query"),
        ("sqlite:///shop.db", {"query": "select text frm messages"},
         'sqlite:///shop.db: near "messages": syntax error; check the query'),
        ("sqlite:///shop.db", {"query": "select id, id from messages"}, "query: the name 'id' occurs 2 times; rename"),
        ("sqlite:///shop.db", {"query": "select 1", "table": "x"}, "both query= and table= are given; pass one"),
        ("sqlite:///shp.db", {"table": "messages"}, "shp.db does not exist; did you mean shop.db?"),
        ("shop.db", {"table": "messages"},
         "'shop.db' is not the address of a database; write for example sqlite:///shop.db or postgresql://ann@localhost"),
        ("postgrs://host/shop", {"table": "messages"}, "SQLAlchemy knows no database 'postgrs'; write for example"),
        ("mysql://ann:hunter2@host/shop?ssl_key=hunter2", {"table": "messages"},
         "mysql://ann@host/shop: MySQLdb is missing; run pip install mysqlclient"),
        ({"train": "a.csv"}, {"table": "messages"}, "query= and table= read one database; pass its address alone"),
    ],
)  # fmt: skip
def test_mistakes(shop, address, options, message):
    for function in (load, stream) if isinstance(address, str) else (load,):
        assert error_message(function, address, **options).startswith(message)
    assert sorted(path.name for path in shop.iterdir()) == ["shop.db"], "no empty database was made"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("delete from messages", "query='delete from messages' does not begin with select; write a query that reads"),
        ("drop table messages", "query='drop table messages' does not begin with select; write a query that reads"),
        ("with x as (select 1) delete from messages", "attempt to write a readonly database; check the query"),
        ("select 1; drop table messages", "You can only execute one statement at a time"),
    ],
)
def test_nothing_is_written(shop, query, message):
    assert message in error_message(stream, "sqlite:///shop.db", query=query)
    assert content(shop) == ROWS


def test_a_server_that_does_not_answer(shop, monkeypatch):
    class Orig(Exception):
        pass

    def connect(self):
        raise sqlalchemy.exc.OperationalError(None, None, Orig("connection refused\nIs the server running?"))

    monkeypatch.setattr(sqlalchemy.Engine, "connect", connect)
    assert error_message(stream, "sqlite:///shop.db", table="messages") == (
        "sqlite:///shop.db: connection refused; check the address, and whether the server runs"
    )


def test_a_missing_sqlalchemy_is_named(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    message = error_message(stream, "sqlite:///shop.db", table="messages")
    assert message == "sqlite:///shop.db: sqlalchemy is missing; run pip install sqlalchemy"


def test_a_query_without_rows(shop):
    query = "select text, label from messages where id > 9"
    assert error_message(load, "sqlite:///shop.db", query=query) == "query gives no rows; check it"
    assert list(stream("sqlite:///shop.db", query=query).rows) == []


def test_memory_does_not_grow_with_the_table(shop):
    with sqlite3.connect("shop.db") as database:
        database.execute("create table many as with recursive x(id) as "
                         "(select 1 union all select id + 1 from x limit 60000) "
                         "select id, 'Good, really, as I said before ' || id as text from x")  # fmt: skip
    database.close()
    peaks = []
    for limit in (3000, 60_000):
        tracemalloc.start()
        rows = stream("sqlite:///shop.db", query=f"select * from many limit {limit}").rows
        assert sum(1 for _ in rows) == limit
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_the_connection_is_closed_when_nobody_reads_on(shop):
    _, rows = database_rows("sqlite:///shop.db", None, "messages")
    next(rows)
    with sqlite3.connect("shop.db", timeout=0) as database, pytest.raises(sqlite3.OperationalError, match="locked"):
        database.execute("drop table messages")
    rows.close()
    with sqlite3.connect("shop.db", timeout=0) as database:
        database.execute("drop table messages")
    database.close()
