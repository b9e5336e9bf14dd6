"""`python -m tests.summaries [--local] [PAGES] [WINDOW]`: how far a summary by parts can be trusted.

A chronicle that is made up, of three hundred pages, is summarized by the embedded engine, or with `--local` by the small
model that comes along. What is printed is the share of the sentences with a page that stand on that page, and what the page
itself says about it. The embedded engine has to reach the goal; a model does what it can.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.files.chronicle import chronicle
from tests.files.citations import checked

PAGES, WINDOW = 300, 8_000
GOAL = 0.95


def main(arguments: list[str]) -> int:
    is_local = "--local" in arguments
    count, window = [*[int(word) for word in arguments if word.isdecimal()], 0, 0][:2]
    with tempfile.TemporaryDirectory() as folder:
        _set_up()
        with _model(is_local):
            share = _measure(Path(folder), count or PAGES, window or (0 if is_local else WINDOW))
    return 0 if is_local or share >= GOAL else 1


def _set_up() -> None:
    """The product as the tests set it up: its data is thrown away."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


@contextmanager
def _model(is_local: bool) -> Iterator[None]:
    from chat import engines
    from chat.management import local

    if not is_local:
        engines.sync_environment(os.environ)
        yield
        return
    with local.beside_the_chat() as model:
        served = model.wait_ready()
        local.offer(served)
        engines.sync_environment(os.environ)
        local.note_facts(served)
        yield


def _measure(folder: Path, count: int, window: int) -> float:
    from chat.files import intake
    from chat.files.pdf import page_texts
    from chat.models import Deployment, Response, User
    from chat.rendering.cited import verdict_on

    deployment = Deployment.objects.offered()[0]
    if window:
        Deployment.objects.filter(pk=deployment.pk).update(context_window=window)
    if deployment.provider.dialect == "llamacpp":  # the small model goes on until its window is full
        Deployment.objects.filter(pk=deployment.pk).update(parameters={"temperature": 0, "max_output_tokens": 400})
    deployment.refresh_from_db()
    path = chronicle(folder / "chronicle.pdf", count)
    owner = User.objects.create_user("reader")
    content = path.read_bytes()
    attachment = intake.begin(owner, path.name, len(content))
    for offset in range(0, len(content), 1_000_000):
        intake.append_slice(attachment, offset, content[offset : offset + 1_000_000])
    attachment = intake.finish(attachment)
    print(
        f"{attachment.pages} pages, {attachment.text_characters:,} characters; {deployment} reads {deployment.context_window:,} tokens"
    )
    began = time.monotonic()
    requests = asyncio.run(_answered(owner, attachment))
    response = Response.objects.get()
    usage: Any = response.usage or {}
    print(
        f"{response.status} after {time.monotonic() - began:.1f} s, {requests} requests, {usage.get('total_tokens', 0):,} tokens"
    )
    if response.error:
        print(response.error)
    notes = response.input[0]["content"][0].get("text", "")
    pages = page_texts(path)
    for what, text in (("notes", notes), ("summary", response.text)):
        found = checked(text, pages)
        print(f"{what}: {found.cited} cite a page, {len(found.pages)} different ones; {found.share:.3f} stand on it")
        for wrong in found.wrong[:3]:
            print(f"    not: {wrong[:160]}")
    print(f"the page says: {verdict_on([response]).words}")
    print("\n".join(f"    {line}" for line in response.text.splitlines()[:12]))
    return checked(response.text, pages).share


async def _answered(owner: Any, attachment: Any) -> int:
    from asgiref.sync import sync_to_async

    from chat import engines
    from chat.conversations.ask import Question, ask
    from chat.conversations.summary import Summary
    from chat.turns import parts, run

    question = Question("", uuid.uuid4(), [attachment.pk], summary=Summary("detailed"))
    asked = await sync_to_async(ask)(owner, None, question)
    told = 0
    asked_before = parts._asked

    async def counted(*args: Any) -> str:
        nonlocal told
        told += 1
        return await asked_before(*args)

    parts._asked = counted
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    await engines.close()
    return told + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
