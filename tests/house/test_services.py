"""The servers that tests lean on: they start, forget or keep as theirs do, and come back on the same port."""

from __future__ import annotations

import psycopg
import pytest
import redis as client

from tests.house.postgresql import PostgreSQL
from tests.house.redis import Redis


def test_a_redis_comes_back_with_nothing_in_it(redis: Redis) -> None:
    with client.from_url(redis.url) as connection:
        connection.set("kept", "no")
        redis.restart()
        assert connection.get("kept") is None
        redis.stop()
        with pytest.raises(client.ConnectionError):
            connection.ping()


def test_a_postgresql_keeps_its_databases_when_it_is_killed(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        postgresql.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgresql.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert postgresql.new_database() != url
