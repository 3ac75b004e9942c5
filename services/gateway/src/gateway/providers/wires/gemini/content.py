"""What was said, from chat messages to the `gemini` wire's contents.

System messages become the system instruction; neighbours of one role one content. A result of a tool names the call it
belongs to by its name, which is found by the call's id. Content without a word is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.providers.chat import arguments_of, inlined, parts_of, text_of
from gateway.providers.errors import untranslatable
from gateway.providers.wires.gemini.parts import FORMAT

Part = dict[str, Any]

_ROLES = {"user": "user", "assistant": "model", "tool": "user"}
_UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""What Google takes instead of a signature for calls that come from elsewhere, or whose signature was lost."""
_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "pdf": "application/pdf", "mp3": "audio/mpeg", "wav": "audio/wav", "mp4": "video/mp4", "txt": "text/plain",
}  # fmt: skip


class Contents:
    """The contents of one request; `needs_signatures`: the model refuses calls without one."""

    def __init__(self, messages: list[dict[str, Any]], *, needs_signatures: bool) -> None:
        self.system: list[Part] = []
        self.said: list[dict[str, Any]] = []
        self.has_markers = False
        self._needs_signatures = needs_signatures
        self._names: dict[str, str] = {}
        for number, message in enumerate(messages):
            self._add(message, f"messages[{number}]")

    def _add(self, message: dict[str, Any], where: str) -> None:
        self.has_markers |= bool(message.get("cache_control"))
        if message["role"] in ("system", "developer"):
            self.system += [self._part(part, where) for part in parts_of(message.get("content"), where)]
            return
        role, parts = _ROLES[message["role"]], list(self._parts(message, where))
        if self.said and self.said[-1]["role"] == role:
            self.said[-1]["parts"] += parts
        elif parts:
            self.said.append({"role": role, "parts": parts})

    def _parts(self, message: dict[str, Any], where: str) -> Iterator[Part]:
        if message["role"] == "tool":
            yield from self._result(message, where)
            return
        yield from (block for block in message.get("provider_blocks") or () if "type" not in block)
        signature = _signature_in(message)
        for part in parts_of(message.get("content"), where):
            told = self._part(part, where)
            yield {**told, "thoughtSignature": signature} if signature and "text" in told else told
            signature = None
        for image in message.get("images") or ():
            yield self._part(image, where)
        if message.get("refusal") and not message.get("content"):
            yield {"text": message["refusal"]}
        for place, call in enumerate(message.get("tool_calls") or ()):
            yield self._call(call, where, is_first=not place)

    def _part(self, part: dict[str, Any], where: str) -> Part:
        self.has_markers |= bool(part.get("cache_control"))
        kind = part.get("type")
        if kind in ("text", "refusal"):
            return {"text": part["text"] if kind == "text" else part["refusal"]}
        if kind in ("image_url", "video_url"):
            return _placed(part[kind]["url"])
        if kind == "input_audio":
            audio = part["input_audio"]
            heard = _TYPES.get(audio["format"], f"audio/{audio['format']}")
            return {"inlineData": {"mimeType": heard, "data": audio["data"]}}
        if kind == "file":
            file = part["file"]
            given = file.get("file_data") or file["file_id"]
            is_address = ":" in given
            return _placed(given if is_address else f"data:application/pdf;base64,{given}")
        raise untranslatable(f"Gemini has no word for content of type {kind}", f"{where}.content")

    def _call(self, call: dict[str, Any], where: str, *, is_first: bool) -> Part:
        if call.get("type", "function") != "function":
            raise untranslatable(f"Gemini has no word for a call of type {call['type']}", f"{where}.tool_calls")
        name = call["function"]["name"]
        self._names[call["id"]] = name
        told: Part = {"functionCall": {"id": call["id"], "name": name, "args": arguments_of(call)}}
        extra = (call.get("extra_content") or {}).get("google") or {}
        signature = extra.get("thought_signature") or (_UNSIGNED if is_first and self._needs_signatures else None)
        return {**told, "thoughtSignature": signature} if signature else told

    def _result(self, message: dict[str, Any], where: str) -> Iterator[Part]:
        call_id = message["tool_call_id"]
        name = self._names.get(call_id) or message.get("name")
        if not name:
            raise untranslatable("a tool's result has no call before it", f"{where}.tool_call_id")
        content = message.get("content")
        yield {"functionResponse": {"id": call_id, "name": name, "response": _object(text_of(content))}}
        for part in parts_of(content, where):
            if part.get("type") != "text":
                yield self._part(part, where)


def _object(text: str) -> dict[str, Any]:
    """A tool's result as the object that it must be."""
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"result": text}


def _placed(url: str) -> Part:
    """A picture or file, in its bytes or by its address."""
    inline = inlined(url)
    if inline is not None:
        return {"inlineData": {"mimeType": inline[0], "data": inline[1]}}
    kind = _TYPES.get(url.partition("?")[0].rpartition(".")[2].lower())
    return {"fileData": {"fileUri": url, **({"mimeType": kind} if kind else {})}}


def _signature_in(message: dict[str, Any]) -> str | None:
    """The signature of what was said, as it was given out."""
    details = message.get("reasoning_details") or ()
    found = [one.get("data") for one in details if one.get("format") == FORMAT]
    return found[-1] if found else None
