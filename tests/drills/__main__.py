"""`python -m tests.drills --kills 100`: the long crash drill, with its table. Fails when a promise is broken."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests import settings as settings  # takes away what the shell says about the product
from tests.bench.figures import table
from tests.drills.drill import Plan, drill
from tests.drills.verdict import errors_in, figures, judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the moments of a drill")
    parser.add_argument("--log", type=Path, help="keep what the product printed")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="responses-chat-drill-") as folder:
        record = asyncio.run(drill(Plan(kills=arguments.kills, seed=arguments.seed), Path(folder)))
    if arguments.log:
        arguments.log.write_text(record.output)
    verdict = judge(record)
    print(table({"drill": figures(record, verdict)}))
    print(f"{time.monotonic() - started:.0f} s, seed {arguments.seed}")
    for sentence in [*errors_in(record.output), *verdict.sentences]:
        print(sentence, file=sys.stderr)
    return 1 if verdict.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
