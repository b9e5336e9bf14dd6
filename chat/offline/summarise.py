"""Extractive summaries: the best whole sentences of a document, spread over it, in its own order.

A sentence is scored by how central its words are to the document and to its own section (the continuous
form of LexRank: similarity to all other sentences, here in linear time), by the words it shares with the
headings, and by its form. Choosing goes through equal stretches of the document first, so that the end is
heard as well as the beginning, and takes nothing that repeats what was chosen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .documents import Document, Sentence
from .language import CJK_CHAR, HAN, KANA, KOREAN_ENDINGS, STOP, STOP_HAN, is_cjk, stem, terms

Vector = dict[str, float]

MAX_SENTENCES = 6_000  # longer books are thinned evenly: a summary is wanted within seconds
COVERED_SHARE = 0.7  # of the sentences are owed to stretches of the document; the rest are the best anywhere
REDUNDANT = 0.55  # cosine above which a sentence repeats another
WEAK_OPENERS = re.compile(
    r"""["'“‘„«(]*(?:this|that|these|those|it|its|they|he|she|his|her|their|such|but|and|or|so|thus|hence|however|also
    |nor|yet|then|again|here|there|therefore|furthermore|moreover|in\ addition|for\ example|for\ instance
    |dies[esmr]?|das|er|sie|es|aber|und|oder|jedoch|daher|deshalb|außerdem|dabei|so|hier
    |ce|cet|cette|ces|cela|il|elle|ils|elles|mais|et|ou|donc|ainsi|cependant|toutefois|de\ plus
    |est[eao]s?|es[eao]s?|él|ella|ellos|ellas|pero|y|o|sin\ embargo|además|así|por\ lo\ tanto)\b
    |(?:这|這|此|他|她|它|但|而|因此|所以|那|これ|それ|この|その|しかし|また|そして|彼|이는|이것|그러나|그리고|또한|그)""",
    re.IGNORECASE | re.VERBOSE,
)
CUES = re.compile(
    r"\b(?:conclu|in summary|in short|result(?:s|ed)? (?:show|suggest|indicat|in)|we (?:find|found|show|propose|present)"
    r"|the (?:aim|purpose|goal|main|obvious|principal)|most important|importan|significan|essential|therefore must"
    r"|must|caus(?:e|es|ed)|because|depends? on|follows? from|consists? of|is called|defined as"
    r"|ergebnis|wichtig|entscheidend|ziel|zweck|résultat|import|essentiel|objectif|objetivo|esencial)",
    re.IGNORECASE,
)
SIGNPOSTS = re.compile(
    r"\b(?:preliminary|(?:now|will|shall|to) (?:be )?(?:discuss|treat|turn|return|proceed)|(?:next|last|previous|following)"
    r" (?:chapter|section|part)|future work|see (?:fig|table|section|chapter|below|above)|as (?:we|I) (?:shall|have)"
    r"|acknowledg|copyright|all rights reserved|im folgenden|kapitel|chapitre (?:suivant|précédent)|capítulo)",
    re.IGNORECASE,
)
CJK_CUES = re.compile(
    "结论|結論|总之|總之|因此|重要|主要|目的|结果|結果|表明|関键|关键|關鍵|必要|결론|중요|결과|목적|따라서"
)


@dataclass(frozen=True)
class Wanted:
    """What the person asked the summary to be."""

    gist: int = 2
    points: int = 0
    """0 chooses by the length of the document."""
    shape: str = "points"
    """points | sentences | paragraph"""
    detailed: bool = False
    max_words: int | None = None
    page: int | None = None


@dataclass(frozen=True)
class Summary:
    gist: tuple[Sentence, ...]
    points: tuple[Sentence, ...]
    key_terms: tuple[str, ...]


def summarise(document: Document, wanted: Wanted) -> Summary:
    prose = document.prose
    if wanted.page is not None:
        prose = [sentence for sentence in prose if sentence.page == wanted.page]
    prose = list({sentence.text: sentence for sentence in reversed(prose)}.values())[::-1]
    if len(prose) > MAX_SENTENCES:
        prose = prose[:: -(-len(prose) // MAX_SENTENCES)]
    if not prose:
        return Summary((), (), ())
    scored = _Scored(prose, document)
    gist = scored.best_standing_alone(min(wanted.gist, max(1, len(prose) // 4))) if wanted.gist else []
    points = scored.spread(_how_many(document, prose, wanted), taken=gist)
    if wanted.max_words:
        points = _within(points, wanted.max_words - _words(gist), scored)
    return Summary(
        tuple(prose[index] for index in gist),
        tuple(prose[index] for index in points),
        key_terms(prose, document.language),
    )


def _how_many(document: Document, prose: Sequence[Sentence], wanted: Wanted) -> int:
    if wanted.max_words:
        return max(1, wanted.max_words // 18)
    if wanted.points:
        return wanted.points
    pages = document.page_count if document.has_pages else max(1, document.characters // 2500)
    usual = min(9, 4 + math.isqrt(max(0, pages - 1)))
    if wanted.page is not None:
        usual = 4
    if wanted.detailed:
        usual = min(24, usual * 2 + pages // 6)
    return max(1, min(usual, len(prose) // 2))


class _Scored:
    """The prose of a document with a score for each sentence. Indexes are positions in the prose."""

    def __init__(self, prose: Sequence[Sentence], document: Document) -> None:
        self.prose = prose
        self.vectors = _vectors([terms(sentence.text, document.language) for sentence in prose])
        central = _scaled(_centrality(self.vectors))
        local = self._local_centrality()
        titles = set(terms(" ".join(document.headings), document.language))
        shared = [_overlap(vector, titles) for vector in self.vectors]
        form = [form_factor(sentence.text) for sentence in prose]
        self.themes = [(0.65 * central[index] + 0.35 * shared[index]) * form[index] for index in range(len(prose))]
        self.scores = [
            (0.6 * central[index] + 0.25 * local[index] + 0.1 * shared[index] + (0.05 if sentence.opens else 0.0))
            * form[index]
            for index, sentence in enumerate(prose)
        ]

    def _local_centrality(self) -> list[float]:
        by_section: dict[int, list[int]] = {}
        for index, sentence in enumerate(self.prose):
            by_section.setdefault(sentence.section, []).append(index)
        local = [0.0] * len(self.prose)
        for indexes in by_section.values():
            values = _scaled(_centrality([self.vectors[index] for index in indexes]))
            for index, value in zip(indexes, values, strict=True):
                local[index] = value
        return local

    def best_standing_alone(self, count: int) -> list[int]:
        """The few sentences that say most and need no sentence before them, in document order."""
        ranked = sorted(range(len(self.prose)), key=lambda index: (-self.themes[index], index))
        alone = [index for index in ranked if not WEAK_OPENERS.match(self.prose[index].text)]
        return sorted(self._unlike((alone or ranked), count, []))

    def spread(self, count: int, taken: Sequence[int]) -> list[int]:
        """Choose `count` sentences besides `taken`: first the best of each stretch, then the best anywhere."""
        count = min(count, len(self.prose) - len(taken))
        owed = math.ceil(count * COVERED_SHARE)
        chosen: list[int] = []
        for stretch in _stretches(len(self.prose), owed):
            ranked = sorted(stretch, key=lambda index: (-self.scores[index], index))
            chosen += self._unlike(ranked, 1, [*taken, *chosen])
        ranked = sorted(range(len(self.prose)), key=lambda index: (-self.scores[index], index))
        chosen += self._unlike(ranked, count - len(chosen), [*taken, *chosen])
        return sorted(chosen)

    def _unlike(self, ranked: Iterable[int], count: int, taken: Sequence[int]) -> list[int]:
        """The first `count` that neither are taken nor repeat what is."""
        chosen: list[int] = []
        if count <= 0:
            return chosen
        for index in ranked:
            others = [*taken, *chosen]
            if index in others:
                continue
            if all(_cosine(self.vectors[index], self.vectors[other]) < REDUNDANT for other in others):
                chosen.append(index)
                if len(chosen) == count:
                    break
        return chosen


def _stretches(length: int, count: int) -> list[range]:
    edges = [round(length * step / count) for step in range(count + 1)] if count > 0 else []
    return [range(start, end) for start, end in pairwise(edges) if end > start]


def _within(points: list[int], words: int, scored: _Scored) -> list[int]:
    """Drop the weakest until the words fit; one always stays."""
    kept = list(points)
    while len(kept) > 1 and sum(len(scored.prose[index].text.split()) for index in kept) > words:
        kept.remove(min(kept, key=lambda index: scored.scores[index]))
    return kept


def _words(indexes: Sequence[int]) -> int:
    return 30 * len(indexes)


def form_factor(text: str) -> float:
    """How well the form of a sentence suits a summary, 0-1.2, whatever it says."""
    factor = 1.0
    if WEAK_OPENERS.match(text):
        factor *= 0.72
    if text.rstrip("\"'”’»)」』").endswith(("?", "？")):
        factor *= 0.5
    if text[:1] in '"“„«「' or re.search(r"\b(?:I|my|me|ich|mein|je|yo)\b", text):
        factor *= 0.85
    digits = sum(character.isdigit() for character in text)
    if digits > len(text) * 0.12:
        factor *= 0.75
    if SIGNPOSTS.search(text):
        factor *= 0.6
    if CUES.search(text) or CJK_CUES.search(text):
        factor *= 1.15
    return factor * _length_factor(text)


def _length_factor(text: str) -> float:
    words = len(text) / 2 if CJK_CHAR.search(text) else len(text.split())
    if words < 9:
        return 0.7
    if words <= 34:
        return 1.0
    return max(0.35, 1.0 - (words - 34) * 0.02)


def _vectors(bags: Sequence[list[str]]) -> list[Vector]:
    frequency = Counter(term for bag in bags for term in set(bag))
    count = len(bags)
    vectors = []
    for bag in bags:
        weights = {
            term: (1 + math.log(times))
            * math.sqrt(math.log(1 + count / frequency[term]))
            * (1.0 if frequency[term] > 1 else 0.4)
            for term, times in Counter(bag).items()
        }
        norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        vectors.append({term: weight / norm for term, weight in weights.items()})
    return vectors


def _centrality(vectors: Sequence[Vector]) -> list[float]:
    """Each sentence's similarity to all: the product with the sum of all vectors."""
    total: Counter[str] = Counter()
    for vector in vectors:
        total.update(vector)
    return [sum(weight * total[term] for term, weight in vector.items()) for vector in vectors]


def _scaled(values: list[float]) -> list[float]:
    top = max(values, default=0.0) or 1.0
    return [value / top for value in values]


def _overlap(vector: Vector, titles: set[str]) -> float:
    return min(1.0, sum(weight for term, weight in vector.items() if term in titles))


def _cosine(one: Vector, other: Vector) -> float:
    if len(other) < len(one):
        one, other = other, one
    return sum(weight * other.get(term, 0.0) for term, weight in one.items())


# Key terms


def key_terms(prose: Sequence[Sentence], language: str, count: int = 8) -> tuple[str, ...]:
    """The words and pairs of words that the text is about, as it writes them."""
    texts = [sentence.text for sentence in prose]
    if language == "ko":
        counts = Counter(
            KOREAN_ENDINGS.sub("", word) for text in texts for word in re.findall("[\uac00-\ud7a3]{2,}", text)
        )
        return tuple(word for word, times in counts.most_common() if times > 1 and len(word) > 1 and word[-1] != "다")[
            :count
        ]
    if is_cjk(language):
        return _cjk_terms(texts, language, count)
    return _latin_terms(texts, language, count)


def _latin_terms(texts: Sequence[str], language: str, count: int) -> tuple[str, ...]:
    stop = STOP.get(language, STOP["en"])
    singles: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    written: dict[str, Counter[str]] = {}
    for text in texts:
        previous: str | None = None
        for match in re.finditer(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*|[,;:.()]", text):
            word = match[0]
            if len(word) < 3 or word.lower() in stop:
                previous = None
                continue
            term = stem(word.lower())
            singles[term] += 1
            written.setdefault(term, Counter())[word] += 1
            if previous is not None:
                pairs[previous, term] += 1
            previous = term

    def shown(term: str) -> str:
        return _plainest(written[term])

    needed = 3 if len(texts) > 40 else 2
    chosen: list[tuple[float, str, tuple[str, ...]]] = [
        (times * 2.2, f"{shown(one)} {shown(two)}", (one, two))
        for (one, two), times in pairs.items()
        if times >= needed
    ]
    chosen += [
        (times, shown(term), (term,)) for term, times in singles.items() if times >= needed and len(shown(term)) > 3
    ]
    chosen.sort(key=lambda entry: (-entry[0], entry[1]))
    names: list[str] = []
    used: set[str] = set()
    for _, name, its_terms in chosen:
        if used.isdisjoint(its_terms):
            names.append(name)
            used.update(its_terms)
        if len(names) == count:
            break
    return tuple(names)


def _plainest(forms: Counter[str]) -> str:
    """The commonest form, in lower case when it is also written so, since sentences begin with capitals."""
    folded: Counter[str] = Counter()
    for form, times in forms.items():
        folded[form.lower()] += times
    commonest = max(folded, key=lambda form: (folded[form], form))
    written = {form: times for form, times in forms.items() if form.lower() == commonest}
    return commonest if commonest in written else max(written, key=lambda form: (written[form], form))


def _cjk_terms(texts: Sequence[str], language: str, count: int) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for text in texts:
        if language == "ja":
            counts.update(re.findall(f"[{HAN}]{{2,6}}|[\u30a0-\u30ff]{{3,12}}", text))
            continue
        for run in re.split(f"[^{HAN}{KANA}]|[{''.join(STOP_HAN)}]", text):
            counts.update(run[start : start + size] for size in (2, 3, 4, 5, 6) for start in range(len(run) - size + 1))
    frequent = {word: times for word, times in counts.items() if times >= 2}
    whole = [
        word
        for word, times in frequent.items()
        if not any(word != longer and word in longer and other >= times * 0.7 for longer, other in frequent.items())
    ]
    whole.sort(key=lambda word: (-frequent[word] * len(word), word))
    chosen: list[str] = []
    for word in whole:
        if len(chosen) == count:
            break
        if not any(word[at : at + 2] in other for other in chosen for at in range(len(word) - 1)):
            chosen.append(word)
    return tuple(chosen)
