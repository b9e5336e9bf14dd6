"""`manage.py` without the start of Python each time: forks of one process that has imported what most commands need.

Reads lines of JSON, the arguments and the environment of a command, and answers each with a line: [exit code, output,
errors]. What depends on the environment, as settings and models do, is read by each command anew.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile

# None of these looks at a setting while it is imported.
NEEDED = [
    *("PIL.Image", "PIL.ImageOps", "aiohttp", "channels.db", "channels.generic.websocket", "channels.layers"),
    *("channels.routing", "csp.middleware", "django.contrib.admin", "django.contrib.admin.views.main"),
    *("django.contrib.staticfiles.finders", "django.core.management.commands.shell", "django.db.migrations.executor"),
    *("django.db.models", "django.forms", "django.shortcuts", "django.views.generic", "django_htmx.middleware"),
    *("environ", "httpx", "latex2mathml.converter", "markdown_it", "mdit_py_plugins.dollarmath", "nh3"),
    *("pygments.lexers", "pypdfium2", "sqlite3", "whitenoise.storage"),
]


def run(arguments: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            with open(os.devnull) as nothing:
                for number, file in enumerate((nothing, out, err)):
                    os.dup2(file.fileno(), number)
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = ["manage.py", *arguments]
            importlib.import_module("manage").main()
            sys.exit()
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), out.read(), err.read()


def main() -> None:
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    for name in NEEDED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
