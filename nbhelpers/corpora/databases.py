"""Read the rows of a database, with SQLAlchemy. Nothing is ever written to one."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .arguments import check_arguments, without_secrets
from .errors import CorpusError, listing, missing, require_distinct
from .readers import Table

FETCHED = 1000  # rows that are in memory at a time
# driver -> the package to install, where it has another name
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
EXAMPLE = "write for example sqlite:///shop.db or postgresql://ann@localhost/shop"


def database_rows(
    address: Any, query: str | None, table: str | None
) -> tuple[list[str], Generator[list[Any], None, None]]:
    """Return the names of the columns, and the rows one by one. The server keeps the others, where it can.

    Args:
        address: in SQLAlchemy's form.
        query: it begins with "select" or "with".
        table: all rows of this table or view are read, instead of those of a query.

    Raises CorpusError if something is wrong with the address, the query or the table.
    """
    check_arguments(query=query, table=table)
    if query is not None and table is not None:
        raise CorpusError("both query= and table= are given; pass one of them")
    # The first word of what changes a database is another one, and some databases cannot take that back
    if query is not None and not re.match(r"\s*(select|with|values)\b", query, re.IGNORECASE):
        raise CorpusError(f"query={query!r:.60} does not begin with select; write a query that reads rows")
    rows = rows_of(address, query, table)
    names = next(rows)
    try:
        require_distinct(names, table or "query")
    except CorpusError:
        rows.close()
        raise
    return names, rows


def database_table(address: Any, query: str | None, table: str | None) -> Table:
    """Return all rows as a table. As `database_rows`."""
    names, reader = database_rows(address, query, table)
    rows = list(reader)
    if not rows:
        raise CorpusError(f"{table or 'query'} gives no rows; check it")
    # Without an order, the same query can give the rows in another one next time, and with them other splits
    if query is None or not re.search(r"\border\s+by\b", query, re.IGNORECASE):
        rows.sort(key=repr)
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return Table(table or "query", range(1, 1 + len(rows)), columns)


def rows_of(address: Any, query: str | None, table: str | None) -> Generator[list[Any], None, None]:
    """Yield the names of the columns, and then the rows. The connection is open as long as there are some."""
    engine = engine_of(address)
    with readable_database(address), connection_of(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("pragma query_only = on")
        if table is not None:
            query = f"select * from {name_in_query(connection, table)}"
        # `no_parameters`: a percent sign in the query is nothing but that
        streaming = connection.execution_options(stream_results=True, yield_per=FETCHED, no_parameters=True)
        result = streaming.exec_driver_sql(query or "")
        yield list(result.keys())
        for row in result:
            yield list(row)


@contextmanager
def connection_of(engine: Any) -> Iterator[Any]:
    """Give a connection for a `with` block. Nothing was written, so an error when it is closed is of no interest."""
    import sqlalchemy

    connection = engine.connect()
    try:
        yield connection
    finally:
        with suppress(sqlalchemy.exc.SQLAlchemyError):
            connection.close()


def engine_of(address: Any) -> Any:
    """Return what connects to a database. A wrong address, a missing package or file raises CorpusError."""
    try:
        import sqlalchemy

        url = sqlalchemy.make_url(address)
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "", error.name)
        raise CorpusError(f"{without_secrets(address)}: {error.name} is missing; run pip install {package}") from None
    except sqlalchemy.exc.NoSuchModuleError:
        raise CorpusError(f"SQLAlchemy knows no database {url.drivername!r}; {EXAMPLE}") from None
    except sqlalchemy.exc.ArgumentError:
        raise CorpusError(f"{without_secrets(address)!r:.60} is not the address of a database; {EXAMPLE}") from None
    path = url.database or ":memory:"
    if url.get_backend_name() == "sqlite" and not path.startswith((":memory:", "file:")) and not os.path.isfile(path):
        raise missing(Path(path))  # sqlite would make an empty one
    return engine


def name_in_query(connection: Any, table: str) -> str:
    """Return the name of a table or view as a query has it. One that does not exist raises CorpusError."""
    import sqlalchemy

    schema, _, name = table.rpartition(".")
    inspector = sqlalchemy.inspect(connection)
    if not inspector.has_table(name, schema=schema or None):
        names = inspector.get_table_names(schema or None) + inspector.get_view_names(schema or None)
        near = difflib.get_close_matches(name, names)
        advice = f"did you mean {' or '.join(near)}?" if near else f"there are {listing(names) or 'none'}"
        raise CorpusError(f"there is no table {table!r}; {advice}")
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in (schema, name) if part)


@contextmanager
def readable_database(address: Any) -> Iterator[None]:
    """Turn the errors of a database, in a `with` block, into a CorpusError without secrets."""
    import sqlalchemy

    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        about = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
        connected = getattr(error, "statement", None) is not None
        advice = "check the query" if connected else "check the address, and whether the server runs"
        raise CorpusError(f"{without_secrets(address)}: {about.splitlines()[0]}; {advice}") from None
