"""Pictures of the `gemini` wire: by generateContent, one a call, counted in tokens; by older models, which draw alone, by
`:predict`, several a call and paid by the picture.

What OpenAI calls `size` is a ratio here; one that is nearly offered counts as offered. Pictures come in base64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import Asked
from gateway.providers.counting import MOST_PICTURE_TOKENS
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.gemini.failures import failure_of
from gateway.providers.wires.gemini.usage import decode_usage

_PREDICTS = re.compile(r"(^|/)imagen")
_SIZE = re.compile(r"(?P<width>[1-9]\d{1,4})x(?P<height>[1-9]\d{1,4})")
_RATIOS = ((1, 1), (3, 4), (4, 3), (9, 16), (16, 9))
_MORE_RATIOS = (*_RATIOS, (2, 3), (3, 2), (4, 5), (5, 4), (21, 9))
_NEARLY = 0.05
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
_REFUSED = "content_policy_violation"


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The request. Raises ProviderFailed for several pictures of a model that draws one a call."""
    asked = Asked(members)
    prompt = asked.take("prompt")
    _leave_format(asked)
    if _PREDICTS.search(model):
        ratio = _ratio(asked, _RATIOS)
        parameters: dict[str, Any] = {"sampleCount": asked.take("n") or 1, "includeRaiReason": True}
        parameters |= {"aspectRatio": ratio} if ratio else {}
        verb, body = "predict", {"instances": [{"prompt": prompt}], "parameters": parameters}
    else:
        asked.single_choice(f"This model of {provider.display_name}")
        verb, body = "generateContent", _drawing(prompt, _ratio(asked, _MORE_RATIOS))
    return Outgoing(f"/models/{quote(model, safe='@')}:{verb}", msgspec.json.encode(body), asked.dropped())


def decode(body: bytes, _members: Members, provider: ProviderRow, created: int, _model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is none, and for a prompt that nothing may be drawn of."""
    try:
        told = msgspec.json.decode(body)
        if isinstance(told.get("error"), dict):
            raise failure_of(told["error"], provider)
        pictures = _predicted(told) if "predictions" in told else _drawn(told)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no picture") from error
    if not pictures:
        raise _refused(told, provider)
    raw = told.get("usageMetadata")
    raw = raw if isinstance(raw, dict) else None
    answer: dict[str, Any] = {"created": created, "data": [{"b64_json": data} for _, data in pictures]}
    if form := _FORMATS.get(pictures[0][0]):
        answer["output_format"] = form
    usage = _used(raw, len(pictures))
    if raw is not None:
        answer["usage"] = _shown(usage)
    return Answer(msgspec.json.encode(answer), usage, raw, None, told.get("modelVersion"), None)


def _drawing(prompt: str, ratio: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {"responseModalities": ["IMAGE"], "maxOutputTokens": MOST_PICTURE_TOKENS}
    if ratio:
        config["imageConfig"] = {"aspectRatio": ratio}
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config}


def _leave_format(asked: Asked) -> None:
    """Pictures come in base64: an address cannot be had, so that wish stays what it is, dropped."""
    wanted = asked.take("response_format")
    if wanted not in (None, "b64_json"):
        asked.put_back("response_format", wanted)


def _ratio(asked: Asked, offered: tuple[tuple[int, int], ...]) -> str | None:
    """The offered ratio that a size has, nearly; a size that has none is dropped."""
    size = asked.take("size")
    if size in (None, "auto"):
        return None
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is not None:
        wanted = int(found["width"]) / int(found["height"])
        width, height = min(offered, key=lambda one: abs(one[0] / one[1] / wanted - 1))
        if abs(width / height / wanted - 1) <= _NEARLY:
            return f"{width}:{height}"
    asked.put_back("size", size)
    return None


def _predicted(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Type and base64 of each picture; some may have been held back."""
    return [
        (one.get("mimeType") or "", one["bytesBase64Encoded"])
        for one in told["predictions"] or ()
        if "bytesBase64Encoded" in one
    ]


def _drawn(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    candidates = told.get("candidates") or [{}]
    parts = (candidates[0].get("content") or {}).get("parts") or ()
    found = [part["inlineData"] for part in parts if "inlineData" in part and not part.get("thought")]
    return [(one.get("mimeType") or "", one["data"]) for one in found]


def _refused(told: Mapping[str, Any], provider: ProviderRow) -> ProviderFailed:
    """Why nothing was drawn, in the provider's words where it has any."""
    candidates, feedback = told.get("candidates") or [{}], told.get("promptFeedback") or {}
    reasons = [one.get("raiFilteredReason") for one in told.get("predictions") or ()]
    reasons += [feedback.get("blockReason"), candidates[0].get("finishMessage"), candidates[0].get("finishReason")]
    words = next((str(reason)[:2000] for reason in reasons if reason), "nothing was drawn")
    return ProviderFailed(
        "bad_request",
        f"{provider.display_name} drew nothing: {words}",
        status=400,
        error_type="image_generation_user_error",
        param="prompt",
        code=_REFUSED,
    )


def _used(raw: dict[str, Any] | None, count: int) -> Usage:
    """What was used; where the report does not say of what kind the tokens are that were made, they are of pictures."""
    usage = decode_usage(raw) if raw is not None else None
    if raw is None or usage is None:
        return Usage(units={"images": count})
    units = {"images": count, **usage.units}
    if not raw.get("candidatesTokensDetails") and usage.output_tokens:
        return msgspec.structs.replace(
            usage, output_tokens=0, units={**units, "output_image_tokens": usage.output_tokens}
        )
    return msgspec.structs.replace(usage, units=units)


def _shown(usage: Usage) -> dict[str, Any]:
    """Usage as answers with pictures tell it."""
    made = usage.completion_tokens + usage.units.get("output_image_tokens", 0)
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"text_tokens": usage.prompt_tokens, "image_tokens": 0},
        "output_tokens": made,
        "total_tokens": usage.prompt_tokens + made,
    }
