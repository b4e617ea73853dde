"""Least privilege, seen by clients: who reads, who writes, who defines, who gets in, and how much of it."""

from __future__ import annotations

# ruff: noqa: S608 - statements of our own
import secrets
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors


@pytest.fixture(scope="module")
def table(cluster):
    """A new table that the migrator made a moment ago, and nobody granted anything on."""
    name = f"items_{secrets.token_hex(4)}"
    with cluster.connect("migrator") as session:
        session.execute(f"CREATE TABLE sales.{name} (id serial, word text)")
        yield name
        session.execute(f"DROP TABLE sales.{name}")


def test_a_new_table_is_the_owners_and_readable_and_writable_at_once(cluster, table):
    with cluster.connect("loader") as loader, cluster.connect("analyst") as analyst:
        loader.execute(f"INSERT INTO sales.{table} (word) VALUES ('here')")
        assert analyst.execute(f"SELECT word FROM sales.{table}").fetchall() == [("here",)]
        loader.execute(f"UPDATE sales.{table} SET word = 'there'")
        owner = "SELECT tableowner FROM pg_tables WHERE tablename = %s"
        assert analyst.execute(owner, (table,)).fetchone() == ("reporting_owner",)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sales.{0} (word) VALUES ('x')",
        "UPDATE sales.{0} SET word = 'x'",
        "DELETE FROM sales.{0}",
        "TRUNCATE sales.{0}",
        "SELECT nextval('sales.{0}_id_seq')",
        "CREATE TABLE sales.x (n int)",
        "CREATE TABLE public.x (n int)",
        "CREATE TEMPORARY TABLE x (n int)",
        "CREATE SCHEMA x",
        "SET ROLE reporting_write",
        "SELECT * FROM holdfast.partition_rule",
    ],
)
def test_a_reader_changes_nothing(cluster, table, statement):
    with cluster.connect("analyst") as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute(statement.format(table))


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE sales.{0}", "ALTER TABLE sales.{0} ADD x int", "CREATE TABLE sales.x (n int)", "TRUNCATE sales.{0}"],
)
def test_a_writer_defines_nothing(cluster, table, statement):
    with cluster.connect("loader") as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute(statement.format(table))


@pytest.mark.parametrize(
    "statement", ["CREATE ROLE x", "CREATE DATABASE x", "SET ROLE postgres", "DROP FUNCTION holdfast.partition_plan"]
)
def test_an_owner_is_no_administrator(cluster, statement):
    with cluster.connect("migrator") as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute(statement)


@pytest.mark.parametrize(
    ("user", "change"),
    [
        ("lonely", {}),  # no row at all
        ("analyst", {"database": "orders"}),  # a row for another database
        ("analyst", {"database": "postgres"}),
        ("analyst", {"sslmode": "disable"}),
        ("orders_app", {}),  # the other database's owner
    ],
)
def test_who_is_not_declared_from_here_is_rejected(cluster, user, change):
    database = change.pop("database", "reporting")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba.conf rejects"):
        cluster.connect(user, database, **change)


@pytest.mark.parametrize(
    ("user", "database"),
    [
        ("lonely", "reporting"),  # no row at all
        ("faraway", "reporting"),  # a row for another network
        ("analyst", "orders"),  # a row for another database
        ("holdfast_monitor", "reporting"),
    ],
)
def test_the_pooler_rejects_them_too(cluster, user, database):
    password = cluster.password("monitor" if user == "holdfast_monitor" else user)
    with pytest.raises(
        psycopg.OperationalError, match=r"no authentication method|login rejected|authentication failed"
    ):
        cluster.connect(user, database, pooler=True, password=password)


def test_a_login_gets_no_more_connections_than_declared(cluster):
    sessions = [cluster.connect("analyst") for _number in range(3)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            cluster.connect("analyst")
        with cluster.connect("loader") as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
    finally:
        for session in sessions:
            session.close()


def test_through_the_pooler_a_login_waits_for_its_turn(cluster):
    sessions = [cluster.connect("analyst", pooler=True) for _number in range(6)]
    try:
        with ThreadPoolExecutor(len(sessions)) as pool:
            said = pool.map(lambda one: one.execute("SELECT current_user::text, pg_sleep(0.2)").fetchone()[0], sessions)
            assert list(said) == ["analyst"] * len(sessions)
    finally:
        for session in sessions:
            session.close()


def test_a_statement_ends_when_its_time_is_up(cluster):
    with cluster.connect("analyst") as session, pytest.raises(errors.QueryCanceled, match="statement timeout"):
        session.execute("SELECT pg_sleep(5)")


def test_settings_of_the_database_and_its_extensions_are_there(cluster):
    with cluster.connect("loader") as session:
        assert session.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("5min",)
        assert session.execute("SELECT similarity('hold', 'holdfast') > 0").fetchone() == (True,)
