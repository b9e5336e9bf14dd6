"""A mould, filled, is what the template makes of the same values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from chat.rendering.moulds import filled, stand_in
from chat.rendering.views import ConversationItem, FootView, ResponseView, TurnView, render_turn
from tests.rendering.test_safety import HOSTILE

ITEM = ConversationItem(id="1", title="A title", url="/c/1/")


def item_html(item: ConversationItem) -> str:
    moulded = replace(item, title=stand_in("title"))
    return filled("chat/_conversation_item.html", {"title": item.title}, item=moulded)


@pytest.mark.parametrize(
    "title",
    ["Plain", "", "{{ item.id }}", str(stand_in("title")), "\\1 \\g<0>", "<b>&\"'"],
    ids=["plain", "empty", "template", "stand-in", "pattern", "markup"],
)
def test_each_value_is_escaped_as_the_template_would(title: str) -> None:
    item = replace(ITEM, title=title)
    assert item_html(item) == render_to_string("chat/_conversation_item.html", {"item": item})


def test_what_is_no_stand_in_makes_another_mould() -> None:
    assert 'aria-current="page"' not in item_html(ITEM)
    assert 'aria-current="page"' in item_html(replace(ITEM, is_current=True))
    assert 'aria-current="page"' not in item_html(ITEM)


def test_safe_html_stays_as_it_is() -> None:
    html = filled(
        "chat/_conversation_item.html", {"title": SafeString("<i>")}, item=replace(ITEM, title=stand_in("title"))
    )
    assert "<i>" in html


def test_a_stand_in_without_its_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("chat/_conversation_item.html", {}, item=replace(ITEM, title=stand_in("title")))


@pytest.mark.parametrize("question", [*HOSTILE, ""])
@pytest.mark.parametrize("html", ["", "<p>One</p>"])
def test_a_turn_that_is_just_asked_is_what_its_template_makes_of_it(question: str, html: str) -> None:
    view = TurnView(
        pk=7_000_000,
        question=question,
        answered_by="<The> model",
        foot=FootView(7_000_000, True, "in_progress"),
        responses=[ResponseView(SafeString(html)), ResponseView(SafeString("<hr>"))] if html else [],
    )
    assert render_turn(view) == render_to_string("chat/_turn.html", {"turn": view})
