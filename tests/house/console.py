"""`manage.py` without the start of Python each time: forks of one process that has imported what most commands need.

It is given a socket, the standard output and the errors of each. On the socket come the arguments and the environment;
back go the id of the process and, when that has ended, its exit code. What depends on the environment, as settings and
models do, is read by each fork anew.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress

NUMBER = struct.Struct("i")

# None of these looks at a setting while it is imported, nor starts a thread or a loop.
NEEDED = [
    *("PIL.Image", "PIL.ImageOps", "aiohttp", "channels.auth", "channels.db", "channels.generic.websocket"),
    *("channels.layers", "channels.routing", "channels.security.websocket", "csp.middleware", "daphne.access"),
    *("daphne.http_protocol", "daphne.ws_protocol", "django.contrib.admin", "django.contrib.admin.views.main"),
    *("django.contrib.auth.hashers", "django.contrib.auth.password_validation"),
    *("django.contrib.messages.middleware", "django.contrib.sessions.middleware"),
    *("django.contrib.staticfiles.finders", "django.core.asgi", "django.core.management.commands.shell"),
    *("django.db.backends.sqlite3.base", "django.db.migrations.executor"),
    *("django.db.models", "django.forms", "django.shortcuts", "django.views.generic", "django_htmx.middleware"),
    *("environ", "httpx", "latex2mathml.converter", "markdown_it", "mdit_py_plugins.dollarmath", "nh3"),
    *("pygments.lexers", "pypdfium2", "sqlite3", "sqlparse", "twisted.internet.asyncioreactor"),
    *("twisted.internet.endpoints", "twisted.internet.tcp", "twisted.web.http", "uvloop", "whitenoise.middleware"),
    *("whitenoise.storage", "chat.files.inspect", "chat.files.painter", "chat.files.trial", "chat.offline.transport"),
    *("chat.rendering.markdown", "chat.rendering.patch", "chat.responses.client", "chat.responses.probe"),
]


def become(arguments: list[str], environment: dict[str, str], files: list[int]) -> None:
    """Run the command, as the process that it would be."""
    with open(os.devnull) as nothing:
        for number, file in enumerate((nothing.fileno(), *files)):
            os.dup2(file, number)
    for file in files:
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts the tests may ignore it
    if "PYTHONFAULTHANDLER" in environment:
        faulthandler.enable()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["manage.py", *arguments]
    importlib.import_module("manage").main()
    sys.exit()


def keep(teller: socket.socket, files: list[int]) -> None:
    """Start what is asked for, and stay until it has ended."""
    with teller.makefile("rb") as words:
        arguments, environment = json.loads(words.readline())
    if (child := os.fork()) == 0:
        teller.close()
        become(arguments, environment, files)
    for file in files:
        os.close(file)
    teller.sendall(NUMBER.pack(child))
    _, status = os.waitpid(child, 0)
    teller.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def main(orders: socket.socket) -> None:
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    for name in NEEDED:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules  # forks would share its loop
    gc.freeze()
    while (order := socket.recv_fds(orders, 1, 3))[0]:
        teller, *files = order[1]
        if os.fork() == 0:
            orders.close()
            keep(socket.socket(fileno=teller), files)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        for file in order[1]:
            os.close(file)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
