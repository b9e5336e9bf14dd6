"""`manage.py`, kept open for the server of a test: a command costs its work, not the start of Python each time.

Reads a command with its arguments as a line of JSON, and answers with a line: [exit code, output, errors].
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

import django
from django.core.management import CommandError, call_command
from django.db import connections


def run(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            call_command(*arguments)
        except CommandError as refusal:
            err.write(str(refusal))
            code = refusal.returncode
    connections.close_all()  # the database may be another one by the next command, or have been started anew
    return code, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    django.setup()
    answers = sys.stdout
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)
