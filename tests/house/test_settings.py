"""Unsafe combinations do not start, and the sentence says what to set."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.serving import ROOT, Server, environment, manage

EXAMPLE = (ROOT / ".env.example").read_text()


def documented_production() -> dict[str, str]:
    """The settings that .env.example asks for in production, with a key of the kind that it describes."""
    section = EXAMPLE.partition("--- Production")[2].partition("Only where")[0]
    return {**dict(re.findall(r"^#([A-Z_]+)=(.*)$", section, re.MULTILINE)), "SECRET_KEY": secrets.token_urlsafe(64)}


PRODUCTION = documented_production()
PASSWORD = "hunter2"
NOBODY = f"postgres://chat:{PASSWORD}@127.0.0.1:9/chat"


def test_the_example_names_the_variables_that_the_settings_read() -> None:
    documented = set(re.findall(r"^#([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    source = (ROOT / "chatsite" / "settings.py").read_text()
    read = set(re.findall(r"""(?:env\.\w+|number)\(\s*"([A-Z0-9_]+)\"""", source))
    assert read
    # DOTENV says where the file is, so it cannot be in it; DEBUG is for those who write the chat.
    assert read - documented == {"DOTENV", "DEBUG"}


def test_the_example_as_it_is_changes_nothing(tmp_path: Path) -> None:
    env = environment(tmp_path, DOTENV=str(ROOT / ".env.example"))
    assert manage("check", env=env).returncode == 0


def test_the_documented_production_settings_pass_the_deploy_check(tmp_path: Path) -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", env=environment(tmp_path, **PRODUCTION))
    assert done.returncode == 0, done.stderr
    assert "0 silenced" in done.stdout


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set."),
        ({"SECRET_KEY": "changeme"}, "SECRET_KEY is easy to guess."),
        ({"SECRET_KEY": "x" * 60}, "SECRET_KEY is easy to guess."),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set."),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS=* would let any web site"),
        ({"DEBUG": "1"}, "DEBUG=1 shows settings and code to strangers."),
        ({"BEHIND_PROXY": "0"}, "set BEHIND_PROXY=1"),
        ({"ENVIRONMENT": "prod"}, "Set it to development or production."),
        ({"ENVIRONMENT": "development", "HOST": "0.0.0.0"}, "Set ENVIRONMENT=production"),
        ({"PORT": "http"}, "PORT is 'http'. Set it to a whole number"),
        ({"RUNNING_PER_PERSON": "0"}, "RUNNING_PER_PERSON is '0'. Set it to a whole number of at least 1"),
        ({"PORT": "70000"}, "PORT is 70000."),
        ({"CURRENCY": "euro"}, "CURRENCY is 'EURO'. Set it to a code of three letters"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'LOUD'."),
        ({"PUBLIC_URL": "chat.example.org"}, "Set it to a whole address"),
        ({"DATA_DIR": "/dev/null/data"}, "DATA_DIR=/dev/null/data cannot be made"),
        ({"DATABASE_URL": "mongodb://localhost/chat"}, "DATABASE_URL names a database that this chat does not use."),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL names a database that this chat does not use."),
        ({"DATABASE_URL": f"postgres://chat:{PASSWORD}/x@localhost/chat"}, "DATABASE_URL cannot be read."),
        ({"DATABASE_URL": f"postgres://chat:{PASSWORD}@localhost"}, "does not name a database"),
        ({"DATABASE_URL": NOBODY}, "The database of DATABASE_URL cannot be used"),
        ({"DATABASE_URL": NOBODY, "DATABASE_POOL_SIZE": "1"}, "DATABASE_POOL_SIZE is 1."),
        ({"REDIS_URL": f"http://:{PASSWORD}@localhost"}, "REDIS_URL does not begin with redis://"),
        ({"S3_ENDPOINT_URL": "http://127.0.0.1:9"}, "but no S3_BUCKET"),
        ({"S3_BUCKET": "files", "S3_ENDPOINT_URL": "127.0.0.1:9"}, "S3_ENDPOINT_URL is not a whole address."),
    ],
    ids=lambda value: (
        " ".join(f"{name}={text[:12]}" for name, text in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_an_unsafe_or_broken_setting_refuses_with_one_sentence(
    tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    done = manage("serve", env={**environment(tmp_path, **PRODUCTION), **change})
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert PASSWORD not in done.stderr
    assert not (tmp_path / "chat.sqlite3").exists()


def without(folder: Path, *modules: str) -> dict[str, str]:
    """As in an environment that lacks an extra: what Python is asked for first says that it has none of it."""
    hidden = "from sys import meta_path\n\nclass Hidden:\n    def find_spec(self, name, *_):\n        "
    hidden += f"if name in {modules}: raise ModuleNotFoundError(name)\n\nmeta_path.insert(0, Hidden())\n"
    (folder / "sitecustomize.py").write_text(hidden)
    return {"PYTHONPATH": str(folder)}


def test_none_of_the_extras_is_needed_to_serve(tmp_path: Path, start_server: Callable[..., Server]) -> None:
    extras = ("psycopg", "psycopg_pool", "redis", "channels_redis", "storages", "boto3", "botocore", "azure")
    server = start_server(**without(tmp_path, *extras, "xllamacpp", "yaml"))
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"DATABASE_URL": NOBODY}, ("psycopg", "psycopg_pool")),
        ({"REDIS_URL": "redis://127.0.0.1:9"}, ("redis", "channels_redis")),
        ({"S3_BUCKET": "files"}, ("storages", "boto3")),
    ],
    ids=["postgresql", "redis", "s3"],
)
def test_what_is_not_installed_is_asked_for(tmp_path: Path, settings: dict[str, str], needed: tuple[str, ...]) -> None:
    done = manage("serve", env=environment(tmp_path / "data", **settings, PORT="0", **without(tmp_path, *needed)))
    assert done.returncode == 1
    assert f"{' and '.join(needed)} is not installed. Run: make scale" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_refusal_tells_its_stack_to_who_asks(tmp_path: Path) -> None:
    done = manage("check", "--traceback", env=environment(tmp_path, **{**PRODUCTION, "DEBUG": "1"}))
    assert "Traceback" in done.stderr


def test_the_development_key_is_kept_and_for_the_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    keys = []
    for _ in range(2):
        done = manage(
            "shell", "-v0", "-c", "from django.conf import settings as s; print(s.SECRET_KEY)", env=environment(data)
        )
        keys.append(done.stdout.strip())
    assert keys[0] == keys[1] != ""
    assert data.stat().st_mode & 0o077 == 0
    assert (data / "secret_key").stat().st_mode & 0o077 == 0


def test_env_files_are_read_and_the_environment_wins(tmp_path: Path) -> None:
    dotenv = tmp_path / "env"
    dotenv.write_text("FILE_MAX_MB=7\nSIGNIN_LINK_SECONDS=60\n")
    show = "from django.conf import settings as s; print(s.FILE_MAX_BYTES >> 20, s.SIGNIN_LINK_SECONDS)"
    env = environment(tmp_path / "data", DOTENV=str(dotenv), SIGNIN_LINK_SECONDS="90")
    assert manage("shell", "-v0", "-c", show, env=env).stdout.split() == ["7", "90"]
