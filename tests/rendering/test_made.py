"""Marks of what the model made, and what stands in their place."""

from __future__ import annotations

import pytest

from chat.models import Attachment
from chat.rendering.answer import picture_name, segments
from chat.rendering.made import MadeFiles, name_in, references_in
from chat.rendering.markdown import render_blocks

Status = Attachment.Status


def files(**fields: object) -> MadeFiles:
    given = {"status": Status.READY, "media_type": "image/png", "width": 4, "height": 3, **fields}
    return MadeFiles([Attachment(**given)], lambda attachment: "/there/")


@pytest.mark.parametrize(
    "item_id", ["ig_1", "ig/../1", "ig 1", "ig%2F1", "íg_1", 'a"><script>', "x" * 2000, "(ig)", "a\nb"]
)
def test_a_picture_is_found_whatever_its_item_is_called(item_id: str) -> None:
    item = {"type": "image_generation_call", "id": item_id, "status": "completed", "result": "made:x"}
    [block] = render_blocks(segments([item])[0].text)
    shown = files(made_as=picture_name(item), name="image.png").in_place(block)
    assert shown.startswith('<p><a class="made-open" href="/there/"'), block
    assert '<img class="made-image" src="/there/" alt="Generated image" width="4" height="3"' in shown
    assert "<script" not in shown


def test_names_are_read_out_of_links_as_they_were_cleaned() -> None:
    blocks = render_blocks("[a](sandbox:/mnt/data/a%20b.csv) ![c](<sandbox:/mnt/data/sub/c d.png>) [e](made:ig_1)")
    assert [name_in(reference) for reference in references_in(blocks)] == ["a b.csv", "c d.png", ""]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, '<a class="made-link" href="/there/?download" download><em>my</em> file</a>'),
        ({"status": Status.REFUSED}, '<span class="made-gone"><em>my</em> file (this file is gone)</span>'),
        ({"name": "other.csv"}, '<span class="made-gone"><em>my</em> file (this file is gone)</span>'),
    ],
)
def test_a_link_leads_to_our_copy_or_says_that_there_is_none(fields: dict[str, object], shown: str) -> None:
    [block] = render_blocks("[*my* file](sandbox:/mnt/data/a.csv)")
    assert files(**{"name": "a.csv", "media_type": "text/csv", **fields}).in_place(block) == f"<p>{shown}</p>"


def test_what_is_being_fetched_stays_a_mark_and_the_rest_of_the_text_is_left_alone() -> None:
    blocks = render_blocks("[a](sandbox:/mnt/data/a.csv)\n\n`data-made=` [b](https://b.example)")
    waiting = files(name="a.csv", status=Status.CHECKING)
    assert tuple(map(waiting.in_place, blocks)) == blocks


def test_a_file_that_is_no_picture_is_a_link_where_a_picture_was_meant() -> None:
    [block] = render_blocks("![the data](sandbox:/mnt/data/a.svg)")
    shown = files(name="a.svg", media_type="application/xml").in_place(block)
    assert shown == '<p><a class="made-link" href="/there/?download" download>the data</a></p>'
