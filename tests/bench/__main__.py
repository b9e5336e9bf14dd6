"""`python -m tests.bench [GROUP ...]`: measure, print the table, write bench.json. Fails when a promise is broken."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from .figures import Figure, broken, flat, table
from .groups import GROUPS
from .machine import description

OUTPUT = Path("bench.json")


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in GROUPS]:
        print(f"There is no group {', '.join(unknown)}. There are: {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    results: dict[str, Sequence[Figure]] = {}
    for name in names or GROUPS:
        started = time.monotonic()
        print(f"Measuring {name} ...", file=sys.stderr, flush=True)
        try:
            results[name] = GROUPS[name]()
        except pytest.skip.Exception as missing:  # a server that this machine lacks, for the tests, too
            print(f"Left out: {missing}", file=sys.stderr)
            continue
        print(f"... took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(table(results))
    print(f"\n{datetime.now():%Y-%m-%d}, {description()}")
    numbers = flat(results)
    if names and OUTPUT.exists():  # a part was measured anew: the rest stays
        numbers = {**json.loads(OUTPUT.read_text()), **numbers}
    OUTPUT.write_text(json.dumps(numbers, indent=2) + "\n")
    if failures := broken(results):
        print(f"Broken: {', '.join(failures)}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
