"""How hard the property tests try: a little at the desk, at length in CI.

    @thorough
    @given(...)
    def test_...

gives a test `EXAMPLES` examples, `@often` a fifth of them. Without either a property test has hypothesis's own number,
or its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec

import pytest
from hypothesis import HealthCheck, settings

PROMISED = 20_000  # examples of each thorough test in CI
EXAMPLES = PROMISED if os.environ.get("CI") else 300
SECONDS = 900  # before such a test counts as hung: it takes half a minute where nothing else runs

# A busy machine is no counter-example: no deadline for an example, none for making one up. Each run in CI tries
# examples of its own; what fails prints a line (`@reproduce_failure`) that brings it back.
_ANY_PACE: dict[str, Any] = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", **_ANY_PACE)
settings.register_profile("ci", derandomize=False, database=None, **_ANY_PACE)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

P = ParamSpec("P")


def thorough(test: Callable[P, None]) -> Callable[P, None]:
    """Try this property `EXAMPLES` times, and let it take its time."""
    found: Callable[P, None] = pytest.mark.timeout(SECONDS)(settings(max_examples=EXAMPLES)(test))
    return found


def often(test: Callable[P, None]) -> Callable[P, None]:
    """Try this property a fifth as often: what holds beside the promises, or on the way to them."""
    found: Callable[P, None] = pytest.mark.timeout(SECONDS)(settings(max_examples=EXAMPLES // 5)(test))
    return found
