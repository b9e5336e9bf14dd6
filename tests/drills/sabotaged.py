"""`manage.py serve` with two promises switched off: it writes nothing before the end, and looks after nobody's silent runs.

The drill has to notice both, or its silence says nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import django
from django.core.management import call_command

from tests.house.serving import launch_python

launch_sabotaged = partial(launch_python, program=("-m", "tests.drills.sabotaged"))


async def do_nothing(*args: Any) -> None:
    return


async def look_after_nobody(*args: Any) -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    django.setup()
    from chat.turns import sweep, writer

    writer.Writer.flush = do_nothing
    sweep.run = look_after_nobody
    call_command("serve")
