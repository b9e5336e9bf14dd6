"""`python -m tests.drills --kills 100`: the long crash drill, with its table. Fails when a promise is broken."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests import settings as settings  # takes away what the shell says about the product
from tests.bench.figures import table
from tests.drills.drill import Plan, drill
from tests.drills.verdict import errors_in, figures, judge
from tests.house.postgresql import postgresql_server
from tests.house.redis import redis_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the moments of a drill")
    parser.add_argument("--log", type=Path, help="keep what the product printed")
    parser.add_argument("--two", action="store_true", help="two processes on PostgreSQL and Redis, killed in turn")
    arguments = parser.parse_args()
    started = time.monotonic()
    plan = Plan(kills=arguments.kills, seed=arguments.seed)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="responses-chat-drill-"))
        if arguments.two:
            database_url = stack.enter_context(postgresql_server()).new_database()
            plan = replace(plan, database_url=database_url, redis_url=stack.enter_context(redis_server()).url)
        record = asyncio.run(drill(plan, Path(folder)))
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
