"""What an engine has at hand while it works out an answer: its files, its seal, its containers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .containers import Containers
from .seal import Seal
from .store import Store


@dataclass
class Bench:
    """One per engine."""

    store: Store
    seal: Seal = field(default_factory=Seal)
    containers: Containers = field(init=False)

    def __post_init__(self) -> None:
        self.containers = Containers(self.store)
