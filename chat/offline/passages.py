"""A question → the passages of the documents that answer it best (BM25 over sentences, with their neighbours)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .documents import Document, Sentence
from .language import terms

K1, B = 1.4, 0.6
NEIGHBOUR = 0.35  # what a match in the sentence before or after counts
NEEDED = 0.4  # share of the question's weight that a passage has to meet
BEST_SHARE = 0.45  # passages below this share of the best one's score are left out

_ASKING_WORDS = """document file pdf page paper text article report author attached attachment say tell mention explain describe
    find give please know mean question answer information about according happen happens work works use
    dokument datei seite text autor erklären sagen steht erkläre bitte gibt frage
    document fichier page texte auteur dit expliquer explique
    documento archivo página texto autor dice explica"""
ASKING = frozenset(_ASKING_WORDS.split())
ASKING_CJK = frozenset(
    [
        "什么",
        "什麼",
        "怎么",
        "怎麼",
        "如何",
        "为什",
        "为何",
        "哪些",
        "哪个",
        "多少",
        "文件",
        "文档",
        "文檔",
        "文中",
        "这份",
        "請問",
        "请问",
        "是什",
        "么是",
        "について",
        "ですか",
        "ますか",
        "무엇",
        "어떤",
        "어떻",
        "떻게",
        "인가",
        "문서",
        "파일",
    ]
)


@dataclass(frozen=True)
class Passage:
    document: Document
    sentences: tuple[Sentence, ...]
    score: float

    @property
    def page(self) -> int:
        return self.sentences[0].page

    @property
    def text(self) -> str:
        joint = "" if self.document.language in ("zh", "zh-Hant", "ja") else " "
        return joint.join(sentence.text for sentence in self.sentences)


def question_terms(question: str, language: str) -> list[str]:
    asking = {term for word in ASKING for term in terms(word, language)} | ASKING_CJK
    return [term for term in dict.fromkeys(terms(question, language)) if term not in asking]


def find(document: Document, question: str, count: int = 3) -> list[Passage]:
    """The best passages, best first; none when the document does not speak of it."""
    wanted = question_terms(question, document.language)
    if not wanted or not document.sentences:
        return []
    index = _index(document)
    expanded = [index.known(term) for term in wanted]
    weights = [max((index.weight(form) for form in forms), default=index.absent_weight) for forms in expanded]
    own = [index.score(position, expanded, weights) for position in range(len(document.sentences))]
    scores = [own[position] + NEIGHBOUR * _around(own, position) for position in range(len(own))]
    ranked = sorted(range(len(scores)), key=lambda position: (-scores[position], position))
    found: list[Passage] = []
    used: set[int] = set()
    total = sum(weights)
    for position in ranked:
        if len(found) == count or scores[position] <= 0 or (found and scores[position] < found[0].score * BEST_SHARE):
            break
        if position in used or not own[position]:
            continue
        span = _span(document.sentences, own, position, used)
        if index.met(span, expanded, weights) < NEEDED * total:
            continue
        used.update(span)
        found.append(Passage(document, tuple(document.sentences[at] for at in span), scores[position]))
    return found


def _around(own: Sequence[float], position: int) -> float:
    before = own[position - 1] if position else 0.0
    after = own[position + 1] if position + 1 < len(own) else 0.0
    return before + after


def _span(sentences: Sequence[Sentence], own: Sequence[float], position: int, used: set[int]) -> list[int]:
    """The sentence with a neighbour that also matches, or with the next one when it is short."""
    span = [position]
    for other in (position - 1, position + 1):
        near = 0 <= other < len(sentences) and other not in used
        if near and sentences[other].section == sentences[position].section:
            matches = own[other] >= own[position] * 0.5
            follows_a_stub = other > position and len(sentences[position].text) < 60
            if matches or follows_a_stub:
                span.append(other)
    return sorted(span)


@lru_cache(maxsize=8)
def _index(document: Document) -> _Index:
    return _Index(document)


class _Index:
    def __init__(self, document: Document) -> None:
        self.bags = [Counter(terms(sentence.text, document.language)) for sentence in document.sentences]
        self.frequency = Counter(term for bag in self.bags for term in bag)
        self.average = (sum(bag.total() for bag in self.bags) / len(self.bags)) or 1.0
        # Somewhat over half of what the rarest word weighs: a verb that is missing must not hide a subject that is there, while
        # a common word alone ("species") does not answer for a missing subject.
        self.absent_weight = math.log(1 + len(self.bags)) * 0.6

    def known(self, term: str) -> list[str]:
        """The term as the document has it; failing that, words that begin alike."""
        if term in self.frequency or len(term) < 6:
            return [term] if term in self.frequency else []
        start = term[: max(5, len(term) - 2)]
        return [other for other in self.frequency if other.startswith(start) and abs(len(other) - len(term)) <= 3]

    def weight(self, term: str) -> float:
        frequency = self.frequency[term]
        return math.log(1 + (len(self.bags) - frequency + 0.5) / (frequency + 0.5))

    def score(self, position: int, expanded: Sequence[Sequence[str]], weights: Sequence[float]) -> float:
        bag = self.bags[position]
        length = 1 - B + B * bag.total() / self.average
        total = 0.0
        for forms, weight in zip(expanded, weights, strict=True):
            times = sum(bag[form] for form in forms)
            total += weight * times * (K1 + 1) / (times + K1 * length) if times else 0.0
        return total

    def met(self, span: Sequence[int], expanded: Sequence[Sequence[str]], weights: Sequence[float]) -> float:
        """How much of the question the sentences of a span speak of together."""
        present = {term for position in span for term in self.bags[position]}
        return sum(weight for forms, weight in zip(expanded, weights, strict=True) if not present.isdisjoint(forms))
