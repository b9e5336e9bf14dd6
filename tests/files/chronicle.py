"""A long document that is made up: a chronicle in chapters, in which hardly two pages say the same."""

from __future__ import annotations

import random
from pathlib import Path

from tests.files.makers import make_pdf

PAGES_PER_CHAPTER = 20

_SYLLABLES = (
    "ba",
    "den",
    "fel",
    "gor",
    "hal",
    "lin",
    "mar",
    "nor",
    "ost",
    "pel",
    "rin",
    "sta",
    "tor",
    "ver",
    "win",
    "zel",
)
_PEOPLE = (
    *("merchants", "weavers", "farmers", "sailors", "monks", "miners", "bakers", "teachers", "printers", "fishermen"),
    *("carpenters", "soldiers", "physicians", "brewers", "shepherds", "masons", "musicians", "clerks", "potters"),
)
_THINGS = (
    *("granary", "bridge", "chapel", "harbour", "library", "mill", "quarry", "hospital", "orchard", "canal"),
    *("brewery", "lighthouse", "vineyard", "foundry", "market", "observatory", "dyke", "theatre", "shipyard"),
    *("archive", "fountain", "stable", "tannery", "cemetery", "garden", "gate", "tower", "road", "school"),
)
_DID = (
    *("built", "sold", "abandoned", "repaired", "inherited", "burned", "measured", "described", "taxed", "enlarged"),
    *("painted", "closed", "fortified", "flooded", "rented", "defended", "moved", "discovered", "blessed", "lost"),
)
_CAUSES = (
    *("a hard frost", "an unexpected inheritance", "the long war", "a quarrel about tolls", "the plague", "good trade"),
    *("a royal letter", "falling prices", "an earthquake", "the new calendar", "a drought", "rising rents", "a wager"),
    *("envy of their neighbours", "a failed harvest", "the invention of the pump", "a broken oath", "lack of timber"),
)


def pages(count: int, *, seed: int = 7, sentences: int = 8) -> list[str]:
    """The text of each page; a chapter begins every twenty."""
    chance = random.Random(seed)
    found = []
    for number in range(1, count + 1):
        told = " ".join(_sentence(chance) for _ in range(sentences))
        if number % PAGES_PER_CHAPTER == 1:
            told = f"Chapter {number // PAGES_PER_CHAPTER + 1} The Years of {_name(chance)}\n\n{told}"
        found.append(told)
    return found


def chronicle(path: Path, count: int = 300, **options: int) -> Path:
    return make_pdf(path, pages(count, **options), title="Chronicle")


def _sentence(chance: random.Random) -> str:
    town, year = _name(chance), chance.randint(1400, 1900)
    who, did, what, other = (chance.choice(words) for words in (_PEOPLE, _DID, _THINGS, _THINGS))
    why = chance.choice(_CAUSES)
    return chance.choice(
        (
            f"In {year} the {who} of {town} {did} their {what} because of {why}.",
            f"{town} owed its {what} to {_name(chance)}, who {did} the old {other} after {why}.",
            f"After {why} the {what} beside the {_name(chance)} was {did} by {chance.randint(3, 900)} {who}.",
            f"A report of {year} counts {chance.randint(3, 900)} {who} near the {what} of {town}.",
        )
    )


def _name(chance: random.Random) -> str:
    return "".join(chance.choices(_SYLLABLES, k=3)).capitalize()
