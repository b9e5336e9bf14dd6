"""A PDF of which a client could only send the text, as it does for providers that take no PDF."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from pytest_django import Settings

from chat.files.delivery import FileClient, content_part
from chat.models import Attachment, Provider
from chat.offline.documents import pages_sent_as_text
from chat.responses.dialects import DIALECTS

from .conftest import Ask, Json, text_of


@pytest.fixture
async def sent(darwin_path: Path, settings: Settings) -> Json:
    """The ten-page PDF as this chat sends it to a provider that takes none."""
    settings.MEDIA_ROOT = darwin_path.parent
    attachment = Attachment(
        name="darwin.pdf", file=darwin_path.name, status=Attachment.Status.READY, media_type="application/pdf"
    )
    gateway = DIALECTS["ofox"]
    assert not gateway.pdf_input
    client = cast(FileClient, None)
    with ExitStack() as held:
        return await content_part(attachment, provider=Provider(), client=client, dialect=gateway, held=held)


async def test_the_answer_is_that_to_the_pdf_itself(ask: Ask, darwin: Json, sent: Json) -> None:
    question = "Summarize this PDF"
    as_text = text_of(await ask(sent, question))
    assert as_text.count("(p.\u00a0") >= 5
    assert as_text == text_of(await ask(darwin, question))


async def test_it_is_no_part_of_what_the_person_said(ask: Ask, sent: Json) -> None:
    first = await ask(sent, "Who wrote it?")
    recalled = text_of(await ask("What was my first question?", after=first))
    assert "Who wrote it?" in recalled
    assert "attached file" not in recalled


def test_pages_without_text_keep_their_numbers_and_marks_inside_a_page_are_text() -> None:
    text = "Text of the attached file “a.pdf”:\n\n[page 2]\nTwo\n[page 1]\nstill two\n\n[page 4]\nFour"
    assert pages_sent_as_text(text) == ("a.pdf", ("", "Two\n[page 1]\nstill two\n\n", "", "Four"))


def test_a_person_who_writes_about_a_file_has_attached_none() -> None:
    assert pages_sent_as_text("Text of the attached file “a.pdf”: what about it?") is None
    assert pages_sent_as_text("See: Text of the attached file “a.pdf”:\n\n[page 1]\nx") is None
    assert pages_sent_as_text("Text of the attached file “a.pdf”:\n\n[page 0]\nx") is None
