"""What a summary states is compared with the pages that it cites, before its end is stored."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from pytest_django import Settings

from chat.conversations.ask import Question, ask
from chat.conversations.summary import Summary
from chat.files import pdf
from chat.models import Attachment, Response, Status, Turn, User
from chat.rendering.views import render_turn, turn_view
from chat.turns import checking, run
from chat.turns.checking import checked
from chat.turns.hub import hub
from tests.files.makers import make_pdf
from tests.rows import make_attachment, message
from tests.turns.test_mirror import Watching, assert_equals_a_reload
from tests.upstream import Reply, Upstream, text_events

TOWNS = [
    "Forty weavers left the town of Winmarsta in 1721.",
    "Nobody ever measured the lighthouse of Stalinrin.",
    "",
    "The miners of Gorden sold their foundry because of falling prices,",
    "which had followed the long war between brewers and bakers.",
]
MAYORS = ["A mayor of Denfelgor blessed the orchard and taxed the granary."]

Make = Callable[..., Attachment]


@pytest.fixture
def document(settings: Settings, tmp_path: Path) -> Make:
    settings.MEDIA_ROOT = tmp_path / "media"

    def make(pages: list[str] = TOWNS, name: str = "towns.pdf") -> Attachment:
        attachment = Attachment(name=name, pages=len(pages))
        attachment.file.save(name, ContentFile(make_pdf(tmp_path / name, pages).read_bytes()), save=False)
        return attachment

    return make


def check(text: str, *documents: Attachment, may_translate: bool = False) -> dict[str, Any]:
    return checked([message(text)], documents, may_translate)


class TestComparing:
    def test_a_statement_stands_on_its_page_or_does_not(self, document: Make) -> None:
        text = "Weavers left Winmarsta in 1721 (p. 1).\n\nThe mayor of Winmarsta burned a bridge (p. 1).\n\nIt ends here with nothing."
        assert check(text, document()) == {"compared": 2, "not_found": [1], "pictures": 0, "uncited": 1}

    def test_the_right_words_on_another_page_do_not_hold(self, document: Make) -> None:
        text = "The lighthouse of Stalinrin was never measured (p. 1). Weavers left the town of Winmarsta (p. 1)."
        assert check(text, document())["not_found"] == [0]

    def test_a_number_has_to_be_right(self, document: Make) -> None:
        text = "Forty weavers left the town of Winmarsta in 1722 (p. 1). 40 weavers left the town of Winmarsta (p. 1)."
        assert check(text, document())["not_found"] == [0]

    def test_a_sentence_may_go_on_behind_its_page_and_over_several(self, document: Make) -> None:
        text = "Falling prices followed a long war between brewers (p. 4). Weavers and miners of Winmarsta and Gorden (pp. 1–4)."
        assert check(text, document()) == {"compared": 2, "not_found": [], "pictures": 0, "uncited": 0}

    def test_a_page_that_does_not_exist_says_nothing(self, document: Make) -> None:
        text = "Weavers left the town of Winmarsta (p. 1). Miners of Gorden sold their foundry (p. 99999) (p. 0)."
        assert check(text, document())["not_found"] == [2]

    def test_what_a_picture_says_is_not_told(self, document: Make) -> None:
        text = "Weavers left the town of Winmarsta (p. 1). A drawing shows three angels (p. 3)."
        assert check(text, document()) == {"compared": 1, "not_found": [], "pictures": 1, "uncited": 0}

    def test_of_several_documents_the_one_that_is_named_counts(self, document: Make) -> None:
        both = document(), document(MAYORS, "mayors.pdf")
        text = (
            "The mayor of Denfelgor blessed an orchard (Mayors.pdf, p. 1). The mayor of Denfelgor blessed an orchard "
            "(towns.pdf, p. 1). The mayor of Denfelgor blessed an orchard (other.pdf, p. 1). "
            "The mayor of Denfelgor blessed an orchard (p. 1)."
        )
        assert check(text, *both)["not_found"] == [1, 2]

    def test_a_translation_cannot_be_compared_by_its_words(self, document: Make) -> None:
        text = "Vierzig Weber verließen die Stadt Winmarsta im Jahre 1721 (p. 1). Niemand vermaß den Leuchtturm (p. 2)."
        assert check(text, document(), may_translate=True) == {"uncited": 0, "unchecked": "translated"}

    def test_a_document_that_is_gone_says_so(self, document: Make) -> None:
        gone = document()
        gone.file.delete(save=False)
        assert check("Weavers left Winmarsta (p. 1).", gone) == {"uncited": 0, "unchecked": "unreadable"}

    def test_what_cites_nothing_reads_nothing(self, document: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pdf, "texts_of", lambda *args, **options: pytest.fail("read in vain"))
        assert check("It is about towns and weavers.", document()) == {"uncited": 1}

    def test_only_so_many_pages_are_read(self, document: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checking, "MOST_PAGES", 2)
        text = "Weavers left the town of Winmarsta (p. 1). Miners of Gorden sold their foundry (p. 4)."
        assert check(text, document()) == {"compared": 1, "not_found": [], "pictures": 1, "uncited": 0}


WORDS = "Weavers left Winmarsta in 1721 (p. 1).\n\n- The mayor burned a bridge (p. 2)\n- Gorden sold a foundry (p. 4)"


@pytest.mark.django_db(transaction=True)
async def test_a_summary_ends_with_what_does_not_hold_in_the_page_and_after_a_reload(
    upstream: Callable[..., Upstream], owner: User, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    compared = checking.checked

    def noted(*args: Any) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return compared(*args)

    monkeypatch.setattr(checking, "checked", noted)
    begun = asyncio.Event()
    upstream(Reply(events=text_events([WORDS[:20], WORDS[20:]]), gates={3: begun}))
    settings.MEDIA_ROOT = tmp_path / "media"
    content = make_pdf(tmp_path / "towns.pdf", TOWNS).read_bytes()
    paper = await sync_to_async(make_attachment)(
        owner, "towns.pdf", content, pages=5, text_pages=4, text_characters=200
    )
    asked = await sync_to_async(ask)(owner, None, Question("", uuid.uuid4(), [paper.pk], summary=Summary("short")))
    run.start(asked)
    watching = Watching(asked.turn)
    watching.tab.watch(hub.turns[asked.turn.pk])
    begun.set()
    await watching.until("1 of 3 cited statements was not found on its page.")
    await run.wait_for(asked.turn.pk)
    watching.task.cancel()
    await assert_equals_a_reload(watching)
    response = await Response.objects.aget()
    assert (response.status, response.text) == (Status.COMPLETED, WORDS)
    assert "not found" not in str(response.output)
    assert response.citations == {"compared": 3, "not_found": [1], "pictures": 0, "uncited": 0}
    turn = await Turn.objects.with_answers().aget()
    html = render_turn(await sync_to_async(turn_view)(turn))
    assert html.count('class="not-found"') == 1
    assert threads, "it was compared"
    assert threading.main_thread() not in threads
