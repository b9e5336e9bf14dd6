"""Loaded rows → what the fragments print. Never queries: prefetch with `with_answers()` first.

Each dataclass is the contract of one template in `templates/chat/` and holds nothing that it does not print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from chat.files import estimate, portions
from chat.files.kinds import PDF
from chat.files.serving import SHOWN_TYPES
from chat.files.tables import is_table
from chat.models import Attachment, Deployment, Response, Status, Turn, prices
from chat.rendering.answer import marked_blocks, response_html, segments
from chat.rendering.cited import verdict_on
from chat.rendering.live import StoredResponse
from chat.rendering.made import files_of, is_picture, is_there, person_address
from chat.rendering.moulds import filled, stand_in
from chat.responses.dialects import DIALECTS

STATUS_SENTENCES = {
    Status.INCOMPLETE: "The answer was cut off by the provider.",
    Status.FAILED: "The answer failed.",
    Status.CANCELLED: "You stopped this answer.",
    Status.INTERRUPTED: "The answer was interrupted. What had arrived is kept.",
}
EMPTY_SENTENCES = {
    **STATUS_SENTENCES,
    Status.COMPLETED: "The model gave no answer.",
    Status.INTERRUPTED: "The answer was interrupted before its first word.",
}
# What a completed answer may end with that somebody would have to do or show, and nobody here does.
UNMET_SENTENCES = {
    "function_call": "The model asked for a tool that is not available here.",
    "custom_tool_call": "The model asked for a tool that is not available here.",
    "computer_call": "The model asked for a tool that is not available here.",
    "mcp_approval_request": "The model asked for an approval, which cannot be given here.",
}


@dataclass(frozen=True)
class ChipView:
    """`_chip.html` and `_attachment.html`: a file."""

    id: str
    name: str
    status: str
    detail: str
    url: str
    slice_url: str
    thumbnail_url: str
    size: int
    received: int
    preview_url: str = ""  # "" for what cannot be shown
    pages: int = 0
    is_forgotten: bool = False
    excerpt_url: str = ""  # where some pages of a long one can be chosen
    summary_url: str = ""  # where its summary can be asked for, with that of others beside it


@dataclass(frozen=True)
class MadeView:
    """`_made.html`: a file that the model made, under its answer. A picture that the answer shows has no `picture_url`."""

    id: str
    name: str
    status: str
    detail: str
    download_url: str
    preview_url: str = ""  # of a PDF; pictures and tables show by themselves
    thumbnail_url: str = ""
    picture_url: str = ""
    table_url: str = ""
    alt: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class FootView:
    """`_foot.html`: the end of a turn. `problem` is a sentence or "", and so is `note`, of a turn that still runs."""

    turn_id: int
    is_live: bool
    status: str
    problem: str = ""
    retry_url: str = ""
    continue_url: str = ""
    note: str = ""
    has_text: bool = False
    usage: str = ""
    usage_detail: str = ""
    model: str = ""
    checked: str = ""  # what came of the check of a summary
    is_doubtful: bool = False
    made: Sequence[MadeView] = ()
    made_url: str = ""  # to be asked while something is still being fetched
    readonly: bool = False
    is_new: bool = False
    oob: bool = False


@dataclass(frozen=True)
class ResponseView:
    html: SafeString


@dataclass(frozen=True)
class TurnView:
    """`_turn.html`: a question and its answer."""

    pk: int
    question: str
    answered_by: str
    foot: FootView
    attachments: Sequence[ChipView] = ()
    responses: Sequence[ResponseView] = ()
    oob: str = ""


@dataclass(frozen=True)
class ToastView:
    """`_toast.html`"""

    text: str
    action: str = ""
    action_url: str = ""


@dataclass(frozen=True)
class Usage:
    """Tokens of all responses of a turn, and what they cost in words: "" where that is not known."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cost: str = ""

    def sentence(self) -> str:
        if not self.input and not self.output:
            return ""
        return ", ".join(filter(None, [f"{self.input:,} tokens in, {self.output:,} out", self.cost]))

    def detail(self) -> str:
        parts = [f"{self.input + self.output:,} tokens in all"]
        if self.cached:
            parts.append(f"{self.cached:,} of the input from the cache")
        if self.reasoning:
            parts.append(f"{self.reasoning:,} of the output for reasoning")
        return ", ".join(parts)


def usage_of(responses: Sequence[Response]) -> Usage:
    rows = [response.usage for response in responses if isinstance(response.usage, dict)]
    return Usage(
        input=sum(_tokens(row, "input_tokens") for row in rows),
        output=sum(_tokens(row, "output_tokens") for row in rows),
        cached=sum(_tokens(row.get("input_tokens_details"), "cached_tokens") for row in rows),
        reasoning=sum(_tokens(row.get("output_tokens_details"), "reasoning_tokens") for row in rows),
        cost=cost_of(responses),
    )


def _tokens(row: Any, name: str) -> int:
    value = row.get(name) if isinstance(row, dict) else None
    return value if isinstance(value, int) else 0


def cost_of(responses: Sequence[Response]) -> str:
    """What all of them cost, as far as it is known."""
    costs = [response.cost for response in responses if response.cost is not None]
    unknown = any(response.has_tokens and response.cost is None for response in responses)
    return prices.total(sum(costs, Decimal()) if costs else None, is_whole=not unknown)


def foot_view(turn: Turn, *, readonly: bool = False, is_new: bool = False, oob: bool = False) -> FootView:
    if turn.is_live:
        return FootView(turn.pk, True, turn.status, readonly=readonly, oob=oob)
    responses = list(turn.responses.all())
    last = responses[-1] if responses else None
    problem = problem_of(turn, last)
    usage = usage_of(responses)
    is_last = turn.conversation.head_id == turn.pk
    verdict = verdict_on(responses)
    made = made_views(responses)
    left = count_left(made)
    return FootView(
        turn_id=turn.pk,
        is_live=False,
        status=turn.status,
        problem=problem,
        retry_url=reverse("retry", args=[turn.pk]) if problem and is_last else "",
        continue_url=reverse("go_on", args=[turn.pk, last.pk]) if last and is_last and turn.can_go_on else "",
        has_text=any(response.text for response in responses),
        usage=usage.sentence(),
        usage_detail=usage.detail(),
        model=(last.model if last else "") or (turn.deployment.name if turn.deployment else ""),
        checked=verdict.words,
        is_doubtful=verdict.is_doubt,
        made=made,
        made_url=f"{reverse('made', args=[turn.pk])}?left={left}" if left else "",
        readonly=readonly,
        is_new=is_new,
        oob=oob,
    )


def made_views(responses: Iterable[Response]) -> list[MadeView]:
    """What the responses of a turn made, in the order in which they did."""
    found: list[MadeView] = []
    for response in responses:
        files = files_of(response)
        if files is not None and files.all:
            embedded = files.embedded_in(marked_blocks(response).values())
            found += [_made_view(file, is_embedded=file.made_as in embedded) for file in files.all]
    return found


def _made_view(attachment: Attachment, *, is_embedded: bool) -> MadeView:
    url = person_address(attachment)
    chip = chip_view(attachment)
    is_fetched = attachment.status != Attachment.Status.CHECKING
    return MadeView(
        id=chip.id,
        name=chip.name,
        status="gone" if chip.is_forgotten else chip.status,
        detail=chip.detail if is_fetched else f"Fetching {attachment.name}…",
        download_url=f"{url}?download" if is_there(attachment) else "",
        preview_url=chip.preview_url if attachment.media_type == PDF else "",
        thumbnail_url=chip.thumbnail_url if is_there(attachment) else "",
        picture_url=url if is_picture(attachment) and not is_embedded else "",
        table_url=reverse("file_table", args=[attachment.pk]) if is_there(attachment) and is_table(attachment) else "",
        alt=attachment.title or attachment.name,
        width=attachment.width or 0,
        height=attachment.height or 0,
    )


def count_left(made: Iterable[MadeView]) -> int:
    """How many are still being fetched."""
    return sum(file.status == Attachment.Status.CHECKING for file in made)


def problem_of(turn: Turn, last: Response | None) -> str:
    """The sentence under an answer that is not complete."""
    error = last.error if last is not None and isinstance(last.error, dict) else {}
    if turn.status in (Status.FAILED, Status.INCOMPLETE) and error.get("message"):
        return str(error["message"])
    if turn.status == Status.COMPLETED and (unmet := _unmet(last)):
        return unmet
    shown = [segment for response in turn.responses.all() for segment in segments(response.output or [])]
    if not any(segment.text.strip() for segment in shown if segment.kind in ("text", "refusal", "image")):
        return EMPTY_SENTENCES.get(Status(turn.status), "")
    return STATUS_SENTENCES.get(Status(turn.status), "")


def _unmet(last: Response | None) -> str:
    """What the last item waits for in vain; "" for words, and for what is done."""
    output = last.output if last is not None and isinstance(last.output, list) else []
    item = output[-1] if output and isinstance(output[-1], dict) else {}
    return UNMET_SENTENCES.get(str(item.get("type")), "")


def stored_responses(responses: Iterable[Response]) -> tuple[StoredResponse, ...]:
    """The responses that a turn had before the one that runs."""
    return tuple(StoredResponse(response.pk, response_html(response)) for response in responses)


def turn_view(turn: Turn, *, readonly: bool = False) -> TurnView:
    return _turn_view(turn, turn.attachments.all(), turn.responses.all(), readonly=readonly)


def new_turn_view(turn: Turn, attachments: Iterable[Attachment], response: Response) -> TurnView:
    """Of a turn that has just been stored, by those who have its rows: nothing is read."""
    return _turn_view(turn, attachments, [response])


def _turn_view(
    turn: Turn, attachments: Iterable[Attachment], responses: Iterable[Response], *, readonly: bool = False
) -> TurnView:
    deployment = turn.deployment
    responses = list(responses)
    inputs = (item for response in responses for item in response.input or [])
    by_parts = turn.summary is not None and any(map(portions.stand_in, inputs))
    return TurnView(
        pk=turn.pk,
        question=turn.question,
        answered_by=str(deployment) if deployment else "The model",
        foot=foot_view(turn, readonly=readonly),
        attachments=[_sent_chip(attachment, deployment, by_parts=by_parts) for attachment in attachments],
        responses=[ResponseView(response_html(response)) for response in responses],
    )


def _sent_chip(attachment: Attachment, deployment: Deployment | None, *, by_parts: bool) -> ChipView:
    """As a question shows it, which also says when the model was given less than the file."""
    chip = chip_view(attachment)
    if by_parts and attachment.media_type == PDF and attachment.text_characters and not chip.is_forgotten:
        return replace(chip, detail=f"{chip.detail}, read by parts")
    if attachment.media_type != PDF or chip.is_forgotten or _takes_pdfs(deployment):
        return chip
    return replace(chip, detail=f"{chip.detail}, only its text was sent")


def _takes_pdfs(deployment: Deployment | None) -> bool:
    if deployment is None:
        return True
    try:
        return DIALECTS[deployment.provider.dialect].with_overrides(deployment.provider.capabilities or {}).pdf_input
    except (KeyError, ValueError):  # a dialect or an override that there is not any more
        return True


def chip_view(attachment: Attachment) -> ChipView:
    shown = can_be_shown(attachment)
    return ChipView(
        id=str(attachment.pk),
        name=attachment.name,
        status=attachment.status,
        detail=chip_detail(attachment),
        url=reverse("file", args=[attachment.pk]),
        slice_url=reverse("file_slice", args=[attachment.pk]),
        thumbnail_url=reverse("file_thumbnail", args=[attachment.pk]) if attachment.thumbnail else "",
        size=attachment.size,
        received=attachment.received,
        preview_url=reverse("file_preview", args=[attachment.pk]) if shown else "",
        pages=attachment.pages or 0,
        is_forgotten=attachment.forgotten_at is not None,
        excerpt_url=reverse("file_excerpt", args=[attachment.pk]) if shown and _is_long(attachment) else "",
        summary_url=reverse("summary") if shown and attachment.media_type == PDF else "",
    )


def _is_long(attachment: Attachment) -> bool:
    return (attachment.pages or 0) > 1 and estimate.tokens(attachment) >= estimate.MANY_TOKENS


def can_be_shown(attachment: Attachment) -> bool:
    """Whether the preview shows it: a PDF, a picture or a table, that is there."""
    return is_there(attachment) and (attachment.media_type in SHOWN_TYPES or is_table(attachment))


def chip_detail(attachment: Attachment) -> str:
    if attachment.forgotten_at is not None:
        return "deleted"
    if attachment.status == Attachment.Status.REFUSED:
        return attachment.refusal
    if attachment.status != Attachment.Status.READY:
        return attachment.get_status_display()
    parts = [file_size(attachment.size)]
    if attachment.pages:
        parts.append(f"{attachment.pages} page{'' if attachment.pages == 1 else 's'}")
        if attachment.text_pages == 0:
            parts.append("scan, no text")
        if (tokens := estimate.tokens(attachment)) >= estimate.MANY_TOKENS:
            parts.append(estimate.in_words(tokens))
    elif attachment.width and attachment.height:
        parts.append(f"{attachment.width} × {attachment.height}")
    return ", ".join(parts)


def file_size(size: int) -> str:
    if size < 1024:
        return f"{size} bytes"
    if size < 1023.5 * 1024:  # above, it would read "1024 kB"
        return f"{size / 1024:.0f} kB"
    return f"{size / 1024 / 1024:.1f} MB"


def render_turn(view: TurnView) -> SafeString:
    if not is_just_asked(view):
        return render_to_string("chat/_turn.html", {"turn": view})
    moulded, values = mould_of_turn(view)
    return filled("chat/_turn.html", values, turn=moulded)


def is_just_asked(view: TurnView) -> bool:
    """Whether there is little about it yet: it is being answered, and has no files."""
    return view.foot.is_live and not view.attachments


def mould_of_turn(view: TurnView) -> tuple[TurnView, dict[str, object]]:
    """One that is just asked, as stand-ins and what they stand for."""
    pk: Any = stand_in("turn")
    moulded = TurnView(
        pk=pk,
        question=stand_in("question") if view.question else "",
        answered_by=stand_in("model"),
        foot=replace(view.foot, turn_id=pk),
        responses=(ResponseView(stand_in("answer")),),
        oob=view.oob,
    )
    return moulded, {
        "turn": view.pk,
        "question": view.question,
        "model": view.answered_by,
        "answer": SafeString("".join(response.html for response in view.responses)),
    }


def render_foot(view: FootView) -> SafeString:
    return render_to_string("chat/_foot.html", {"foot": view})


@dataclass(frozen=True)
class ConversationItem:
    """`_conversation_item.html`: a line of the sidebar."""

    id: str
    title: str
    url: str
    is_current: bool = False


@dataclass(frozen=True)
class ConversationGroup:
    """`today` is the day itself, of the group that a new conversation is put into."""

    label: str
    today: str = ""
    items: list[ConversationItem] = field(default_factory=list)


@dataclass(frozen=True)
class ConversationList:
    """`_conversations.html`. A continuation begins under the heading that the page before ended with."""

    groups: Sequence[ConversationGroup]
    next_url: str = ""
    is_continuation: bool = False
