"""What wires that translate have in common: the client's chat request read as objects, and answers written as chat. Pure.

A wire takes the members it has a word for out of `Asked`; what is left and was really asked for is what it drops, by
name. Content that it has no word for is never left out: `untranslatable` says so.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from common.usage import Usage

from gateway.providers.counting import estimate_tokens
from gateway.providers.errors import ProviderFailed, untranslatable
from gateway.providers.framing import EventSplitter, EventTooLarge
from gateway.providers.wire import Answer, Identity, Members

_SET_BY_THE_GATEWAY = ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "drop_params")
_ASKS_NOTHING: dict[str, Any] = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "top_logprobs": 0,
    "n": 1,
    "temperature": 1,
    "top_p": 1,
    "store": False,
    "logit_bias": {},
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "service_tier": "auto",
    "tool_choice": "auto",
    "response_format": {"type": "text"},
    "tools": [],
    "metadata": {},
}
"""Values that ask for what happens anyway."""
_DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)(?:;[\w=.+-]+)*?(?P<base64>;base64)?,", re.ASCII)

_encode = msgspec.json.encode


@contextmanager
def as_described() -> Iterator[None]:
    """While inside, a request that is not as the API describes it raises ProviderFailed: its content is checked nowhere
    else, so that a gateway refuses nothing that a provider takes."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise untranslatable("the messages or tools are not as the API describes them", "messages") from error


class Asked:
    """A chat request whose members are taken one by one."""

    __slots__ = ("_left",)

    def __init__(self, members: Members) -> None:
        try:
            self._left: dict[str, Any] = {
                name: msgspec.json.decode(value) for name, value in members.items() if name not in _SET_BY_THE_GATEWAY
            }
        except (ValueError, RecursionError):
            raise untranslatable("the request is nested too deeply to be translated") from None

    def take(self, name: str) -> Any:
        """A member's value, which from now on counts as carried; None where it is absent."""
        return self._left.pop(name, None)

    def dropped(self) -> tuple[str, ...]:
        """The names of what nobody took and what was not asked for idly."""
        return tuple(
            name
            for name, value in self._left.items()
            if value is not None and not (name in _ASKS_NOTHING and value == _ASKS_NOTHING[name])
        )

    def put_back(self, name: str, value: Any) -> None:
        """What was taken cannot be carried after all."""
        self._left[name] = value

    def single_choice(self, provider: str) -> None:
        """Refuses `n` above one: several answers cannot be made of one."""
        if (self.take("n") or 1) != 1:
            raise untranslatable(f"{provider} gives one answer a call; n must be 1", "n")

    def messages(self) -> list[dict[str, Any]]:
        """The messages; calls and results in the old shape (`function_call`) come in that of tools."""
        return [_modern(message) for message in self.take("messages")]

    def tools(self) -> tuple[list[dict[str, Any]], Any, bool]:
        """Tools, the choice among them (None: the provider's usual one), and whether several may be called at once."""
        tools = [{"type": "function", **tool} if "function" in tool else tool for tool in self.take("tools") or ()]
        tools += [{"type": "function", "function": function} for function in self.take("functions") or ()]
        choice, old = self.take("tool_choice"), self.take("function_call")
        if choice is None and old is not None:
            choice = {"type": "function", "function": old} if isinstance(old, dict) else old
        may_repeat = self.take("parallel_tool_calls") is not False
        return tools, choice if tools else None, may_repeat

    def stops(self) -> list[str]:
        """The stop sequences."""
        stop = self.take("stop")
        return [stop] if isinstance(stop, str) else list(stop or ())

    def schema(self) -> tuple[bool, dict[str, Any] | None]:
        """Whether the answer must be JSON, and the schema that it must satisfy."""
        wanted = self.take("response_format")
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        if kind == "json_schema":
            return True, (wanted.get("json_schema") or {}).get("schema") or None
        return kind == "json_object", None

    def effort(self) -> str | None:
        """How much the model should think, by OpenAI's word for it."""
        effort, reasoning = self.take("reasoning_effort"), self.take("reasoning")
        if effort is None and isinstance(reasoning, dict):
            effort = reasoning.get("effort")
        return effort if isinstance(effort, str) else None

    def caller(self) -> str | None:
        """Who the call is made for, as the client names them."""
        found = [self.take(name) for name in ("safety_identifier", "user")]
        return next((name for name in found if isinstance(name, str) and name), None)


def parts_of(content: Any, where: str) -> Iterator[dict[str, Any]]:
    """Content as parts, whether it came as one text or in parts; empty texts are left out."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    for number, part in enumerate(parts):
        if not isinstance(part, dict):
            raise untranslatable(f"{where}.content[{number}] is no part", f"{where}.content[{number}]")
        if part.get("type") != "text" or part.get("text"):
            yield part


def text_of(content: Any) -> str:
    """The text of content, its parts joined."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if isinstance(part, dict))


def inlined(url: str) -> tuple[str, str] | None:
    """Media type and base64 text of a `data:` URL; None for any other. Raises ProviderFailed for one in plain text."""
    if not url.startswith("data:"):
        return None
    found = _DATA_URL.match(url)
    if found is None or not found["base64"]:
        raise untranslatable("a data: URL must be in base64")
    return found["type"] or "application/octet-stream", url[found.end() :]


def arguments_of(call: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a tool call, as the object they are. Raises ProviderFailed for what is none."""
    text = (call.get("function") or {}).get("arguments") or "{}"
    try:
        found = msgspec.json.decode(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise untranslatable("the arguments of a tool call are no JSON object", "messages")
    return found


def tool_call(index: int | None, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call as clients know it; with an index in streams."""
    told: dict[str, Any] = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return told if index is None else {"index": index, **told}


def compact(value: Any) -> str:
    """JSON text without spaces."""
    return _encode(value).decode()


def completion(
    identity: tuple[str, int, str],
    message: dict[str, Any],
    finish: str,
    usage: Usage | None,
    raw_usage: dict[str, Any] | None,
    service_tier: str | None = None,
    logprobs: Any = None,
) -> Answer:
    """A whole answer of one choice; `identity` is its id, creation (seconds since 1970) and model."""
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    told: dict[str, Any] = {
        "id": identity[0],
        "object": "chat.completion",
        "created": identity[1],
        "model": identity[2],
        "choices": [choice],
    }
    if usage is not None:
        told["usage"] = usage.as_openai()
    return Answer(_encode(told), usage, raw_usage, finish, identity[2], service_tier)


def message_of(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the deltas of a stream add up to."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for delta in deltas:
        for name, value in delta.items():
            message[name] = value if message.get(name) is None else message[name] + value
    for call in message.get("tool_calls", ()):
        del call["index"]
    return message


class ChatStream(abc.ABC):
    """What decoders of translated streams share: framing, failures, and chunks as clients know them.

    A wire's own decoder reads one event at a time in `read_event`, gives back the chunks for it (`chunk`), and sets
    `finished` once the provider has said why the answer ended.
    """

    read_plain = None

    def __init__(self, provider: str, created: int, model: str, *, wants_usage: bool) -> None:
        self.provider = provider
        self.created = created
        self.wants_usage = wants_usage
        self.events = EventSplitter()
        self.answer_id = ""
        self.model = model
        self.finished: str | None = None
        self.is_done = False
        self.failure: ProviderFailed | None = None
        self.raw_usage: dict[str, Any] | None = None
        self.service_tier: str | None = None
        self.content_bytes = 0
        self.pieces = 0
        self._has_begun = False

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended."""
        return self.finished

    @property
    def identity(self) -> Identity:
        """What all chunks of the stream carry."""
        return (self.answer_id, self.created, self.model) if self._has_begun else (None, None, None)

    def take_event(self, name: bytes, data: bytes) -> bytes:
        """What the client sees of one event."""
        return self.read_event(name, msgspec.json.decode(data))

    @abc.abstractmethod
    def read_event(self, name: bytes, told: Any) -> bytes:
        """The chunks for one event of the provider. Raises ProviderFailed."""

    @abc.abstractmethod
    def usage(self) -> Usage | None:
        """What the provider reported."""

    def feed(self, piece: bytes) -> bytes:
        """Events for the client. Where the stream breaks or holds an error, those before it; `failure` then says so."""
        try:
            return self._take(self.events.feed(piece))
        except EventTooLarge:
            self.failure = self.broken("sent an event without end")
            return b""

    def finish(self) -> bytes:
        """The last events; `failure` is set when the stream ended before the answer did."""
        last = self._take(self.events.finish())
        if self.failure is not None:
            return last
        if self.finished is None:
            self.failure = self.broken("ended the stream before the answer was whole")
            return last
        return last + self.closing()

    def closing(self) -> bytes:
        """The chunks that end a whole answer, where the provider's own end is not shown as it comes."""
        return b""

    def delivered_tokens(self) -> int:
        """Output tokens seen so far, estimated."""
        return estimate_tokens(self.content_bytes, self.pieces)

    def count(self, text: str) -> None:
        """Take note of what was delivered."""
        if text:
            self.content_bytes += len(text)
            self.pieces += 1

    def chunk(self, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        """A chunk as an event; before the first one, that with the role."""
        first = self.opening()
        told: dict[str, Any] = {
            "id": self.answer_id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}],
        }
        if self.wants_usage:
            told["usage"] = None
        return first + b"data: " + _encode(told) + b"\n\n"

    def opening(self) -> bytes:
        """The chunk with the role, once."""
        if self._has_begun:
            return b""
        self._has_begun = True
        return self.chunk({"role": "assistant", "content": ""})

    def broken(self, how: str) -> ProviderFailed:
        """The failure of a stream that is not sound."""
        return ProviderFailed("broken", f"{self.provider} {how}")

    def _take(self, events: list[tuple[bytes, bytes]]) -> bytes:
        taken: list[bytes] = []
        try:
            for name, data in events:
                if not self.is_done and data and data.strip() != b"[DONE]":
                    taken.append(self.take_event(name, data))
        except ProviderFailed as failure:
            self.failure = failure
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            self.failure = self.broken("sent a chunk that cannot be read")
        return b"".join(taken)


def _modern(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "function":
        return {**message, "role": "tool", "tool_call_id": f"call_{message.get('name')}"}
    called = message.get("function_call")
    if isinstance(called, dict) and not message.get("tool_calls"):
        call = {"id": f"call_{called.get('name')}", "type": "function", "function": called}
        return {**message, "tool_calls": [call]}
    return message
