"""An answer while it grows: what has closed, what is open, and what a tab still lacks.

A tab's knowledge is a `Seen`: per segment the number of closed blocks it has and the open block's HTML
as it was last sent. `LiveResponse.fragments(seen)` gives the out-of-band fragments that bring the tab up
to date and moves `seen` on. Closed blocks are sent once; the open block grows by appends where the HTML
allows it, so that bytes follow the length of the answer. Nothing here waits, queries or sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chat.rendering.answer import (
    Segment,
    block_html,
    blocks_html,
    label_html,
    segment_id,
    segments,
    wrap_response,
    wrap_segment,
)
from chat.rendering.headings import LatestHeading
from chat.rendering.made import MADE
from chat.rendering.markdown import LiveMarkdown
from chat.rendering.patch import patch
from chat.responses.events import Event, Target
from chat.responses.fold import Change, Draft


@dataclass
class SeenSegment:
    """What a tab has of one segment. `open_html` is None once the open block was taken away."""

    generation: int
    closed: int
    open_html: str | None
    label: str


@dataclass
class Seen:
    """What a tab has of one response."""

    shape: int
    segments: dict[str, SeenSegment] = field(default_factory=dict)


class LiveSegment:
    """One content part that may still grow. `is_last`: the answer is there now, and nowhere further."""

    def __init__(self, response_pk: int, segment: Segment) -> None:
        self.segment = segment
        self.sid = segment_id(response_pk, segment)
        self.markdown = LiveMarkdown()
        self.heading = LatestHeading()
        self.is_last = False
        self.final: tuple[str, ...] | None = None
        self.preview = ""  # HTML of a picture that is still being made
        self._step = ("", "", "")
        self.append(segment.text)

    def append(self, delta: str) -> None:
        self.markdown.append(delta)
        if self.segment.kind == "reasoning":
            self.heading.read(delta)

    def update(self, segment: Segment) -> None:
        """Take the text of the wire as the truth: what was shown may be longer, shorter or other."""
        self.segment = segment
        shown = self.markdown.text
        if segment.text == shown:
            return
        if MADE not in segment.text:
            self.preview = ""
        if segment.text.startswith(shown):
            self.append(segment.text[len(shown) :])
        else:
            self.markdown.replace("")
            self.heading = LatestHeading()
            self.append(segment.text)

    def finish(self) -> None:
        self.final = self.markdown.finish()

    @property
    def _about(self) -> str | None:
        """What the model thinks of, while it does; None when it has gone on to something else."""
        return self.heading.text if self.is_last and self.segment.kind == "reasoning" else None

    @property
    def label(self) -> str:
        return label_html(self.segment, self._about)

    @property
    def _open_html(self) -> str:
        return self.markdown.open_html + self.preview

    def html(self) -> str:
        """The whole segment as it stands."""
        if self.final is not None:
            return wrap_segment(self.sid, self.segment, blocks_html(self.sid, self.final), self._about)
        inner = blocks_html(self.sid, self.markdown.closed) + self._open_block(self._open_html)
        return wrap_segment(self.sid, self.segment, inner, self._about)

    def seen_now(self) -> SeenSegment:
        if self.final is not None:
            return SeenSegment(self.markdown.generation, len(self.final), None, self.label)
        return SeenSegment(self.markdown.generation, len(self.markdown.closed), self._open_html, self.label)

    def fragments(self, seen: SeenSegment) -> str:
        """What is missing since `seen`, which is moved on."""
        if seen.open_html is None:
            return ""
        if seen.generation != self.markdown.generation:
            html = _as_swap(self.html(), self.sid)
            _move(seen, self.seen_now())
            return html
        return self._new_label(seen) + self._new_blocks(seen)

    def _new_label(self, seen: SeenSegment) -> str:
        """Its content alone: whoever has the focus on the line, or has unfolded it, keeps that."""
        label = self.label
        if label == seen.label:
            return ""
        seen.label = label
        return f'<span hx-swap-oob="innerHTML:#{self.sid}-l">{label}</span>'

    def _new_blocks(self, seen: SeenSegment) -> str:
        return self._growth(seen) if self.final is None else self._last_fragments(seen, self.final)

    def _growth(self, seen: SeenSegment) -> str:
        closed = self.markdown.closed
        found = ""
        shown: str | None = seen.open_html
        if seen.closed < len(closed):
            found = self._before_open(closed[seen.closed :], seen.closed)
            seen.closed = len(closed)
            shown = None
        current = self._open_html
        if shown is None:
            found += self._open_block(current, swap=True)
        elif current != shown:
            found += self._grown_open_block(shown, current)
        seen.open_html = current
        return found

    def _grown_open_block(self, shown: str, current: str) -> str:
        # Tabs that keep pace with one another lack the same: it is worked out once.
        before, after, html = self._step
        if before != shown or after != current:
            html = self._step_between(shown, current)
            self._step = (shown, current, html)
        return html

    def _step_between(self, shown: str, current: str) -> str:
        steps = patch(shown, current)
        if steps is None:
            return self._open_block(current, swap=True)
        return "".join(step.fragment(f"{self.sid}-o") for step in steps)

    def _last_fragments(self, seen: SeenSegment, final: tuple[str, ...]) -> str:
        """Blocks that a later line changed (a link's definition), the rest, and the open block's end."""
        closed = self.markdown.closed
        found = ""
        for number in range(min(seen.closed, len(final))):
            if final[number] != closed[number]:
                found += _as_swap(block_html(self.sid, number, final[number]), f"{self.sid}-{number}")
        for number in range(len(final), seen.closed):
            found += f'<i id="{self.sid}-{number}" hx-swap-oob="delete"></i>'
        if seen.closed < len(final):
            found += self._before_open(final[seen.closed :], seen.closed)
        found += f'<i id="{self.sid}-o" hx-swap-oob="delete"></i>'
        _move(seen, self.seen_now())
        return found

    def _before_open(self, blocks: list[str] | tuple[str, ...], first: int) -> str:
        inner = blocks_html(self.sid, blocks, first)
        return f'<div hx-swap-oob="beforebegin:#{self.sid}-o">{inner}</div>'

    def _open_block(self, html: str, *, swap: bool = False) -> str:
        attribute = ' hx-swap-oob="true"' if swap else ""
        return f'<div class="b b--open" id="{self.sid}-o" dir="auto"{attribute}>{html}</div>'


def _move(seen: SeenSegment, to: SeenSegment) -> None:
    seen.generation, seen.closed, seen.open_html, seen.label = to.generation, to.closed, to.open_html, to.label


def _as_swap(html: str, element_id: str) -> str:
    """The same element, replacing the one with its id."""
    return html.replace(f'id="{element_id}"', f'id="{element_id}" hx-swap-oob="true"', 1)


@dataclass(frozen=True)
class StoredResponse:
    """An earlier response of a running turn. It is over, and what a tab has of it never changes."""

    pk: int
    stored_html: str

    def html(self) -> str:
        return self.stored_html

    def seen_now(self) -> Seen:
        return Seen(0)

    def fragments(self, seen: Seen) -> str:
        return ""


class LiveResponse:
    """The draft of a response and the segments that are shown of it. A draft that was stored is shown at once."""

    def __init__(self, pk: int, draft: Draft | None = None) -> None:
        self.pk = pk
        self.draft = draft or Draft()
        self.shape = 0
        self._segments: dict[tuple[int, int], LiveSegment] = {}
        self._reread()

    def apply(self, event: Event) -> bool:
        """Fold one event; True when there is something new to see."""
        change = self.draft.apply(event)
        if change is None or change.kind == "status":
            return False
        if change.delta is not None:
            if change.kind == "arguments":
                return False
            segment = self._segment_of(change)
            if segment is not None:
                segment.append(change.delta)
                return True
        return self._reread()

    def show_preview(self, item_id: str, html: str) -> None:
        """Put it under what is said of a picture that is being made, in the place of the one before, until it is over."""
        at = next((at for at, item in enumerate(self.draft.items) if item.id == item_id), -1)
        segment = self._segments.get((at, 0))
        if segment is not None and segment.segment.kind == "image":
            segment.preview = html

    def restart(self) -> None:
        """Begin anew after a refusal that is answered with another request."""
        self.draft = Draft()

    def finish(self) -> None:
        """Nothing more will come: each segment takes its canonical form."""
        self._reread()
        for segment in self._segments.values():
            segment.is_last = False
            segment.finish()

    def html(self) -> str:
        return wrap_response(self.pk, "".join(segment.html() for segment in self._segments.values()))

    def seen_now(self) -> Seen:
        return Seen(self.shape, {s.sid: s.seen_now() for s in self._segments.values()})

    def fragments(self, seen: Seen) -> str:
        """What a tab lacks of this response; `seen` is moved on."""
        if seen.shape != self.shape:
            fresh = self.seen_now()
            seen.shape, seen.segments = fresh.shape, fresh.segments
            return _as_swap(self.html(), f"r{self.pk}")
        found = []
        for segment in self._segments.values():
            known = seen.segments.get(segment.sid)
            if known is None:
                seen.segments[segment.sid] = segment.seen_now()
                found.append(f'<div hx-swap-oob="beforeend:#r{self.pk}">{segment.html()}</div>')
            else:
                found.append(segment.fragments(known))
        return "".join(found)

    def _segment_of(self, change: Change) -> LiveSegment | None:
        """The segment that the delta continues at its end; None where the answer has to be read again."""
        if change.kind == "reasoning":
            segment = self._segments.get((change.item, 0))
            place = ("summary" if change.target is Target.SUMMARY else "content", change.part)
            return segment if segment is not None and segment.segment.ends_with == place else None
        segment = self._segments.get((change.item, change.part))
        return segment if segment is not None and segment.segment.kind == change.kind else None

    def _reread(self) -> bool:
        """Bring the segments in line with the draft. Rare: on new items and parts, and on their ends."""
        wanted = segments(self.draft.output())
        keys = [(s.item, s.part) for s in wanted]
        known = list(self._segments)
        kept = known == keys[: len(known)] and all(
            self._segments[key].segment.kind == s.kind and self._segments[key].segment.title == s.title
            for key, s in zip(known, wanted, strict=False)
        )
        if not kept:
            self._segments = {}
            self.shape += 1
        for key, segment in zip(keys, wanted, strict=True):
            if key in self._segments:
                self._segments[key].update(segment)
            else:
                self._segments[key] = LiveSegment(self.pk, segment)
        for key in keys:
            self._segments[key].is_last = key == keys[-1]
        return True
