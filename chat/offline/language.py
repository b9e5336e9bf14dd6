"""Words: which language a text is in, its sentences, its terms, and the engine's own phrases."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
KANA = "\u3040-\u30ff\u31f0-\u31ff"
HANGUL = "\uac00-\ud7a3"
CJK = HAN + KANA + HANGUL
CJK_CHAR = re.compile(f"[{CJK}]")
_RUN = re.compile(rf"[{HAN}{KANA}]+|[{HANGUL}]+|[^\W_{CJK}]+(?:['’][^\W\d_{CJK}]+)?")

STOPWORDS = {
    "en": """a about above after again against all also although always am among an and any are as at be because been
        before being below between both but by can cannot could did do does doing done down during each either else
        even ever every few for from further get got had has have having he her here hers herself him himself his how
        however i if in indeed instead into is it its itself just least less let like made make many may me might
        mine more most much must my myself near neither never no nor not now of off often on once one only onto or
        other others our ours ourselves out over own per perhaps quite rather same shall she should since so some
        still such than that the their theirs them themselves then there therefore these they this those though
        through thus to together too toward towards under until up upon us very was we well were what when where
        whether which while who whom whose why will with within without would yet you your yours yourself said says
        say two three first new way thing things""",
    "de": """aber alle allem allen aller alles als also am an andere anderen anderer auch auf aus bei beim bin bis bist
        da dabei dadurch daher damit dann daran darauf daraus darf darin das dass davon dazu dein deine dem den denn
        der deren des dessen die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen einer
        eines einige er es etwa etwas euch euer für gegen gibt hat hatte hatten hier ich ihm ihn ihnen ihr ihre ihrem
        ihren ihrer im in indem ins ist ja jede jedem jeden jeder jedes jedoch kann kein keine keinen können könnte
        man mehr mein meine mit muss müssen nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen
        seiner seit sich sie sind so sobald sogar solche soll sollte sondern sonst sowie über um und uns unser unsere
        unter viel vom von vor war waren was weil weiter welche welchem welchen welcher wenn werden wer wie wieder
        will wir wird wo worden wurde wurden zu zum zur zwar zwischen""",
    "fr": """a à ai ainsi alors au aucun aucune aussi autre autres aux avant avec avoir c car ce ceci cela celle celles
        celui ces cet cette ceux chaque chez ci comme comment contre d dans de depuis des deux donc dont du elle elles
        en encore entre est et été être eu eux fait faire font il ils j je jusque l la laquelle le lequel les leur
        leurs lors lorsque lui m ma mais me même mêmes mes moi moins mon n ne ni non nos notre nous on ont ou où par
        parce pas pendant peu peut peuvent plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa
        sans se selon sera ses si son sont sous sur t ta te tes ton tous tout toute toutes très tu un une vers vos
        votre vous y""",
    "es": """a al algo algunas algunos ante antes aquel aquella así aun aunque bajo bien cada casi como con contra cual
        cuales cuando cuanto de del desde donde dos durante e el él ella ellas ellos en entre era eran es esa esas
        ese eso esos esta está están estas este esto estos fue fueron ha había han hasta hay la las le les lo los más
        me mi mientras mis mismo mucho muy nada ni no nos nosotros o otra otras otro otros para pero poco por porque
        pues que qué quien quienes se sea según ser si sí sido sin sino sobre solo son su sus también tan tanto te
        tiene tienen toda todas todo todos tu tus un una unas uno unos usted ya yo""",
}
STOP = {language: frozenset(words.split()) for language, words in STOPWORDS.items()}
STOP_HAN = frozenset(
    "的了是在和有我他她它们們这這那与與及之其而也都就不以于於对對为為被把从從到等个個中上下或但并並很又可会會要将將"
)
KOREAN_ENDINGS = re.compile(
    "(?:으로|에서|에게|까지|부터|이다|하는|하고|하여|했다|한다|은|는|이|가|을|를|의|에|로|와|과|도|만)$"
)

TRADITIONAL = frozenset("總結請這檔嗎個們為說麼當會實發現點問題電腦語圖頁")
_LATIN_HINTS = {
    language: STOP[language] - frozenset().union(*(STOP[other] for other in STOP if other != language))
    for language in STOP
}
_ENGLISH_IMPERATIVES = frozenset(
    ["summarize", "summarise", "please", "explain", "describe", "what", "summary", "write", "show", "hello", "thanks"]
)
_HINTS = {
    "de": frozenset(
        [
            "fasse",
            "fass",
            "bitte",
            "zusammen",
            "dokument",
            "zusammenfassung",
            "hallo",
            "danke",
            "erkläre",
            "beschreibe",
            "welche",
            "wie",
        ]
    ),
    "fr": frozenset(
        ["résume", "résumez", "résumé", "bonjour", "merci", "s'il", "document", "décris", "explique", "quel", "quelle"]
    ),
    "es": frozenset(
        [
            "resume",
            "resumen",
            "resúmeme",
            "resumir",
            "hola",
            "gracias",
            "documento",
            "describe",
            "explica",
            "cuál",
            "qué",
        ]
    ),
    "en": _ENGLISH_IMPERATIVES,
}


def language_of(text: str) -> str:
    """Tell en, de, fr, es, zh, zh-Hant, ja or ko; en where nothing else is plain."""
    sample = text[:4000]
    counts = Counter(_script(character) for character in sample)
    cjk = counts["han"] + counts["kana"] + counts["hangul"]
    if cjk and cjk * 4 >= counts["latin"]:
        if counts["hangul"] > counts["han"] + counts["kana"]:
            return "ko"
        if counts["kana"] * 8 > counts["han"]:
            return "ja"
        return "zh-Hant" if any(character in TRADITIONAL for character in sample) else "zh"
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", sample.lower())
    scores = {
        language: sum((word in _LATIN_HINTS[language]) + 2 * (word in _HINTS[language]) for word in words)
        for language in ("en", "de", "fr", "es")
    }
    return max(scores, key=lambda language: scores[language])


def _script(character: str) -> str:
    if "a" <= character.lower() <= "z":
        return "latin"
    code = ord(character)
    if 0x3400 <= code <= 0x9FFF:
        return "han"
    if 0x3040 <= code <= 0x30FF:
        return "kana"
    if 0xAC00 <= code <= 0xD7A3:
        return "hangul"
    return "other"


def is_cjk(language: str) -> bool:
    return language in ("zh", "zh-Hant", "ja", "ko")


# Sentences

_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "sr",
        "jr",
        "rev",
        "hon",
        "gen",
        "col",
        "capt",
        "lt",
        "sgt",
        "messrs",
        "mme",
        "mlle",
        "vs",
        "etc",
        "eg",
        "ie",
        "cf",
        "al",
        "ca",
        "approx",
        "fig",
        "figs",
        "eq",
        "no",
        "nos",
        "vol",
        "vols",
        "ed",
        "eds",
        "p",
        "pp",
        "ch",
        "sec",
        "dept",
        "inc",
        "ltd",
        "co",
        "corp",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "z",
        "b",
        "d",
        "h",
        "u",
        "a",
        "bzw",
        "usw",
        "ggf",
        "evtl",
        "inkl",
        "bspw",
        "vgl",
        "nr",
        "art",
        "abs",
        "ff",
        "hrsg",
        "av",
        "av.",
        "sra",
        "srta",
        "ud",
        "uds",
        "pág",
        "núm",
    ]
)
_LATIN_END = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s)""")
_CJK_END = re.compile(r"""[。！？!?]+[」』”’）)】]*|[.!?]+["'”’)]*(?=\s|$)""")
_STARTER = re.compile(r"""\s+["'“‘„«(\[¿¡]*[^\W_a-zà-öø-ÿ]""")


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each sentence of a paragraph, in order."""
    pattern = _CJK_END if CJK_CHAR.search(text) else _LATIN_END
    start = 0
    for match in pattern.finditer(text):
        if text[match.start()] == "." and not _ends_sentence(text, match):
            continue
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def _ends_sentence(text: str, dot: re.Match[str]) -> bool:
    if dot.end() < len(text) and not _STARTER.match(text, dot.end()) and not CJK_CHAR.match(text, dot.end() + 1):
        return False
    word = re.search(r"[^\s(\[\"“„]*$", text[max(0, dot.start() - 30) : dot.start()])
    before = word[0] if word else ""
    if before.lower().replace(".", "") in _ABBREVIATIONS and "".join(dot[0]) == ".":
        return False
    # "J. Smith" and "e.g. The", not "plan B. Then" at the end of a longer sentence of words.
    return not (len(before) == 1 and before.isalpha() and before.isupper() and before != "I") and not re.fullmatch(
        r"(?:\w\.)+\w", before
    )


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start:
        yield start, end


# Terms


def terms(text: str, language: str = "en") -> list[str]:
    """The content words of a text, reduced so that inflections meet; pairs of characters where words have no blanks."""
    stop = STOP.get(language, STOP["en"])
    found: list[str] = []
    for match in _RUN.finditer(text):
        run = match[0]
        if CJK_CHAR.match(run):
            found.extend(_cjk_terms(run))
            continue
        word = run.lower().replace("’", "'")
        base = word.split("'")[-1] if language == "fr" else word.split("'")[0]
        if base in stop or word in stop or (len(base) < 2 and not base.isdigit()):
            continue
        found.append(stem(base))
    return found


def _cjk_terms(run: str) -> Iterator[str]:
    if "\uac00" <= run[0] <= "\ud7a3":
        word = KOREAN_ENDINGS.sub("", run) if len(run) > 2 else run
        if len(word) == 1:
            yield word
        for index in range(len(word) - 1):
            yield word[index : index + 2]
        return
    if len(run) == 1 and run not in STOP_HAN:
        yield run
    for index in range(len(run) - 1):
        pair = run[index : index + 2]
        if STOP_HAN.isdisjoint(pair) and not all("\u3040" <= character <= "\u309f" for character in pair):
            yield pair


_SUFFIXES = [
    "ization",
    "isation",
    "ations",
    "ation",
    "ements",
    "ement",
    "ments",
    "ment",
    "ingly",
    "edly",
    "ness",
    "ities",
    "ity",
    "ungen",
    "ung",
    "lich",
    "isch",
    "keit",
    "heit",
    "ing",
    "ied",
    "ies",
    "ers",
    "eur",
    "ed",
    "ly",
    "es",
    "en",
    "er",
    "em",
    "est",
    "s",
    "e",
    "n",
]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Cut one common ending. Crude on purpose: it is used for matching, never shown."""
    word = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    if word.isdigit() or len(word) < 4:
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            word = word[: -len(suffix)]
            break
    else:
        if word.endswith("s") and not word.endswith("ss"):
            word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") else word


# Numbers that people write out

NUMBER_WORDS = {
    word: number
    for number, words in enumerate(
        (
            "one a ein eine einen einem un une uno una 一 하나 한",
            "two zwei deux dos 二 两 兩 둘 두",
            "three drei trois tres 三 셋 세",
            "four vier quatre cuatro 四 넷 네",
            "five fünf cinq cinco 五 다섯",
            "six sechs seis 六 여섯",
            "seven sieben sept siete 七 일곱",
            "eight acht huit ocho 八 여덟",
            "nine neun neuf nueve 九 아홉",
            "ten zehn dix diez 十 열",
        ),
        start=1,
    )
    for word in words.split()
}


def number(word: str) -> int | None:
    word = unicodedata.normalize("NFKC", word.lower())
    return int(word) if word.isdecimal() else NUMBER_WORDS.get(word)
