"""One conversation, as its owner saw it: the path to its head, and beside it the versions that were left.

Reading the order of all turns takes ids only; what is loaded and rendered is the page that is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString

from chat.admin.figures import Figures, figures_of
from chat.models import Attachment, Conversation, Response, Status, Turn, prices
from chat.rendering.answer import parts_of, response_html
from chat.rendering.cited import verdict_on
from chat.rendering.views import ChipView, chip_detail, cost_of, problem_of

TURNS_PER_PAGE = 50
PROBLEMS = (Status.FAILED, Status.INTERRUPTED, Status.INCOMPLETE)


@dataclass(frozen=True)
class Place:
    """A turn's place in the order of reading. `version` of `versions` counts those that answer the same turn."""

    turn_id: int
    on_path: bool
    version: int
    versions: int


@dataclass(frozen=True)
class ItemView:
    """An output item in a line: what it is, its id, and what there is of it. `is_sealed`: nothing that can be read."""

    kind: str
    id: str
    note: str
    is_sealed: bool


@dataclass(frozen=True)
class ResponseView:
    """`_response.html`: what came of one call, and its record."""

    pk: int
    html: SafeString
    made: Sequence[ChipView]
    items: Sequence[ItemView]
    status: str
    is_problem: bool
    response_id: str
    previous_response_id: str
    previous_url: str
    provider: str
    model: str
    request_id: str
    tokens: str
    usage: Sequence[tuple[str, int]]
    cost: str  # with all its digits, so that it can be checked
    error: str
    created_at: datetime
    finished_at: datetime | None
    duration: timedelta | None

    @property
    def has_sealed_reasoning(self) -> bool:
        return any(item.is_sealed and item.kind == "reasoning" for item in self.items)


@dataclass(frozen=True)
class TurnView:
    """`_turn.html`: a question and all that answered it. `problem` is the sentence that the person saw."""

    pk: int
    question: str
    attachments: Sequence[ChipView]
    responses: Sequence[ResponseView]
    answered_by: str
    status: str
    cost: str
    problem: str
    checked: str
    created_at: datetime
    version: int
    versions: int
    is_sought: bool


@dataclass(frozen=True)
class Group:
    """Neighbours in the order of reading, all on the path or all beside it."""

    on_path: bool
    turns: Sequence[TurnView]

    @property
    def is_open(self) -> bool:
        return self.on_path or any(turn.is_sought for turn in self.turns)


@dataclass(frozen=True)
class Page:
    """`transcript.html`"""

    conversation: Conversation
    figures: Figures
    groups: Sequence[Group]
    number: int
    pages: int
    may_open_files: bool
    trace_url: str

    @property
    def earlier(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def later(self) -> int | None:
        return self.number + 1 if self.number < self.pages else None

    @property
    def trace(self) -> str:
        """What the trace says of a look at this page."""
        return f"page {self.number} of {self.pages}" if self.pages > 1 else ""


def page_of(
    conversation: Conversation,
    *,
    number: str = "",
    turn: str = "",
    response_id: str = "",
    may_open_files: bool,
    may_see_trace: bool,
) -> Page:
    """The page with this number, or with this turn or response on it. What is not there gives the first page."""
    edges = list(Turn.objects.filter(conversation=conversation).order_by("pk").values_list("pk", "parent_id"))
    places = reading_order(edges, conversation.head_id)
    sought = _sought_turn(conversation, turn, response_id)
    pages = max(1, -(-len(places) // TURNS_PER_PAGE))
    current = _page_with(places, sought) or _page_number(number, pages)
    shown = places[(current - 1) * TURNS_PER_PAGE : current * TURNS_PER_PAGE]
    loader = _Loader(conversation, places, may_open_files, sought)
    return Page(
        conversation=conversation,
        figures=figures_of([conversation.pk])[conversation.pk],
        groups=loader.groups(shown),
        number=current,
        pages=pages,
        may_open_files=may_open_files,
        trace_url=_trace_url(conversation) if may_see_trace else "",
    )


def reading_order(edges: Sequence[tuple[int, int | None]], head_id: int | None) -> list[Place]:
    """The path to the head; after each of its turns, whole, the versions that it replaced and what followed them.

    `edges` are (turn, parent), the older first. Without a head, the newest turn stands for it. Nothing recurses:
    a conversation may be thousands of turns deep.
    """
    parents = dict(edges)
    children: dict[int | None, list[int]] = defaultdict(list)
    for turn_id, parent_id in edges:
        children[parent_id if parent_id in parents else None].append(turn_id)
    path = _path(parents, head_id if head_id in parents else max(parents, default=None))
    order: list[int] = []
    current: int | None = None
    while siblings := children[current]:
        chosen = [turn_id for turn_id in siblings if turn_id in path]
        order += chosen
        order += _beside(children, [turn_id for turn_id in siblings if turn_id not in path])
        if not chosen:
            break
        current = chosen[0]
    versions = {
        turn_id: (number, len(siblings))
        for siblings in children.values()
        for number, turn_id in enumerate(siblings, start=1)
    }
    return [Place(turn_id, turn_id in path, *versions[turn_id]) for turn_id in order]


def _path(parents: dict[int, int | None], turn_id: int | None) -> set[int]:
    path: set[int] = set()
    while turn_id is not None and turn_id in parents and turn_id not in path:
        path.add(turn_id)
        turn_id = parents[turn_id]
    return path


def _beside(children: dict[int | None, list[int]], roots: list[int]) -> Iterator[int]:
    waiting = roots[::-1]
    while waiting:
        turn_id = waiting.pop()
        yield turn_id
        waiting.extend(reversed(children[turn_id]))


def _sought_turn(conversation: Conversation, turn: str, response_id: str) -> int | None:
    if turn.isascii() and turn.isdigit():
        return int(turn)
    if response_id:
        found = Response.objects.filter(turn__conversation=conversation, response_id=response_id)
        return found.order_by("pk").values_list("turn_id", flat=True).first()
    return None


def _page_with(places: Sequence[Place], turn_id: int | None) -> int | None:
    if turn_id is None:
        return None
    index = next((index for index, place in enumerate(places) if place.turn_id == turn_id), None)
    return None if index is None else index // TURNS_PER_PAGE + 1


def _page_number(text: str, pages: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return 1
    return min(max(int(text), 1), pages)


def _trace_url(conversation: Conversation) -> str:
    return f"{reverse('admin:chat_reviewevent_changelist')}?q={conversation.pk}"


class _Loader:
    """The rows of one page, in a fixed number of queries, as what the templates print."""

    def __init__(
        self, conversation: Conversation, places: Sequence[Place], may_open_files: bool, sought: int | None
    ) -> None:
        self.conversation = conversation
        self.places = places
        self.may_open_files = may_open_files
        self.sought = sought
        self.links: dict[str, str] = {}

    def groups(self, shown: Sequence[Place]) -> list[Group]:
        turns = Turn.objects.with_answers().in_bulk([place.turn_id for place in shown])
        self.links = self._links_to(
            {
                response.previous_response_id
                for turn in turns.values()
                for response in turn.responses.all()
                if response.previous_response_id
            }
        )
        return [
            Group(on_path, [self._turn(turns[place.turn_id], place) for place in places])
            for on_path, places in groupby(shown, key=lambda place: place.on_path)
        ]

    def _links_to(self, response_ids: set[str]) -> dict[str, str]:
        rows = Response.objects.filter(turn__conversation=self.conversation, response_id__in=response_ids)
        return {
            response_id: f"?page={_page_with(self.places, turn_id) or 1}#response-{pk}"
            for pk, response_id, turn_id in rows.order_by().values_list("pk", "response_id", "turn_id")
        }

    def _turn(self, turn: Turn, place: Place) -> TurnView:
        responses = list(turn.responses.all())
        return TurnView(
            pk=turn.pk,
            question=turn.question,
            attachments=[self._chip(attachment) for attachment in turn.attachments.all()],
            responses=[self._response(response) for response in responses],
            answered_by=str(turn.deployment) if turn.deployment else "The model",
            status=turn.get_status_display(),
            cost=cost_of(responses),
            problem=problem_of(turn, responses[-1] if responses else None),
            checked=verdict_on(responses).words,
            created_at=turn.created_at,
            version=place.version,
            versions=place.versions,
            is_sought=turn.pk == self.sought,
        )

    def _chip(self, attachment: Attachment) -> ChipView:
        where = [self.conversation.pk, attachment.pk]
        has_picture = self.may_open_files and bool(attachment.thumbnail)
        return ChipView(
            id=str(attachment.pk),
            name=attachment.name,
            status=attachment.status,
            detail=chip_detail(attachment),
            url=reverse("admin:chat_conversation_file", args=where),
            slice_url="",
            thumbnail_url=reverse("admin:chat_conversation_thumbnail", args=where) if has_picture else "",
            size=attachment.size,
            received=attachment.received,
            is_forgotten=attachment.forgotten_at is not None,
        )

    def _address_of(self, attachment: Attachment) -> str:
        where = [self.conversation.pk, attachment.pk]
        return reverse("admin:chat_conversation_file", args=where) if self.may_open_files else ""

    def _picture_of(self, attachment: Attachment) -> str:
        """A small one: what is opened at its full size leaves a trace."""
        return reverse("admin:chat_conversation_thumbnail", args=[self.conversation.pk, attachment.pk])

    def _response(self, response: Response) -> ResponseView:
        return ResponseView(
            pk=response.pk,
            html=response_html(response, self._address_of, self._picture_of),
            made=[self._chip(attachment) for attachment in response.made.all()],
            items=[item_view(item) for item in response.output or [] if isinstance(item, dict)],
            status=response.get_status_display(),
            is_problem=response.status in PROBLEMS,
            response_id=response.response_id,
            previous_response_id=response.previous_response_id,
            previous_url=self.links.get(response.previous_response_id, ""),
            provider=response.provider_name,
            model=response.model,
            request_id=response.request_id,
            tokens=tokens_of(response),
            usage=list(usage_rows(response.usage)),
            cost="" if response.cost is None else prices.in_full(response.cost),
            error=error_text(response.error),
            created_at=response.created_at,
            finished_at=response.finished_at,
            duration=response.finished_at - response.created_at if response.finished_at else None,
        )


def item_view(item: dict[str, Any]) -> ItemView:
    """What the provider encrypted is of use to nobody here: it is named, and never printed."""
    is_encrypted = bool(item.get("encrypted_content"))
    is_readable = any(part.get("text") for name in ("summary", "content") for part in parts_of(item, name))
    notes = [
        str(item.get("name") or ""),
        "summary" if any(part.get("text") for part in parts_of(item, "summary")) else "",
        "[encrypted]" if is_encrypted else "",
    ]
    return ItemView(
        kind=str(item.get("type") or "item").replace("_", " "),
        id=str(item.get("id") or ""),
        note=", ".join(filter(None, notes)),
        is_sealed=is_encrypted and not is_readable,
    )


def tokens_of(response: Response) -> str:
    if not response.has_tokens:
        return ""
    counts = f"{response.input_tokens or 0:,} in, {response.output_tokens or 0:,} out"
    return counts if response.cost is None else f"{counts}, {prices.money(response.cost)}"


def usage_rows(usage: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """All figures of a usage object in words, also those that nobody has heard of yet."""
    if not isinstance(usage, dict):
        return
    for name, value in usage.items():
        words = str(name).replace("_", " ")
        label = f"{prefix}: {words}" if prefix else words
        if isinstance(value, int) and not isinstance(value, bool):
            yield label, value
        elif isinstance(value, dict) and not prefix:
            yield from usage_rows(value, words)


def error_text(error: Any) -> str:
    """A failure in one paragraph: code, the person's sentence, and the facts that were kept with it."""
    if not error:
        return ""
    if not isinstance(error, dict):
        return str(error)
    parts = [str(error[name]) for name in ("code", "message") if error.get(name)]
    details = error.get("details")
    facts = "; ".join(_facts(details)) if isinstance(details, dict) else ""
    text = ": ".join(parts) or str(error)
    return f"{text} [{facts}]" if facts else text


def _facts(details: dict[str, Any]) -> Iterator[str]:
    for name, value in details.items():
        if name != "content_filters":
            yield f"{name.replace('_', ' ')}: {value}"
    filters = details.get("content_filters")
    for entry in filters if isinstance(filters, list) else []:
        verdicts = entry.get("content_filter_results") or {}
        what = "answer" if entry.get("source_type") == "completion" else "question"
        yield f"filter, {what}: {', '.join(_verdict(name, verdict) for name, verdict in verdicts.items())}"


def _verdict(name: str, verdict: dict[str, Any]) -> str:
    words = [str(verdict["severity"])] if verdict.get("severity") else []
    words += [word for word in ("detected", "filtered") if verdict.get(word)]
    return f"{name.replace('_', ' ')} {' and '.join(words) or 'no'}"
