"""Streams as servers send them, and what has to become of each.

Each file begins with a comment that says where it comes from: captured, with the date and the server's version, or
handwritten, with what it was written after. The comment is legal in the format, so that the file is what a server
would send. `llamacpp_errors.json` holds bodies of refusals, captured in the same way.

The sequences are those of the protocol's description: (1) to (8), F for background, and the ways in which servers differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

SEQUENCES = {
    "1": "plain text",
    "2": "function call",
    "2 parallel": "several function calls in one response",
    "3": "reasoning summary and text",
    "3 raw": "open reasoning as reasoning_text",
    "3 encrypted": "reasoning with encrypted_content, for store: false",
    "4": "code interpreter",
    "5 turn 1": "MCP: tools listed, approval asked",
    "5 turn 2": "MCP: approved call and its answer",
    "5 denied": "MCP: the person said no",
    "5 failed": "MCP: the call failed",
    "5 list failed": "MCP: the tools could not be listed",
    "6": "image generation",
    "6 partial": "previews of an image",
    "6 bare": "an image without .completed",
    "7 both": "error, then response.failed",
    "7 error": "error alone, flat",
    "7 nested": "error alone, nested",
    "7 nested, both": "nested error, then response.failed",
    "7 failed": "response.failed alone",
    "8": "cut by max_output_tokens",
    "8 filter": "cut by the content filter",
    "F": "background: queued, in progress, completed",
    "F cut": "background: the connection breaks",
    "F resumed": "background: the same, resumed with starting_after",
    "F cancelled": "background: cancelled, the stream just ends",
    "refusal": "a refusal",
    "custom tool": "custom tool call",
    "file search": "file search with results and file_citation",
    "web search": "web search with url_citation",
    "computer": "computer call",
    "annotations": "every kind of annotation, container_file_citation with a sandbox: link",
    "old names": "event names of earlier previews",
    "unknown": "events, items, parts and fields that nobody knows",
    "data only": "frames without an event line, [DONE] at the end",
    "CRLF": "CRLF, comments, keep-alives, retry and id",
    "no end": "the stream ends without a terminal event",
    "nothing": "completed or cut, and nothing was said",
    "unannounced": "deltas of items that nothing announced",
    "whole only": "texts that come whole, without deltas",
    "other ids": "ids that differ between the stream and its last word",
}


@dataclass(frozen=True)
class Recording:
    """One file. `status` is the draft's at its end, `sentence` what the person reads below the answer."""

    name: str
    dialect: str
    shows: tuple[str, ...]
    text: str = ""  # the beginning of the answer
    status: str = "completed"
    sentence: str = ""
    continues: str = ""  # the recording whose stream this one resumes

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.sse"

    @property
    def bytes(self) -> bytes:
        return self.path.read_bytes()

    @property
    def label(self) -> str:
        return self.bytes.splitlines()[0].decode().removeprefix(": ")

    @property
    def ends(self) -> bool:
        """Whether the server has a last word."""
        return self.status != "in_progress"


FAULT = "The provider had a fault of its own; please try again in a moment."
TOO_LONG = "The answer reached its length limit and stops here; ask the model to continue."
PAUSE = "The provider asks for a pause; please try again in 2 seconds."
CUT_OFF = "The answer was interrupted. What had arrived is kept."
NOT_BEGUN = "The answer was interrupted before its first word."
NOTHING = "The model gave no answer."
NO_TOOL = "The model asked for a tool that is not available here."
NO_APPROVAL = "The model asked for an approval, which cannot be given here."

RECORDINGS = (
    Recording(
        "azure_text", "azure", ("1",), "## 为什么天空是蓝色的\n\n因为瑞利散射：短波长更容易散射。\u2028下一行 😀"
    ),
    Recording("azure_function_call", "azure", ("2",), sentence=NO_TOOL),
    Recording("azure_code_interpreter", "azure", ("4",), "See the plot at [plot.png](sandbox:/mnt/data/plot.png)"),
    Recording("azure_image", "azure", ("6", "6 bare")),
    Recording(
        "azure_content_filter",
        "azure",
        ("8 filter",),
        "In the battle he",
        "incomplete",
        "The provider's content filter cut this answer (violence, medium).",
    ),
    Recording("azure_cut_off", "azure", ("no end",), "Half of an ans", "in_progress", CUT_OFF),
    Recording("azure_failed", "azure", ("7 both",), "The first half", "failed", FAULT),
    Recording("azure_background", "azure", ("F",), "Done in the background."),
    Recording("azure_background_cut", "azure", ("F cut", "no end"), "The first half", "in_progress", CUT_OFF),
    Recording(
        "azure_background_resumed",
        "azure",
        ("F resumed",),
        "The first half and the second.",
        continues="azure_background_cut",
    ),
    Recording(
        "azure_background_cancelled", "azure", ("F cancelled", "no end"), "Cancelled here", "in_progress", CUT_OFF
    ),
    Recording("openai_text", "openai", ("1",), "Hello, **world**."),
    Recording("openai_two_messages", "openai", ("2", "refusal"), "Let me look.Here it is."),
    Recording("openai_function_calls", "openai", ("2", "2 parallel"), sentence=NO_TOOL),
    Recording("openai_reasoning", "openai", ("3", "3 encrypted"), "The answer is **42**."),
    Recording("openai_reasoning_hidden", "openai", ("3 encrypted",), "Six."),
    Recording("openai_reasoning_only", "openai", ("8", "nothing"), "", "incomplete", TOO_LONG),
    Recording("openai_empty", "openai", ("nothing",), sentence=NOTHING),
    Recording("openai_mcp_approval", "openai", ("5 turn 1",), sentence=NO_APPROVAL),
    Recording("openai_mcp_call", "openai", ("5 turn 2",), "uv is a package manager."),
    Recording("openai_mcp_denied", "openai", ("5 denied",), "All right, I will not look."),
    Recording("openai_mcp_failed", "openai", ("5 failed",), "The tool found nothing."),
    Recording("openai_mcp_list_failed", "openai", ("5 list failed",), "I have no tools for that."),
    Recording("openai_image", "openai", ("6", "6 partial", "6 bare")),
    Recording("openai_image_partials", "openai", ("6", "6 partial"), "Here is your pixel."),
    Recording("openai_image_failed", "openai", ("6",), "I cannot draw that."),
    Recording("openai_error_flat", "openai", ("7 error",), "The begin", "failed", FAULT),
    Recording("openai_error_nested", "openai", ("7 nested",), "", "failed", PAUSE),
    Recording("openai_error_nested_then_failed", "openai", ("7 nested, both",), "The begin", "failed", PAUSE),
    Recording("openai_failed_alone", "openai", ("7 failed",), "The begin", "failed", FAULT),
    Recording(
        "openai_error_at_once",
        "openai",
        ("7 both", "nothing"),
        "",
        "failed",
        "The provider's content filter blocked this question.",
    ),
    Recording("openai_incomplete", "openai", ("8",), "Once upon a time there was a", "incomplete", TOO_LONG),
    Recording("openai_refusal", "openai", ("refusal",)),
    Recording("openai_custom_tool_call", "openai", ("custom tool",), sentence=NO_TOOL),
    Recording("openai_file_search", "openai", ("file search",), "You have 28 days of leave."),
    Recording("openai_web_search", "openai", ("web search",), "The tallest tree is Hyperion"),
    Recording("openai_computer_call", "openai", ("computer", "3"), sentence=NO_TOOL),
    Recording("openai_citations", "openai", ("annotations",), "See [report.csv](sandbox:/mnt/data/report.csv)"),
    Recording("openai_old_names", "openai", ("old names",), "Pi is 3.14."),
    Recording("openai_unknown_events", "openai", ("unknown",), "Still here."),
    Recording("openai_keep_alives", "openai", ("CRLF",), "Line\u2028one, line two."),
    Recording("foundry_text", "foundry", ("1",), "안녕하세요, 세계!"),
    Recording("foundry_reasoning", "foundry", ("3 raw",), "Hello!"),
    Recording("ofox_text", "ofox", ("1", "data only"), "你好，世界！"),
    Recording("ofox_function_call", "ofox", ("2", "data only"), sentence=NO_TOOL),
    Recording("ofox_error", "ofox", ("7 nested", "data only", "unannounced"), "半", "failed", FAULT),
    Recording("ofox_done_only", "ofox", ("whole only", "unannounced"), "All at once."),
    Recording("litellm_text", "ofox", ("1", "data only", "other ids"), "One gateway more."),
    Recording("litellm_delta_first", "ofox", ("unannounced", "data only"), "Pong!"),
    Recording("litellm_reasoning", "ofox", ("3", "unannounced", "other ids", "data only"), "It is so."),
    Recording("litellm_no_end", "ofox", ("no end", "nothing", "data only"), "", "in_progress", NOT_BEGUN),
    Recording("ollama_text", "ollama", ("1",), "The sky is blue."),
    Recording("ollama_reasoning", "ollama", ("3",), "Hello, world!"),
    Recording("ollama_function_call", "ollama", ("2",), sentence=NO_TOOL),
    Recording("ollama_calls", "ollama", ("2 parallel", "3"), sentence=NO_TOOL),
    Recording("ollama_text_then_call", "ollama", ("2", "other ids"), "Let me check.", sentence=NO_TOOL),
    Recording("vllm_text", "vllm", ("1", "other ids"), "A city in France."),
    Recording("vllm_reasoning", "vllm", ("3 raw",), "Paris."),
    Recording("vllm_gpt_oss", "vllm", ("3 raw", "other ids"), "Hello!"),
    Recording("vllm_reasoning_as_text", "vllm", ("3 raw",), "Good day."),
    Recording("vllm_function_call", "vllm", ("2", "other ids"), sentence=NO_TOOL),
    Recording("vllm_cut", "vllm", ("8", "other ids"), "Paris is the capital", "incomplete", TOO_LONG),
    Recording("vllm_error", "vllm", ("7 nested",), "The answer is", "failed", FAULT),
    Recording("llamacpp_text", "llamacpp", ("1",), "I'm here to help"),
    Recording("llamacpp_cut", "llamacpp", ("8",), "Once upon a time"),  # it says completed all the same
    Recording("llamacpp_tool_call", "llamacpp", ("2",), sentence=NO_TOOL),
    Recording("llamacpp_function_call", "llamacpp", ("2",), sentence=NO_TOOL),
    Recording("llamacpp_thinking", "llamacpp", ("3 raw",), "It is 8."),
    Recording("llamacpp_reasoning", "llamacpp", ("3 raw",), "Hi there, *friend*."),
    Recording("llamacpp_think_tags", "llamacpp", ("1",), "<think>\nFour and four make eight."),
    Recording("lmstudio_text", "lmstudio", ("1",), "Forty-seven."),
    Recording("lmstudio_reasoning", "lmstudio", ("3 raw",), "47"),
    Recording("lmstudio_function_call", "lmstudio", ("2",), sentence=NO_TOOL),
)
BY_NAME = {recording.name: recording for recording in RECORDINGS}
