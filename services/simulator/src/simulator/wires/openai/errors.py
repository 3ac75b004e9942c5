"""Error bodies: what each provider of this wire says when it refuses. Pure.

The words are ours; statuses, members, types and codes are the providers', because clients decide by those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from simulator.refusals import Refusal
from simulator.wires.openai.rows import ErrorShape, Row


class Words(NamedTuple):
    """What is said of a status when the refusal itself does not say."""

    kind: str
    code: str | None
    message: str


_BY_STATUS = {
    400: Words("invalid_request_error", None, "The request is not valid."),
    401: Words("invalid_request_error", "invalid_api_key", "The API key is not valid."),
    402: Words("insufficient_quota", "insufficient_quota", "The account has no credit left."),
    403: Words("permission_error", "permission_denied", "This key may not do that."),
    404: Words("invalid_request_error", "model_not_found", "There is no such model."),
    408: Words("server_error", "timeout", "The request took too long."),
    409: Words("conflict_error", None, "The request conflicts with another."),
    413: Words("invalid_request_error", "request_too_large", "The request is too large."),
    422: Words("invalid_request_error", None, "The request cannot be processed."),
    429: Words("requests", "rate_limit_exceeded", "The rate limit for requests is reached."),
    500: Words("server_error", None, "The server had an error."),
    502: Words("server_error", None, "Bad gateway."),
    503: Words("server_error", "slow_down", "The service is overloaded for the moment."),
    504: Words("server_error", "timeout", "The model did not answer in time."),
    529: Words("overloaded_error", None, "The service is overloaded."),
}
_KIND_BY_CODE = {
    "insufficient_quota": "insufficient_quota",
    "context_length_exceeded": "invalid_request_error",
    "content_filter": "invalid_request_error",
    "rate_limit_exceeded": "requests",
}
_PARAM_BY_CODE = {"context_length_exceeded": "messages", "content_filter": "prompt"}


class _Fault(NamedTuple):
    """A refusal with every word found."""

    status: int
    message: str
    kind: str
    code: str | None
    param: str | None


def status_of(row: Row, refusal: Refusal) -> int:
    """The HTTP status with which this provider refuses; xAI answers a bad key with 400."""
    return 400 if row.errors == "xai" and refusal.status == 401 else refusal.status


def error_body(row: Row, refusal: Refusal) -> bytes:
    """The JSON body of a refusal."""
    return msgspec.json.encode(_SHAPES[row.errors](_worded(refusal)))


def error_frame(row: Row, refusal: Refusal, chunk: dict[str, Any]) -> bytes:
    """The event that reports an error in the middle of a stream; `chunk` is the stream's usual outer members."""
    fault = _worded(refusal)
    if row.errors == "openrouter":
        told: dict[str, Any] = {**chunk, "error": {"code": fault.code or fault.status, "message": fault.message}}
        told["choices"] = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
        return b"data: " + msgspec.json.encode(told) + b"\n\n"
    if row.errors == "groq":
        told = {"error": {**_groq(fault)["error"], "status_code": fault.status}}
        return b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n"
    return b"data: " + msgspec.json.encode(_openai(fault)) + b"\n\n"


def _worded(refusal: Refusal) -> _Fault:
    words = _BY_STATUS.get(refusal.status, _BY_STATUS[500 if refusal.status >= 500 else 400])
    code = refusal.code or (words.code if refusal.message is None else None)
    kind = refusal.kind or _KIND_BY_CODE.get(code or "", words.kind)
    param = refusal.param or _PARAM_BY_CODE.get(code or "")
    return _Fault(refusal.status, refusal.message or words.message, kind, code, param)


def _openai(fault: _Fault) -> dict[str, Any]:
    return {"error": {"message": fault.message, "type": fault.kind, "param": fault.param, "code": fault.code}}


def _groq(fault: _Fault) -> dict[str, Any]:
    code = {} if fault.code is None else {"code": fault.code}
    return {"error": {"message": fault.message, "type": fault.kind, **code}}


def _mistral(fault: _Fault) -> dict[str, Any]:
    if fault.status == 401:
        return {"detail": fault.message}
    if fault.status == 422:
        place = ["body", *(fault.param or "").split(".")] if fault.param else ["body"]
        return {"detail": [{"type": "value_error", "loc": place, "msg": fault.message}]}
    return {
        "object": "error",
        "message": fault.message,
        "type": fault.kind,
        "param": fault.param,
        "code": fault.code,
        "raw_status_code": fault.status,
    }


def _openrouter(fault: _Fault) -> dict[str, Any]:
    told: dict[str, Any] = {"message": fault.message, "code": fault.status}
    if fault.status >= 429:
        told["metadata"] = {"provider_name": "Simulated", "raw": fault.message}
    return {"error": told, "user_id": "user_simulated"}


def _xai(fault: _Fault) -> dict[str, Any]:
    return {"code": fault.code or fault.kind, "error": fault.message}


def _azure(fault: _Fault) -> dict[str, Any]:
    codes = {404: "DeploymentNotFound", 429: "RateLimitReached"}
    told: dict[str, Any] = {"code": codes.get(fault.status, str(fault.status)), "message": fault.message}
    if fault.code == "content_filter":
        told = {**_openai(fault)["error"], "status": fault.status}
        told["innererror"] = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}
    elif fault.status in (400, 404) and fault.code is not None:
        told.update(_openai(fault)["error"])
    return {"error": told}


def _flat(fault: _Fault) -> dict[str, Any]:
    return {"message": fault.message, "type": fault.kind, "param": fault.param, "code": fault.code}


def _numbered(fault: _Fault) -> dict[str, Any]:
    return {"error": {"message": fault.message, "type": fault.kind, "code": fault.status}}


def _fireworks(fault: _Fault) -> dict[str, Any]:
    return {"error": {"object": "error", "type": fault.kind, "code": fault.code, "message": fault.message}}


def _bare(fault: _Fault) -> dict[str, Any]:
    return {"error": fault.message}


def _vllm(fault: _Fault) -> dict[str, Any]:
    return {"error": {"message": fault.message, "type": fault.kind, "param": fault.param, "code": fault.status}}


_SHAPES: dict[ErrorShape, Callable[[_Fault], dict[str, Any]]] = {
    "openai": _openai,
    "groq": _groq,
    "mistral": _mistral,
    "openrouter": _openrouter,
    "xai": _xai,
    "azure": _azure,
    "cerebras": _flat,
    "perplexity": _numbered,
    "fireworks": _fireworks,
    "bare": _bare,
    "vllm": _vllm,
}
