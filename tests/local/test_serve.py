"""`make local`: one command, a chat that a true model answers, and nothing left behind when it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from chat import engines
from chat.management import llamacpp, local
from chat.models import Deployment, Provider
from tests.house.browsing import Browser
from tests.house.serving import PythonServer, Server
from tests.journeys.tab import Tab
from tests.local.conftest import require_model

pytestmark = pytest.mark.local

GONE_SECONDS = 10.0


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require_model()
    server = PythonServer(tmp_path_factory.mktemp("chat"), "--local")
    yield server
    server.stop()


def child_of(server: Server) -> int:
    """The process that serves the model."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children") as children:
        found = [int(pid) for pid in children.read().split()]
    # A child that was started again belongs to the thread that watches it.
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split() if int(pid) not in found]
    assert len(found) == 1, found
    return found[0]


def wait_until_gone(pid: int) -> float:
    began = time.monotonic()
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() - began < GONE_SECONDS, "the model outlives its chat"
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_person_chats_with_the_model_of_this_machine(chat: Server, browser: Browser) -> None:
    assert "SmolLM2-135M-Instruct runs on this machine and answers." in chat.output
    tab = Tab.enter(browser.page(), chat.admin_link)
    assert tab.page.locator("#deployment option").all_text_contents() == ["SmolLM2-135M-Instruct"]
    welcome = tab.page.locator("#welcome").text_content() or ""
    assert "attach a PDF." in welcome  # it has no eyes
    assert "No model is connected" not in welcome
    assert tab.ask("What is the capital of France? Answer in one word.")
    assert "SmolLM2-135M-Instruct" in (tab.last.text_content() or "")


def test_a_model_that_dies_is_started_again_where_it_was(chat: Server) -> None:
    first = child_of(chat)
    os.kill(first, signal.SIGKILL)
    chat.wait_for("the model on this machine ended (signal 9); it starts again in 1 s")
    chat.wait_for("the model on this machine answers again")
    second = child_of(chat)
    assert second != first
    port = Path(f"/proc/{second}/cmdline").read_text().split("\0--port\0")[1].partition("\0")[0]
    assert httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 401  # there, and not for everybody


def test_a_model_that_keeps_dying_is_started_again_after_longer_and_longer_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_model()
    monkeypatch.setattr(local, "FIRST_PAUSE_SECONDS", 0.1)
    weights = tmp_path / "model.gguf"
    weights.symlink_to(llamacpp.model_file())
    pauses = Pauses(4)
    local.logger.addHandler(pauses)
    try:
        with local.LocalModel(weights) as model:
            model.wait_ready()
            weights.unlink()
            model._process.kill()
            assert pauses.all_seen.wait(GONE_SECONDS)
    finally:
        local.logger.removeHandler(pauses)
    assert pauses.seconds == [0.1, 0.2, 0.4, 0.8]


class Pauses(logging.Handler):
    """Hears how long the next start is put off."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.wanted = wanted
        self.all_seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and len(record.args) == 2:
            self.seconds.append(float(str(record.args[1])))
        if len(self.seconds) == self.wanted:
            self.all_seen.set()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_model_ends_with_its_chat(
    chat: Server, how: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    model = child_of(chat)
    code = chat.stop(how)
    record_property("seconds_until_gone", wait_until_gone(model))
    assert code == (0 if how == signal.SIGINT else -how)
    assert "Traceback" not in chat.output
    chat.start()
    assert "SmolLM2-135M-Instruct runs on this machine" in chat.output


def test_a_model_whose_chat_went_while_it_was_read_does_not_stay() -> None:
    """Nobody is there to be told that it is ready; at Python's own end its server would be waited for."""
    require_model()
    heard_by, told_to = os.pipe()
    os.close(heard_by)
    with open(told_to, "wb") as nobody:
        command = [sys.executable, "-m", llamacpp.__name__, "--with-parent", "--model", str(llamacpp.model_file())]
        done = subprocess.run(command, stdin=subprocess.PIPE, stdout=nobody, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()


# What an operator reads when it cannot be


def test_without_the_packages_one_sentence_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match="Run: make local"):
        call_command("local_model")
    with pytest.raises(llamacpp.NoModel, match=r"LOCAL_MODEL=/path/to\.gguf"):
        llamacpp.model_file()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.gguf", b"Some notes", "is no GGUF file"),
        ("empty.gguf", b"", "is no GGUF file"),
        ("missing.gguf", None, r"cannot be read \(No such file or directory\)"),
    ],
)
def test_a_file_that_is_no_model_is_said_in_a_sentence(
    name: str, content: bytes | None, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(llamacpp.NoModel, match=sentence):
        llamacpp.model_file(str(path))


def test_a_model_that_cannot_be_read_is_given_up_with_a_sentence(tmp_path: Path) -> None:
    require_model()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(llamacpp.model_file().read_bytes()[:100_000])
    with local.LocalModel(cut) as model, pytest.raises(llamacpp.NoModel, match="could not be served; llama"):
        model.wait_ready()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "Qwen2.5-0.5B-Instruct"),
        ("gemma-3-1b-it-BF16.gguf", "gemma-3-1b-it"),
        ("Q8_0.gguf", "Q8_0"),
        ("one, two.gguf", "one  two"),
    ],
)
def test_a_model_is_called_as_its_file_without_what_nobody_reads(file: str, name: str) -> None:
    assert llamacpp.model_name(Path(file)) == name


@pytest.mark.django_db
def test_the_model_is_offered_while_it_is_there_and_what_the_operator_corrected_stays() -> None:
    served = local.Served("http://127.0.0.1:9/v1/", "k", "little", 2048, sees_images=True)
    variables = {"LOCAL_BASE_URL": served.base_url, "LOCAL_MODELS": served.name}
    engines.sync_environment(variables)
    local.note_facts(served)
    deployment = Deployment.objects.offered().get()
    assert (deployment.name, deployment.is_default, deployment.context_window) == ("little", True, 2048)
    Provider.objects.filter(name="This machine").update(capabilities={"sends_done": True, "image_base64": False})
    engines.sync_environment(variables)
    local.note_facts(served)
    provider = Provider.objects.get(name="This machine")
    assert provider.capabilities == {"sends_done": True, "image_base64": True, "image_url": True}
    assert (provider.auth, provider.key_variable) == (Provider.Auth.KEY, "LOCAL_API_KEY")
    engines.sync_environment({})
    assert [str(found) for found in Deployment.objects.offered()] == ["Embedded engine (no model)"]
