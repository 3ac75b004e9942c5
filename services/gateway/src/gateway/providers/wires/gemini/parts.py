"""Parts of an answer as what a chat message holds: the same mapping for whole answers and for each chunk of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.providers.chat import compact, tool_call

FORMAT = "google-gemini-v1"
"""What marks reasoning details as this wire's."""

_FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "MAX_TOKENS": "length",
        **dict.fromkeys(
            (
                "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
                "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
            ),
            "content_filter",
        ),
    }
)  # fmt: skip


class Reader:
    """Reads answers, or the chunks of one, into deltas; knows what came before."""

    def __init__(self) -> None:
        self.text = ""
        self.calls = 0
        self.answer_id = ""
        self.finished: str | None = None

    def deltas(self, told: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What an answer, or a chunk of one, brings. A prompt that was blocked is an answer that refuses."""
        self.answer_id = told.get("responseId") or self.answer_id
        candidates = told.get("candidates")
        if not candidates:
            return self._blocked(told.get("promptFeedback") or {})
        candidate = candidates[0]
        brought = [self._delta(part) for part in (candidate.get("content") or {}).get("parts") or ()]
        if reason := candidate.get("finishReason"):
            self.finished = self._finish(reason)
            if self.finished == "content_filter":
                brought.append({"refusal": candidate.get("finishMessage") or f"The answer was stopped: {reason}."})
        if cited := _cited(candidate.get("groundingMetadata") or {}, self.text):
            brought.append({"annotations": cited})
        return [delta for delta in brought if delta]

    def _finish(self, reason: str) -> str:
        found = _FINISH_REASONS.get(reason, "stop")
        return "tool_calls" if found == "stop" and self.calls else found

    def _blocked(self, feedback: Mapping[str, Any]) -> list[dict[str, Any]]:
        reason = feedback.get("blockReason")
        if not reason:
            return []
        self.finished = "content_filter"
        return [{"refusal": feedback.get("blockReasonMessage") or f"The prompt was blocked: {reason}."}]

    def _delta(self, part: Mapping[str, Any]) -> dict[str, Any]:
        if "functionCall" in part:
            return {"tool_calls": [self._call(part)]}
        if "text" in part:
            return self._text(part)
        if "inlineData" in part and not part.get("thought"):
            inline = part["inlineData"]
            url = f"data:{inline['mimeType']};base64,{inline['data']}"
            return {"images": [{"type": "image_url", "image_url": {"url": url}}], **_signed(part)}
        if set(part) <= {"thoughtSignature", "thought"}:
            return _signed(part)
        return {"provider_blocks": [dict(part)]}

    def _text(self, part: Mapping[str, Any]) -> dict[str, Any]:
        text = part["text"]
        if part.get("thought"):
            return {"reasoning_content": text, **_signed(part)}
        self.text += text
        return ({"content": text} if text else {}) | _signed(part)

    def _call(self, part: Mapping[str, Any]) -> dict[str, Any]:
        called, number = part["functionCall"], self.calls
        self.calls += 1
        call_id = called.get("id") or f"call_{self.answer_id}_{number}"
        told = tool_call(number, call_id, called["name"], compact(called.get("args") or {}))
        if part.get("thoughtSignature"):
            told["extra_content"] = {"google": {"thought_signature": part["thoughtSignature"]}}
        return told


def logprobs_of(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """The log probabilities of an answer's first candidate, where it has any."""
    candidates = told.get("candidates") or [{}]
    found = candidates[0].get("logprobsResult")
    if not isinstance(found, dict):
        return None
    tops = found.get("topCandidates") or []
    chosen = found.get("chosenCandidates") or []
    return {
        "content": [
            {**_logprob(one), "top_logprobs": [_logprob(top) for top in _beside(tops, place)]}
            for place, one in enumerate(chosen)
        ],
        "refusal": None,
    }


def _beside(tops: list[Any], place: int) -> list[Any]:
    return (tops[place].get("candidates") or []) if place < len(tops) else []


def _logprob(one: Mapping[str, Any]) -> dict[str, Any]:
    token = one.get("token") or ""
    return {"token": token, "logprob": one.get("logProbability") or 0.0, "bytes": list(token.encode())}


def _signed(part: Mapping[str, Any]) -> dict[str, Any]:
    signature = part.get("thoughtSignature")
    if not signature:
        return {}
    return {"reasoning_details": [{"type": "reasoning.encrypted", "data": signature, "format": FORMAT}]}


def _cited(grounding: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    """The pages that an answer rests on, and where in it; Google counts in bytes of UTF-8, clients in characters."""
    pages = [
        chunk.get("web") or chunk.get("retrievedContext") or {} for chunk in grounding.get("groundingChunks") or ()
    ]
    encoded = text.encode()
    told = []
    for support in grounding.get("groundingSupports") or ():
        segment = support.get("segment") or {}
        places = [len(encoded[: segment.get(name) or 0].decode(errors="ignore")) for name in ("startIndex", "endIndex")]
        for number in support.get("groundingChunkIndices") or ():
            page = pages[number] if 0 <= number < len(pages) else {}
            if page.get("uri"):
                place = {"start_index": places[0], "end_index": places[1]}
                cited = {**place, "url": page["uri"], "title": page.get("title") or ""}
                told.append({"type": "url_citation", "url_citation": cited})
    return told
