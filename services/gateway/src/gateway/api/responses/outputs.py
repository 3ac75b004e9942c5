"""The kinds of items that a response is made of: how each begins, grows and ends, and the events that say so. Pure."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import msgspec

Say = Callable[[dict[str, Any]], None]
"""Takes an event, which is numbered later."""


class Item(abc.ABC):
    """One item of the output, at its place in it."""

    def __init__(self, say: Say, item_id: str, index: int) -> None:
        self._say = say
        self.id = item_id
        self.index = index
        self.status = "in_progress"

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self.status == "in_progress"

    @abc.abstractmethod
    def told(self) -> dict[str, Any]:
        """The item as it stands."""

    def begin(self) -> None:
        """Say that it is there."""
        self._say({"type": "response.output_item.added", "output_index": self.index, "item": self.told()})

    def close(self, *, is_whole: bool) -> None:
        """Say all of it."""
        self.status = "completed" if is_whole else "incomplete"
        self.end()
        self._say({"type": "response.output_item.done", "output_index": self.index, "item": self.told()})

    @abc.abstractmethod
    def end(self) -> None:
        """Say what comes before the whole item."""

    def tell(self, kind: str, **members: Any) -> None:
        """Say what became of a part of it."""
        self._say({"type": f"response.{kind}", "item_id": self.id, "output_index": self.index, **members})


class Message(Item):
    """What the assistant says, in parts: texts and refusals."""

    def __init__(self, say: Say, item_id: str, index: int) -> None:
        super().__init__(say, item_id, index)
        self._parts: list[dict[str, Any]] = []

    def told(self) -> dict[str, Any]:
        """The message as it stands."""
        content = [dict(part) for part in self._parts]
        return {"id": self.id, "type": "message", "status": self.status, "role": "assistant", "content": content}

    def write(self, text: str, logprobs: list[dict[str, Any]]) -> None:
        """Go on with a text."""
        part = self._part("output_text")
        part["text"] += text
        part["logprobs"] += logprobs
        shown = [_shown(one) for one in logprobs]
        self._tell_part("output_text.delta", delta=text, logprobs=shown)

    def refuse(self, text: str) -> None:
        """Go on with a refusal."""
        self._part("refusal")["refusal"] += text
        self._tell_part("refusal.delta", delta=text)

    def cite(self, annotation: dict[str, Any]) -> None:
        """Add what the text rests on."""
        cited = self._part("output_text")["annotations"]
        self._tell_part("output_text.annotation.added", annotation_index=len(cited), annotation=annotation)
        cited.append(annotation)

    def end(self) -> None:
        """Say the last part."""
        if not self._parts:
            return
        part = self._parts[-1]
        if part["type"] == "refusal":
            self._tell_part("refusal.done", refusal=part["refusal"])
        else:
            shown = [_shown(one) for one in part["logprobs"]]
            self._tell_part("output_text.done", text=part["text"], logprobs=shown)
        self._tell_part("content_part.done", part=dict(part))

    def _part(self, kind: str) -> dict[str, Any]:
        """The part that is open, which is of this kind from now on."""
        if not self._parts or self._parts[-1]["type"] != kind:
            self.end()
            empty = {"text": "", "annotations": [], "logprobs": []} if kind == "output_text" else {"refusal": ""}
            self._parts.append({"type": kind, **empty})
            begun = {name: list(value) if isinstance(value, list) else value for name, value in self._parts[-1].items()}
            self._tell_part("content_part.added", part=begun)
        return self._parts[-1]

    def _tell_part(self, kind: str, **members: Any) -> None:
        self.tell(kind, content_index=len(self._parts) - 1, **members)


class Thought(Item):
    """What was thought, as a summary of one part; `encrypted` is what comes back unread with the next turn."""

    def __init__(self, say: Say, item_id: str, index: int) -> None:
        super().__init__(say, item_id, index)
        self._text: str | None = None
        self.encrypted: str | None = None

    def told(self) -> dict[str, Any]:
        """The thought as it stands."""
        item: dict[str, Any] = {"id": self.id, "type": "reasoning", "summary": []}
        if self._text is not None:
            item["summary"] = [{"type": "summary_text", "text": self._text}]
        return {**item, "encrypted_content": self.encrypted} if self.encrypted else item

    def write(self, text: str) -> None:
        """Go on with it."""
        if self._text is None:
            self._tell_summary("part.added", part={"type": "summary_text", "text": ""})
        self._text = (self._text or "") + text
        self._tell_summary("text.delta", delta=text)

    def end(self) -> None:
        """Say all of it."""
        if self._text is not None:
            self._tell_summary("text.done", text=self._text)
            self._tell_summary("part.done", part={"type": "summary_text", "text": self._text})

    def _tell_summary(self, what: str, **members: Any) -> None:
        self.tell(f"reasoning_summary_{what}", summary_index=0, **members)


class Call(Item):
    """A call of a function."""

    def __init__(self, say: Say, item_id: str, index: int, call_id: str, name: str) -> None:
        super().__init__(say, item_id, index)
        self.call_id = call_id
        self._name = name
        self._arguments = ""

    def told(self) -> dict[str, Any]:
        """The call as it stands."""
        return {
            "id": self.id,
            "type": "function_call",
            "status": self.status,
            "call_id": self.call_id,
            "name": self._name,
            "arguments": self._arguments,
        }

    def write(self, piece: str) -> None:
        """Go on with the arguments."""
        self._arguments += piece
        self.tell("function_call_arguments.delta", delta=piece)

    def has_all(self) -> bool:
        """Whether the arguments are a whole object, to which nothing can be added."""
        try:
            return isinstance(msgspec.json.decode(self._arguments), dict)
        except (ValueError, RecursionError):
            return False

    def end(self) -> None:
        """Say all arguments; those of a call without any are an empty object."""
        if not self._arguments and self.status == "completed":
            self.write("{}")
        self.tell("function_call_arguments.done", name=self._name, arguments=self._arguments)


class CustomCall(Call):
    """A call of a tool that takes a text, which comes as the one argument of a function: it is shown once it is whole."""

    def told(self) -> dict[str, Any]:
        """The call as it stands."""
        given = "" if self.is_open else self._input()
        return {"id": self.id, "type": "custom_tool_call", "call_id": self.call_id, "name": self._name, "input": given}

    def write(self, piece: str) -> None:
        """Gather the argument."""
        self._arguments += piece

    def end(self) -> None:
        """Say the text."""
        given = self._input()
        self.tell("custom_tool_call_input.delta", delta=given)
        self.tell("custom_tool_call_input.done", input=given)

    def _input(self) -> str:
        try:
            found = msgspec.json.decode(self._arguments)
        except (ValueError, RecursionError):
            return self._arguments  # it broke off, or the model took it for what it is: a text
        text = found.get("input") if isinstance(found, dict) else None
        return text if isinstance(text, str) else self._arguments


class Picture(Item):
    """A picture that the model made, in base64."""

    def __init__(self, say: Say, item_id: str, index: int, url: str) -> None:
        super().__init__(say, item_id, index)
        kind, _, self._bytes = url.partition(";base64,")
        self._format = kind.rpartition("/")[2]

    def told(self) -> dict[str, Any]:
        """The picture, once it is there."""
        item = {"id": self.id, "type": "image_generation_call", "status": self.status, "result": None}
        return item if self.is_open else {**item, "result": self._bytes, "output_format": self._format}

    def end(self) -> None:
        """Say that it is there."""
        self.tell("image_generation_call.completed")


def _shown(logprob: dict[str, Any]) -> dict[str, Any]:
    """A log probability as events show it: without the bytes."""
    tops = [{"token": one["token"], "logprob": one["logprob"]} for one in logprob.get("top_logprobs") or ()]
    return {"token": logprob["token"], "logprob": logprob["logprob"], "top_logprobs": tops}
