"""A server is asked to stop in the middle of its answers, and started again: what is left, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from tests.house.serving import Server
from tests.house.test_serve import sign_in
from tests.offline.test_serving import served

PATIENCE_SECONDS = 60
LONG = "Show me what Markdown looks like here"


def rows(data_dir: Path) -> dict[str, dict[str, Any]]:
    """What the database says of the answer of each model."""
    with closing(sqlite3.connect(data_dir / "chat.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        found = database.execute(
            "SELECT d.name, r.*, t.status AS turn_status FROM chat_response r"
            " JOIN chat_turn t ON t.id = r.turn_id JOIN chat_deployment d ON d.id = t.deployment_id"
        ).fetchall()
    return {row["name"]: {**row, "output": json.loads(row["output"])} for row in found}


def shown(row: dict[str, Any]) -> str:
    return "".join(part["text"] for item in row["output"] for part in item.get("content", []))


def wait_for(data_dir: Path, reached: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
    """Another process writes the rows, and tells nobody."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not reached(found := rows(data_dir)):
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def set_up(server: Server) -> None:
    with closing(sqlite3.connect(server.data_dir / "chat.sqlite3")) as database, database:
        assert database.execute("UPDATE chat_deployment SET background = 1 WHERE name = 'patient'").rowcount == 1


def ask(server: Server) -> None:
    """Each model one question, as a page without scripts asks it."""
    with closing(sqlite3.connect(server.data_dir / "chat.sqlite3")) as database:
        models = [pk for (pk,) in database.execute("SELECT id FROM chat_deployment WHERE name IN ('patient', 'plain')")]
    with httpx.Client(base_url=server.url) as client:
        assert sign_in(client, server.signin_link("alice")).status_code == 302
        for model in models:
            form = {"question": LONG, "key": str(uuid.uuid4()), "deployment": model}
            form["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
            page = client.post("/ask/", data=form, headers={"Origin": server.url})
            assert page.status_code == 302, page.text


async def test_what_works_in_the_background_is_left_and_taken_up_and_the_rest_interrupted(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    async with served(tmp_path / "engine", "--port", "0", "--pace", "0.015") as (url, _):
        found, whole = await asyncio.to_thread(stopped_and_started, start_server, url)
    assert whole["status"] == "completed"
    assert found["patient"]["output"] == whole["output"]
    assert found["patient"]["turn_status"] == "completed"


def stopped_and_started(start_server: Callable[..., Server], url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    server = start_server(RESPONSES_BASE_URL=url, RESPONSES_DIALECT="openai", RESPONSES_MODELS="patient,plain")
    set_up(server)
    ask(server)
    wait_for(server.data_dir, lambda found: len(found) == 2 and all(len(shown(row)) > 20 for row in found.values()))
    assert server.stop() == 0
    left = rows(server.data_dir)
    patient, plain = left["patient"], left["plain"]
    assert (patient["status"], patient["turn_status"]) == ("in_progress", "in_progress")
    assert (patient["owner"], patient["heartbeat_at"], patient["finished_at"]) == (None, None, None)
    assert patient["cursor"] > 3
    assert shown(patient)
    assert (plain["status"], plain["turn_status"]) == ("interrupted", "interrupted")
    assert plain["text"] == shown(plain) != ""
    server.start()
    ended = wait_for(server.data_dir, lambda found: found["patient"]["status"] not in ("queued", "in_progress"))
    assert ended["plain"] == plain
    with httpx.Client() as client:
        whole = client.get(f"{url.rstrip('/')}/responses/{patient['response_id']}").json()
    return ended, whole
