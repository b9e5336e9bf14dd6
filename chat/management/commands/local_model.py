"""Serve a model on this machine with llama.cpp's own server, for the chat or for any client of the Responses API."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chat.management.local import NoModel, is_bundled, model_file, model_name, require_engine

# SmolLM2's own template knows no functions, and llama.cpp then drops them without a word.
TEMPLATE = Path(__file__).resolve().parent.parent / "smollm2.jinja"
ONLY_ERRORS = 1


class Command(BaseCommand):
    help = "Serve a model on this machine at /v1/ until stopped. Without --model: SmolLM2-135M, which comes along."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--model", default=settings.LOCAL_MODEL, metavar="PATH.gguf", help="(LOCAL_MODEL)")
        parser.add_argument(
            "--context",
            type=int,
            default=settings.LOCAL_CONTEXT,
            metavar="TOKENS",
            help="how much of a conversation the model reads at once (LOCAL_CONTEXT)",
        )
        parser.add_argument("--slots", type=int, default=2, help="how many answers it writes at a time")
        parser.add_argument("--threads", type=int, default=cores(), help="the cores that it may use; all of them")
        parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")

    def handle(self, **options: Any) -> None:
        try:
            require_engine()
            path = model_file(options["model"])
        except NoModel as refusal:
            raise CommandError(str(refusal)) from refusal
        # There is nothing to save here, and a model being read would keep Python from hearing of a signal.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server = serve(path, options)
        host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
        self.stdout.write(f"ready on http://{host}:{server.listening_address.rpartition(':')[2]}/v1/")
        self.stdout.flush()
        if options["with_parent"]:
            while os.read(sys.stdin.fileno(), 1):
                pass
            os._exit(0)  # whoever was asking is gone: no answer has to be finished
        while True:
            signal.pause()


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve(path: Path, options: dict[str, Any]) -> Any:
    """Start the server; returns when it answers. Its key, if any, is in LOCAL_API_KEY."""
    # Its threads wait for each other at every layer. Spinning meanwhile costs ten times the processor's time on a busy
    # machine (measured: 1 to 4 tokens a second instead of 18 to 32). Has to be said before the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.verbosity = ONLY_ERRORS
    wanted.model.path = str(path)
    wanted.model_alias = {model_name(path)}
    wanted.hostnames = [options["host"]]
    wanted.port = options["port"]
    wanted.n_parallel = options["slots"]
    wanted.n_ctx = options["context"] * options["slots"]  # it shares this out among the slots
    wanted.cpuparams.n_threads = options["threads"]
    wanted.endpoint_slots = True
    wanted.ui = False
    wanted.cors_origins = "none"  # the pages of the web that a browser here shows may not ask it
    wanted.api_keys = [key] if (key := os.environ.get("LOCAL_API_KEY", "").strip()) else []
    if is_bundled(path):
        wanted.chat_template = TEMPLATE.read_text()
        wanted.sampling.temp, wanted.sampling.top_p = 0.2, 0.9  # what its makers recommend
    try:
        return xllamacpp.Server(wanted)
    except RuntimeError as error:  # whose text says nothing; llama.cpp itself has said it on stderr
        where = f"{options['host']} port {options['port']}"
        raise CommandError(f"{path} cannot be served at {where}; the lines above say why.") from error
