"""Reads the body of a Converse call into a prompt, or refuses it as Bedrock would. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from simulator.prompts import Prompt, Tool, ToolChoice
from simulator.refusals import Refusal
from simulator.turns import Turn, prompt_of


class _Called(msgspec.Struct):
    toolUseId: str
    name: str
    input: dict[str, Any] | None = None


class _Result(msgspec.Struct):
    toolUseId: str
    content: list[dict[str, Any]]


class _Block(msgspec.Struct):
    text: Annotated[str, Meta(min_length=1)] | None = None
    toolUse: _Called | None = None
    toolResult: _Result | None = None
    image: dict[str, Any] | None = None
    document: dict[str, Any] | None = None
    reasoningContent: dict[str, Any] | None = None
    cachePoint: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    role: Literal["user", "assistant"]
    content: Annotated[list[_Block], Meta(min_length=1)]


class _Inference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    maxTokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    topP: Annotated[float, Meta(ge=0, le=1)] | None = None
    stopSequences: Annotated[list[str], Meta(max_length=2500)] = []


class _Spec(msgspec.Struct):
    name: str
    inputSchema: dict[str, dict[str, Any]]
    description: str | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    toolSpec: _Spec | None = None
    cachePoint: dict[str, Any] | None = None


class _ToolConfig(msgspec.Struct):
    tools: Annotated[list[_Tool], Meta(min_length=1)]
    toolChoice: dict[str, dict[str, Any]] | None = None


class ConverseBody(msgspec.Struct, forbid_unknown_fields=True):
    """A request; Bedrock refuses members that it does not know."""

    messages: Annotated[list[_Message], Meta(min_length=1)]
    system: list[_Block] = []
    inferenceConfig: _Inference = _Inference()
    toolConfig: _ToolConfig | None = None
    outputConfig: dict[str, Any] | None = None
    additionalModelRequestFields: dict[str, Any] | None = None
    additionalModelResponseFieldPaths: list[str] | None = None
    guardrailConfig: dict[str, Any] | None = None
    performanceConfig: dict[str, Any] | None = None
    promptVariables: dict[str, Any] | None = None
    requestMetadata: dict[str, str] | None = None
    serviceTier: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(ConverseBody)


def read_prompt(model: str, body: bytes, *, is_streamed: bool) -> Prompt:
    """The prompt in `body`. Raises Refusal 400."""
    try:
        told = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refusal(400, f"The request is not valid: {error}") from None
    _check(told)
    config = told.toolConfig
    specs = [tool.toolSpec for tool in config.tools if tool.toolSpec is not None] if config is not None else []
    choice = (config.toolChoice or {}) if config is not None else {}
    return prompt_of(
        "bedrock",
        model,
        [Turn("system", block.text or "") for block in told.system] + [_turn(message) for message in told.messages],
        tuple(Tool(spec.name, spec.inputSchema.get("json", {})) for spec in specs),
        specs,
        token_limit=told.inferenceConfig.maxTokens,
        stops=tuple(told.inferenceConfig.stopSequences),
        tool_choice=_choice(choice),
        named_tool=choice.get("tool", {}).get("name"),
        schema=_schema(told.outputConfig),
        is_streamed=is_streamed,
        wants_usage=True,
    )


def _check(told: ConverseBody) -> None:
    """Roles by turns, results for every call of the turn before, and tools shown where any was used."""
    if told.messages[0].role != "user":
        raise Refusal(400, "A conversation must start with a user message.")
    called: set[str] = set()
    for before, message in zip([None, *told.messages], told.messages, strict=False):
        if before is not None and before.role == message.role:
            raise Refusal(400, "Roles must alternate between user and assistant.")
        answered = {block.toolResult.toolUseId for block in message.content if block.toolResult is not None}
        if answered != called:
            raise Refusal(400, "Expected toolResult blocks for exactly the toolUse blocks of the previous turn.")
        called = {block.toolUse.toolUseId for block in message.content if block.toolUse is not None}
        if (called or answered) and told.toolConfig is None:
            raise Refusal(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def _turn(message: _Message) -> Turn:
    results = [block.toolResult for block in message.content if block.toolResult is not None]
    texts = [block.text for block in message.content if block.text is not None]
    texts += [str(part.get("text", "")) for result in results for part in result.content]
    calls = [block.toolUse for block in message.content if block.toolUse is not None]
    told = tuple(call.name + msgspec.json.encode(call.input or {}).decode() for call in calls)
    others = sum(block.image is not None or block.document is not None for block in message.content)
    return Turn(message.role, "\n".join(texts), others, told, bool(results))


def _choice(choice: dict[str, Any]) -> ToolChoice:
    return "required" if "any" in choice or "tool" in choice else "auto"


def _schema(config: dict[str, Any] | None) -> dict[str, Any] | None:
    if config is None:
        return None
    told = config["textFormat"]["structure"]["jsonSchema"]["schema"]
    found = msgspec.json.decode(told)
    return found if isinstance(found, dict) else {}
