"""The output of a response, item by item: what each piece of a chat answer adds to it. Pure.

One item is open at a time, as at OpenAI: thinking, then text, then each call. A call whose arguments are not whole yet
stays open beside the next, since pieces of it may still come. A whole answer is written as one piece, so folding the
events of a stream gives the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from gateway.api.responses.keepsakes import Keepsakes
from gateway.api.responses.outputs import Call, CustomCall, Item, Message, Picture, Thought

Kind = TypeVar("Kind", bound=Item)


class OutputWriter:
    """Writes the items of one response; `events` gathers what is to be said of it, until it is drained."""

    def __init__(self, digits: str, custom: frozenset[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self._items: list[Item] = []
        self._digits = digits
        self._custom = custom
        self._calls: dict[int, Call] = {}
        self._kept = Keepsakes()

    def drain(self) -> list[dict[str, Any]]:
        """The events so far, once."""
        events, self.events = self.events, []
        return events

    def output(self) -> list[dict[str, Any]]:
        """The items as they stand."""
        return [item.told() for item in self._items]

    def take(self, delta: Mapping[str, Any], logprobs: Any = None) -> None:
        """Add a delta, or a whole message as one."""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            self._growing(Thought, "rs").write(thought)
        if self._kept.take(delta) and not self._items:
            self._growing(Thought, "rs")  # thinking that nobody may read comes first, as it was
        if text := delta.get("content"):
            self._growing(Message, "msg").write(text, _entries(logprobs))
        if refused := delta.get("refusal"):
            self._growing(Message, "msg").refuse(refused)
        for cited in delta.get("annotations") or ():
            if cited.get("type") == "url_citation":
                self._growing(Message, "msg").cite({"type": "url_citation", **cited["url_citation"]})
        for image in delta.get("images") or ():
            self._settle()
            self._add(Picture(self._say, self._id("ig"), len(self._items), image["image_url"]["url"]))
        for number, call in enumerate(delta.get("tool_calls") or ()):
            self._take_call(call.get("index", number), call)

    def finish(self, *, is_whole: bool) -> None:
        """Close what is open; of an answer that was cut short the last item is not whole."""
        last = self._items[-1] if self._items else None
        self._keep_in(last)
        for item in self._items:
            if item.is_open:
                item.close(is_whole=is_whole or item is not last)
        if self._kept:
            thought = self._add(Thought(self._say, self._id("rs"), len(self._items)))
            self._keep_in(thought)
            thought.close(is_whole=True)

    def _say(self, event: dict[str, Any]) -> None:
        """Take note of an event."""
        self.events.append(event)

    def _growing(self, kind: type[Kind], prefix: str) -> Kind:
        """The item of a kind that is open, or a further one."""
        last = self._items[-1] if self._items else None
        if isinstance(last, kind) and last.is_open:
            return last
        self._settle()
        return self._add(kind(self._say, self._id(prefix), len(self._items)))

    def _take_call(self, index: int, call: Mapping[str, Any]) -> None:
        function = call.get("function") or {}
        found = self._calls.get(index)
        if found is None:
            found = self._calls[index] = self._begin_call(call.get("id"), function.get("name") or "")
        self._kept.take_call(found.call_id, call)
        if found.is_open and (piece := function.get("arguments")):  # to a whole object nothing can be added
            found.write(piece)

    def _begin_call(self, call_id: str | None, name: str) -> Call:
        self._settle()
        kind, prefix = (CustomCall, "ctc") if name in self._custom else (Call, "fc")
        place = len(self._items)
        named = call_id or f"call_{self._digits}{place:04x}"
        return self._add(kind(self._say, self._id(prefix), place, named, name))

    def _settle(self) -> None:
        """Close what nothing more can come of."""
        for item in self._items:
            if item.is_open and not (isinstance(item, Call) and not item.has_all()):
                self._keep_in(item)
                item.close(is_whole=True)

    def _keep_in(self, item: Item | None) -> None:
        """Put what must come back with the next turn into a thought that is still open."""
        if self._kept and isinstance(item, Thought) and item.is_open:
            item.encrypted, self._kept = self._kept.sealed(), Keepsakes()

    def _add(self, item: Kind) -> Kind:
        self._items.append(item)
        item.begin()
        return item

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._digits}{len(self._items):04x}"


def _entries(logprobs: Any) -> list[dict[str, Any]]:
    """The log probabilities of a piece of text, as the Responses API has them."""
    found = (logprobs or {}).get("content") or ()
    return [{**_entry(one), "top_logprobs": [_entry(top) for top in one.get("top_logprobs") or ()]} for one in found]


def _entry(one: Mapping[str, Any]) -> dict[str, Any]:
    given = one.get("bytes")
    told = given if given is not None else list(one["token"].encode())
    return {"token": one["token"], "bytes": told, "logprob": one["logprob"]}
