"""From one process to many: what DATABASE_URL, REDIS_URL and S3_BUCKET mean for Django's settings.

Each refuses with one sentence that says what to set or to install, and repeats no address: it may hold a password.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

import environ
from django.core.exceptions import ImproperlyConfigured

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"

HOW_TO_NAME_A_DATABASE = "Set it to postgres://USER:PASSWORD@HOST/NAME or sqlite:////PATH, or leave it out."

# The thread of the runs keeps a connection, that of the sockets takes one for each message; pages need some, too.
POOL_MIN_SIZE = 4

# WAL and IMMEDIATE together: readers never wait, and writers queue instead of failing with "database is locked".
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA cache_size=-20000;"
        "PRAGMA mmap_size=134217728;PRAGMA temp_store=MEMORY;"
    ),
}


def database(url: str, *, pool_size: int) -> dict[str, Any]:
    """The database that `url` names."""
    config = _parsed(url)
    if config.get("ENGINE") == SQLITE:
        # Kept by each thread: opening the file and saying all that takes as long as five queries.
        return {**config, "OPTIONS": SQLITE_OPTIONS, "CONN_MAX_AGE": None}
    if config.get("ENGINE") != POSTGRESQL:
        raise ImproperlyConfigured(
            f"DATABASE_URL names a database that this chat does not use. {HOW_TO_NAME_A_DATABASE}"
        )
    if not config["NAME"]:
        raise ImproperlyConfigured(f"DATABASE_URL does not name a database on its server. {HOW_TO_NAME_A_DATABASE}")
    if pool_size < POOL_MIN_SIZE:
        raise ImproperlyConfigured(f"DATABASE_POOL_SIZE is {pool_size}. Set it to a number from {POOL_MIN_SIZE} on.")
    _require("DATABASE_URL names PostgreSQL", "psycopg", "psycopg_pool")
    return {
        **config,
        "HOST": unquote(config["HOST"]),  # the folder of a local socket, written as %2Frun%2Fpostgresql
        # A connection is looked at before it is given out: after a restart of PostgreSQL all of them are dead.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "tcp_user_timeout": 15_000,  # milliseconds; otherwise a server that lost its power is believed in for minutes
            **config.get("OPTIONS", {}),
            # After 5 seconds of trying the pool waits for the next request, which then tries at once: when PostgreSQL
            # is back after an hour, no page waits for a delay that has grown for an hour.
            "pool": {"min_size": 1, "max_size": pool_size, "timeout": 10, "reconnect_timeout": 5},
        },
    }


def _parsed(url: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a scheme that it does not know; that is refused here
        try:
            return dict(environ.Env.db_url_config(url))
        except ValueError:
            # Not chained: the cause quotes a part of the password when that holds a slash.
            raise ImproperlyConfigured(
                "DATABASE_URL cannot be read. In user and password, write / as %2F, @ as %40, # as %23 and % as %25. "
                + HOW_TO_NAME_A_DATABASE
            ) from None


def check_redis(url: str) -> None:
    """Refuse an address that is none of Redis."""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured(
            "REDIS_URL does not begin with redis://, rediss:// or unix://. "
            "Set it to an address such as redis://HOST:6379/0, or leave it out."
        )
    _require("REDIS_URL is set", "redis", "channels_redis")


def channel_layer(redis_url: str) -> dict[str, Any]:
    """What carries rare events between tabs: within this process, or through Redis between all of them."""
    if not redis_url:
        return {"BACKEND": "chatsite.memory.MemoryLayer"}
    # Without socket_timeout=None redis-py hangs up on whoever hears nothing for 5 seconds.
    host = {"address": redis_url, "socket_timeout": None, "socket_connect_timeout": 2}
    return {"BACKEND": "chatsite.layer.RedisLayer", "CONFIG": {"hosts": [host], "prefix": "chat:layer"}}


def cache(redis_url: str) -> dict[str, Any]:
    """What counts attempts to sign in: within this process, or for all of them."""
    if not redis_url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    timeouts = {"socket_timeout": 2, "socket_connect_timeout": 2}
    return {"BACKEND": "chatsite.cache.SharedCache", "LOCATION": redis_url, "KEY_PREFIX": "chat", "OPTIONS": timeouts}


def file_storage(bucket: str, endpoint_url: str) -> dict[str, Any]:
    """Where the bytes of attachments are."""
    if not bucket:
        if endpoint_url:
            raise ImproperlyConfigured("S3_ENDPOINT_URL is set, but no S3_BUCKET. Set both, or neither.")
        return {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    if endpoint_url and not endpoint_url.startswith(("http://", "https://")):
        raise ImproperlyConfigured(
            "S3_ENDPOINT_URL is not a whole address. Set it to one such as https://s3.example.org"
        )
    _require("S3_BUCKET is set", "storages", "boto3")
    return {
        "BACKEND": "chat.files.objects.ObjectStorage",
        "OPTIONS": {"bucket_name": bucket, "endpoint_url": endpoint_url or None},
    }


def _require(because: str, *modules: str) -> None:
    if absent := [name for name in modules if not _is_installed(name)]:
        raise ImproperlyConfigured(f"{because}, but {' and '.join(absent)} is not installed. Run: make scale")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
