"""A page that is no browser: a tree of elements that takes frames as htmx's ws extension does.

Only what the product's frames use: out-of-band swaps by id (`true`, `innerHTML`, `delete`) and by selector
(`beforeend:`, `beforebegin:`) of the form `#id>tag:last-child>…`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass(eq=False)
class Element:
    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)
    parent: Element | None = None

    def add(self, child: Element | str, at: int | None = None) -> None:
        position = len(self.children) if at is None else at
        if isinstance(child, Element):
            child.parent = self
        self.children.insert(position, child)

    def elements(self) -> list[Element]:
        return [child for child in self.children if isinstance(child, Element)]

    def walk(self) -> Iterator[Element]:
        for child in self.elements():
            yield child
            yield from child.walk()

    def by_id(self, element_id: str) -> Element | None:
        return next((e for e in self.walk() if e.attributes.get("id") == element_id), None)

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)

    def html(self) -> str:
        """Canonical: neighbouring texts are one, as a parser would make them."""
        inner = "".join(escape(c, quote=False) if isinstance(c, str) else c.html() for c in self.children)
        if not self.tag:
            return inner
        attributes = "".join(f' {k}="{escape(v or "")}"' for k, v in sorted(self.attributes.items()))
        return f"<{self.tag}{attributes}>" + ("" if self.tag in VOID else f"{inner}</{self.tag}>")


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self.open = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open.add(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.add(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.add(data)


def parse(html: str) -> Element:
    """A tree of strictly nested HTML; anything else fails the test that made it."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open is builder.root, f"<{builder.open.tag}> is not closed"
    return builder.root


class Page:
    """What a browser would show. `missed` are swaps whose target was not there."""

    def __init__(self, html: str) -> None:
        self.root = parse(html)
        self._by_id: dict[str, Element] = {}
        self._learn(self.root)
        self.bytes = 0
        self.frames = 0
        self.missed: list[str] = []

    def receive(self, frame: str) -> None:
        self.bytes += len(frame.encode())
        self.frames += 1
        for element in parse(frame).elements():
            self._swap(element)

    def part(self, element_id: str) -> str:
        element = self._by_id.get(element_id)
        assert element is not None, f"no #{element_id}"
        return element.html()

    def _swap(self, element: Element) -> None:
        how, _, selector = (element.attributes.pop("hx-swap-oob", None) or "true").partition(":")
        target = self._find(selector or f"#{element.attributes.get('id')}")
        if target is None or target.parent is None:
            self.missed.append(f"{how} {selector or element.attributes.get('id')}")
            return
        place = target.parent.children.index(target)
        match how:
            case "true" | "outerHTML":
                target.parent.children[place : place + 1] = []
                self._forget(target)
                self._put(target.parent, element, place)
            case "delete":
                target.parent.children.pop(place)
                self._forget(target)
            case "innerHTML":
                for child in target.elements():
                    self._forget(child)
                target.children = []
                for child in element.children:
                    self._put(target, child)
            case "beforeend":
                for child in element.children:
                    self._put(target, child)
            case "beforebegin":
                for offset, child in enumerate(element.children):
                    self._put(target.parent, child, place + offset)
            case _:
                raise AssertionError(f"unknown swap {how!r}")

    def _put(self, parent: Element, child: Element | str, at: int | None = None) -> None:
        parent.add(child, at)
        if isinstance(child, Element):
            self._learn(child)

    def _learn(self, element: Element) -> None:
        for each in (element, *element.walk()):
            if element_id := each.attributes.get("id"):
                self._by_id[element_id] = each

    def _forget(self, element: Element) -> None:
        for each in (element, *element.walk()):
            element_id = each.attributes.get("id") or ""
            if self._by_id.get(element_id) is each:
                del self._by_id[element_id]

    def _find(self, selector: str) -> Element | None:
        first, *steps = selector.split(">")
        found = self._by_id.get(first.removeprefix("#"))
        for step in steps:
            matched = re.fullmatch(r"([a-z0-9]+):last-child", step)
            assert matched, f"selector step {step!r}"
            last = found.elements()[-1:] if found is not None else []
            found = last[0] if last and last[0].tag == matched[1] else None
        return found
