"""Input items of a Responses request as chat messages. Pure.

What the assistant did between two turns of the others (thinking, text, calls) is one message in chat, so its items are
gathered until somebody else speaks. Content that chat has no word for is refused; another provider's thoughts, which
nobody else could read, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.api.responses.keepsakes import Keepsakes
from gateway.providers.chat import compact
from gateway.providers.errors import untranslatable

Item = dict[str, Any]
Message = dict[str, Any]

_ROLES = {"user": "user", "system": "system", "developer": "developer"}


class Conversation:
    """The messages of one request; `tools` are those that came as items, in Responses' words."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tools: list[dict[str, Any]] = []
        self._turn: _Turn | None = None

    def add(self, item: Item) -> None:
        """Add one item. Raises ProviderFailed for what chat has no word for."""
        kind = item.get("type") or "message"
        taken = _ITEMS.get(kind)
        if taken is None:
            raise untranslatable(f"only OpenAI itself has a word for an item of type {kind}", "input")
        taken(self, item)

    def end(self) -> list[Message]:
        """All messages."""
        if self._turn is not None:
            self.messages += self._turn.messages()
            self._turn = None
        return self.messages

    def message(self, item: Item) -> None:
        """Something said."""
        if item["role"] == "assistant":
            self._assistant().say(item["content"])
            return
        content = item["content"]
        told = content if isinstance(content, str) else [part_of(part) for part in content]
        self._others({"role": _ROLES[item["role"]], "content": told})

    def call(self, item: Item) -> None:
        """A call of a function."""
        self._assistant().call(item["call_id"], item["name"], item.get("arguments") or "{}")

    def custom_call(self, item: Item) -> None:
        """A call of a tool that takes a text: as a function with one argument."""
        self._assistant().call(item["call_id"], item["name"], compact({"input": item.get("input") or ""}))

    def result(self, item: Item) -> None:
        """What a function or tool gave back."""
        output = item.get("output")
        told = [part_of(part) for part in output] if isinstance(output, list) else output or ""
        self._others({"role": "tool", "tool_call_id": item["call_id"], "content": told})

    def thought(self, item: Item) -> None:
        """What was thought, where it came from here."""
        self._assistant().kept.open(item.get("encrypted_content"))

    def picture(self, item: Item) -> None:
        """A picture that the assistant made, once it was there."""
        if not item.get("result"):
            return
        url = f"data:image/{item.get('output_format') or 'png'};base64,{item['result']}"
        self._assistant().images.append({"type": "image_url", "image_url": {"url": url}})

    def more_tools(self, item: Item) -> None:
        """Tools that came later than the others."""
        self.tools += item.get("tools") or ()

    def _assistant(self) -> _Turn:
        self._turn = self._turn or _Turn()
        return self._turn

    def _others(self, message: Message) -> None:
        self.end()
        self.messages.append(message)


_ITEMS: Mapping[str, Callable[[Conversation, Item], None]] = MappingProxyType(
    {
        "message": Conversation.message,
        "function_call": Conversation.call,
        "function_call_output": Conversation.result,
        "custom_tool_call": Conversation.custom_call,
        "custom_tool_call_output": Conversation.result,
        "reasoning": Conversation.thought,
        "image_generation_call": Conversation.picture,
        "additional_tools": Conversation.more_tools,
    }
)


class _Turn:
    """What the assistant did between two turns of the others."""

    def __init__(self) -> None:
        self.kept = Keepsakes()
        self.images: list[dict[str, Any]] = []
        self._content: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []

    def say(self, content: Any) -> None:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else map(part_of, content)
        self._content += parts

    def call(self, call_id: str, name: str, arguments: str) -> None:
        self._calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}})

    def messages(self) -> list[Message]:
        """One message, or none when all there was were another's thoughts."""
        content: Any = self._content or None
        if content and all(part["type"] == "text" for part in content):
            content = "".join(part["text"] for part in content)
        told: Message = {"role": "assistant", "content": content, **self.kept.lists}
        if self._calls:
            told["tool_calls"] = [{**call, **self.kept.calls.get(call["id"], {})} for call in self._calls]
        if self.images:
            told["images"] = self.images
        return [told] if len(told) > 2 or content else []


def part_of(part: dict[str, Any]) -> dict[str, Any]:
    """A part of content in chat's words. Raises ProviderFailed for one without a word."""
    kind = part["type"]
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        return {"type": "text", "text": part["text"]}
    if kind == "input_image":
        return _image(part)
    if kind == "input_file":
        return _file(part)
    if kind == "refusal":
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    raise untranslatable(f"chat has no word for content of type {kind}", "input")


def _image(part: dict[str, Any]) -> dict[str, Any]:
    if not part.get("image_url"):
        raise untranslatable("files that are kept at OpenAI are known there alone", "input")
    told = {"url": part["image_url"]}
    if part.get("detail") not in (None, "auto"):
        told["detail"] = part["detail"]
    return {"type": "image_url", "image_url": told}


def _file(part: dict[str, Any]) -> dict[str, Any]:
    given = part.get("file_data") or part.get("file_url")
    if not given:
        raise untranslatable("files that are kept at OpenAI are known there alone", "input")
    return {"type": "file", "file": {"filename": part.get("filename") or "document.pdf", "file_data": given}}
