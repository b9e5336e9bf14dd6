"""What an engine has at hand while it works out an answer: its files, its seal, its containers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .seal import Seal
from .store import Store


@dataclass
class Bench:
    """One per engine."""

    store: Store
    seal: Seal = field(default_factory=Seal)
