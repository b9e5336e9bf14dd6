"""The main job, once through: for the embedded engine, and for providers on a port that only speak the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.files.makers import make_image
from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.engines import Engine
from tests.journeys.tab import PROSE, Tab, prose

pytestmark = pytest.mark.journey

USAGE = re.compile(r"^[\d,]+ tokens in, [\d,]+ out$")
RESPONSE_ID = re.compile(r"resp_\w{8,}")


@dataclass
class Story:
    """What the reviewer will look for."""

    first: str = ""
    with_files: str = ""
    summary: str = ""


@pytest.mark.parametrize("provider", ["embedded", "openai", "ofox"])
def test_a_person_chats_with_files_and_the_reviewer_reads_all_of_it(
    provider: str,
    paper: Path,
    tmp_path: Path,
    start_engine: Callable[..., Engine],
    start_server: Callable[..., Server],
    browser: Browser,
) -> None:
    engine = None if provider == "embedded" else start_engine(provider)
    server = start_server(**(engine.variables() if engine else {}))
    tab = Tab.enter(browser.page(), server.signin_link("alice"))
    story = Story()
    sees_the_answer_grow(tab, story)
    reloads_in_mid_stream(tab)
    stops_and_tries_again(tab)
    attaches_by_button_drop_and_paste(tab, paper, make_image(tmp_path / "shore.png", size=(48, 36)))
    gets_a_summary_and_asks_on(tab, story)
    renames_deletes_and_undoes(tab, story)
    tab.sign_out()
    reviewer = Tab.enter(browser.page(), server.admin_link)
    reads_all_of_it(reviewer, server, story, keeps_state=provider == "openai")
    if engine is not None:
        assert engine.keeps_state() == (provider == "openai"), "the premise: one provider of each kind"


def sees_the_answer_grow(tab: Tab, story: Story) -> None:
    tab.sample_growth()
    question = prose(700)
    answer = tab.ask(question)
    lengths = tab.growth()
    assert PROSE[:650] in answer
    assert len(lengths) >= 5, lengths
    assert lengths == sorted(lengths), "text that was there went away"
    assert len(tab.frames) >= 5
    expect(tab.last.locator(".foot__usage")).to_have_text(USAGE)
    story.first = tab.conversation_id
    # The title comes from the model, after the answer.
    expect(tab.title).not_to_have_text("New chat")
    expect(tab.in_list(story.first)).to_contain_text(tab.title.inner_text())


def reloads_in_mid_stream(tab: Tab) -> None:
    tab.begin(prose(1800))
    before = tab.wait_for_text(250)
    tab.page.reload()
    after = tab.wait_for_text(len(before))
    assert after.startswith(before), "what was seen before the reload is not there after it"
    final = tab.finished()
    assert final.startswith(after)
    assert len(final) > len(after), "the answer was over before it could be seen to go on"
    assert PROSE[:1700] in final


def stops_and_tries_again(tab: Tab) -> None:
    tab.begin(prose(1000))
    seen = tab.wait_for_text(200)
    kept = tab.stop()
    assert kept.startswith(seen)
    assert PROSE[800:950] not in kept
    expect(tab.last.locator(".problem")).to_contain_text("You stopped this answer.")
    turns = tab.turns.count()
    tab.page.reload()
    assert tab.finished("cancelled") == kept
    tab.last.get_by_role("button", name="Try again").click()
    assert PROSE[800:950] in tab.finished()
    expect(tab.turns).to_have_count(turns)


def attaches_by_button_drop_and_paste(tab: Tab, paper: Path, picture: Path) -> None:
    tab.new_chat()
    tab.attach(paper)
    chip = tab.chips.nth(0)
    expect(chip.locator("[data-chip-detail]")).to_have_text(re.compile(r"^\d+ kB, 10 pages$"))
    expect(chip).to_contain_text("struggle.pdf")
    tab.drop(paper.rename(paper.with_name("dropped.pdf")), "application/pdf")
    expect(tab.chips.nth(1)).to_contain_text("10 pages")
    expect(tab.chips.nth(1)).to_contain_text("dropped.pdf")
    tab.paste_image(picture)
    expect(tab.chips.nth(2)).to_contain_text("48 × 36")
    expect(tab.chips.nth(2)).to_contain_text("Pasted")
    for index in range(3):
        thumbnail = tab.chips.nth(index).locator("img")
        expect(thumbnail).to_be_visible()
        assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    tab.chips.nth(1).get_by_role("button", name="Remove dropped.pdf").click()
    expect(tab.chips).to_have_count(2)


def gets_a_summary_and_asks_on(tab: Tab, story: Story) -> None:
    story.summary = tab.ask("Summarize this PDF")
    expect(tab.last.locator(".question .chip")).to_have_count(2)
    pages = set(re.findall(r"p\. ?(\d+)", story.summary))
    assert len(pages) >= 2, story.summary
    assert pages <= {str(number) for number in range(1, 11)}
    sentences = [sentence for sentence in PROSE.split(". ") if len(sentence) > 40 and sentence in story.summary]
    assert len(sentences) >= 2, "the summary holds no sentences of the paper"
    story.with_files = tab.conversation_id
    assert "Summarize this PDF" in tab.ask("What was my first question?")
    expect(tab.last.locator(".foot__usage")).to_have_text(USAGE)


def renames_deletes_and_undoes(tab: Tab, story: Story) -> None:
    line = tab.in_list(story.with_files)
    tab.choose(story.with_files, "Rename")
    name = line.get_by_role("textbox", name="Title")
    expect(name).to_be_focused()
    name.fill("The struggle, in short")
    name.press("Enter")
    expect(line.get_by_role("link")).to_have_text("The struggle, in short")
    expect(tab.title).to_have_text("The struggle, in short")
    expect(tab.page).to_have_title("The struggle, in short")
    tab.choose(story.with_files, "Delete")
    expect(line).to_have_count(0)
    expect(tab.page.locator("#welcome")).to_be_visible()
    tab.page.get_by_role("button", name="Undo").click()
    expect(line).to_have_count(1)
    expect(tab.turns).to_have_count(2)
    expect(tab.title).to_have_text("The struggle, in short")


def reads_all_of_it(tab: Tab, server: Server, story: Story, *, keeps_state: bool) -> None:
    page = tab.page
    page.locator(".sidebar__foot summary").click()
    page.get_by_role("link", name="Review and settings").click()
    page.get_by_role("link", name="Conversations", exact=True).first.click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="The struggle, in short")).to_contain_text("alice")
    # A word of the summary alone: no question holds it.
    word = next(word for word in re.findall(r"[a-z]{9,}", story.summary) if word not in PROSE[:1800])
    page.get_by_role("textbox", name="Search").or_(page.locator("#searchbar")).first.fill(word)
    page.locator("#searchbar").press("Enter")
    expect(rows).to_have_count(1)
    rows.get_by_role("link", name="The struggle, in short").click()
    transcript = page.locator(".transcript")
    expect(transcript.locator(".transcript__turn")).to_have_count(2)
    first, second = transcript.locator(".transcript__turn").all()
    expect(first).to_contain_text("Summarize this PDF")
    assert " ".join((first.locator(".answer").text_content() or "").split()) == story.summary
    expect(first.locator(".chip")).to_have_count(2)
    expect(first.locator(".chip", has_text="struggle.pdf")).to_contain_text("10 pages")
    expect(first.locator("summary").first).to_contain_text(RESPONSE_ID)
    expect(second.locator("summary").first).to_contain_text(RESPONSE_ID)
    assert page.locator("input[name=_save], .deletelink").count() == 0, "a transcript can be edited"
    if keeps_state:
        second.locator("details.record summary").click()
        before = first.locator("details.record summary code").inner_text()
        expect(second.locator("details.record")).to_contain_text(before)
    address = first.locator(".chip__link").first.get_attribute("href")
    file = page.request.get(server.url + str(address))
    assert file.status == 200
    assert file.body().startswith(b"%PDF")
