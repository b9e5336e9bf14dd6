"""What each kind of server can do. Code asks a capability and never the name of a dialect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Dialect:
    label: str
    state: bool = False


DIALECTS: dict[str, Dialect] = {
    "azure": Dialect("Azure OpenAI", state=True),
    "openai": Dialect("OpenAI", state=True),
    "foundry": Dialect("Microsoft Foundry", state=True),
    "ofox": Dialect("Stateless gateway (OfoxAI and alike)"),
    "ollama": Dialect("Ollama"),
    "vllm": Dialect("vLLM"),
    "llamacpp": Dialect("llama.cpp"),
    "lmstudio": Dialect("LM Studio", state=True),
    "generic": Dialect("Another server (safest assumptions)"),
    "offline": Dialect("Embedded engine", state=True),
}
