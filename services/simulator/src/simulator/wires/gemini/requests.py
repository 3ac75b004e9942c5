"""Reads the body of a generateContent request into a prompt, or refuses it as the provider would. Pure.

The model and whether to stream stand in the path. Tokens are counted by the simulator's own simple rule.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from simulator.prompts import Prompt, Tool, ToolChoice
from simulator.refusals import Refusal

SIGNATURE = "simsig"
ANY_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""What stands for a signature that was lost."""
TOKENS_A_CALL = 3
TOKENS_A_MESSAGE = 4
TOKENS_A_PART = 85
BYTES_A_TOKEN = 4

_SIGNS = re.compile(r"gemini-(?:[3-9]|\d\d)")
_MODES: dict[str, ToolChoice] = {"AUTO": "auto", "NONE": "none", "ANY": "required", "VALIDATED": "auto"}


class _Called(msgspec.Struct):
    name: str
    args: dict[str, Any] = {}


class _Result(msgspec.Struct):
    name: str
    response: dict[str, Any]


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    function_call: _Called | None = None
    function_response: _Result | None = None
    thought_signature: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part]
    role: Literal["user", "model"] | None = None


class _Function(msgspec.Struct, rename="camel"):
    name: str
    description: str = ""
    parameters_json_schema: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None


class _Tools(msgspec.Struct, rename="camel"):
    function_declarations: list[_Function] = []


class _Calling(msgspec.Struct, rename="camel"):
    mode: Literal["AUTO", "NONE", "ANY", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] = []


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _Calling = msgspec.field(default_factory=_Calling)


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] = []
    response_mime_type: str | None = None
    response_json_schema: dict[str, Any] | None = None


class GenerateBody(msgspec.Struct, rename="camel"):
    """The members of a request that matter here."""

    contents: Annotated[list[_Content], Meta(min_length=1)]
    system_instruction: _Content | None = None
    tools: list[_Tools] = []
    tool_config: _ToolConfig = msgspec.field(default_factory=_ToolConfig)
    generation_config: _Config = msgspec.field(default_factory=_Config)


_DECODER = msgspec.json.Decoder(GenerateBody)


def read_prompt(provider: str, model: str, body: bytes, *, is_streamed: bool) -> Prompt:
    """The prompt in `body`. Raises Refusal 400 for what the provider does not take."""
    asked = _decoded(body)
    _check(asked, model)
    config, calling = asked.generation_config, asked.tool_config.function_calling_config
    functions = [function for tool in asked.tools for function in tool.function_declarations]
    question, has_result = _last_words(asked.contents)
    is_json = config.response_mime_type == "application/json"
    return Prompt(
        provider=provider,
        model=model,
        conversation="\0".join(f"{content.role}\1{_text(content)}" for content in asked.contents),
        question=question,
        prompt_tokens=_prompt_tokens(asked),
        has_tool_result=has_result,
        token_limit=config.max_output_tokens,
        stops=tuple(config.stop_sequences),
        tools=tuple(Tool(one.name, one.parameters_json_schema or one.parameters or {}) for one in functions),
        tool_choice=_MODES[calling.mode],
        named_tool=calling.allowed_function_names[0] if len(calling.allowed_function_names) == 1 else None,
        schema=(config.response_json_schema or {}) if is_json else None,
        is_streamed=is_streamed,
        wants_usage=True,
    )


def count_tokens(body: bytes) -> int:
    """The input tokens of a request. Raises Refusal."""
    return _prompt_tokens(_decoded(body))


def _decoded(body: bytes) -> GenerateBody:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"Invalid JSON payload received: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Refusal(400, "Invalid JSON payload received.") from None


def _check(asked: GenerateBody, model: str) -> None:
    """As many results as calls, right after them; and of newer models a signature with the first call of a turn."""
    calls = 0
    for content in asked.contents:
        results = sum(part.function_response is not None for part in content.parts)
        if results != calls:
            raise Refusal(400, "The number of function response parts is not that of the function call parts.")
        called = [part for part in content.parts if part.function_call is not None]
        calls = len(called)
        if called and _SIGNS.match(model) and not _is_signed(called[0]):
            raise Refusal(400, "Function call is missing a thought_signature in functionCall parts.")
        if any(part == _Part() for part in content.parts) and content.role == "model":
            raise Refusal(400, "contents.parts must not be empty.")
    if calls:
        raise Refusal(400, "Function call parts without function response parts.")


def _is_signed(part: _Part) -> bool:
    signature = part.thought_signature or ""
    return signature == ANY_SIGNATURE or signature.startswith(SIGNATURE)


def _text(content: _Content) -> str:
    return "\n".join(part.text for part in content.parts if part.text)


def _last_words(contents: list[_Content]) -> tuple[str, bool]:
    """The last thing the user said, and whether a tool's result came with it or after it."""
    has_result = any(part.function_response is not None for part in contents[-1].parts)
    said = [_text(content) for content in contents if content.role != "model"]
    return next((text for text in reversed(said) if text), ""), has_result


def _prompt_tokens(asked: GenerateBody) -> int:
    tokens = TOKENS_A_CALL + (_tokens(_text(asked.system_instruction)) if asked.system_instruction else 0)
    for content in asked.contents:
        tokens += TOKENS_A_MESSAGE + sum(_part_tokens(part) for part in content.parts)
    return tokens + (-(-len(msgspec.json.encode(asked.tools)) // BYTES_A_TOKEN) if asked.tools else 0)


def _part_tokens(part: _Part) -> int:
    if part.text is not None:
        return _tokens(part.text)
    if part.function_call is not None:
        return _tokens(part.function_call.name + msgspec.json.encode(part.function_call.args).decode())
    if part.function_response is not None:
        return _tokens(msgspec.json.encode(part.function_response.response).decode())
    return TOKENS_A_PART


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_A_TOKEN)
