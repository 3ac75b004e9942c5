"""What `usage.recorded` looks like, one example an end that a call can have. Every consumer must digest all of them.

Written by hand, with prices of real models; tests hold each cost to its price and each sum to its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from common.contracts.usage import USAGE_RECORDED
from common.ids import UsageKind, usage_event_id

_KEY = "0199f3a1-6c2e-7d40-9a51-3f0c7be2d914"
_USER = "0199f3a0-11d2-7a6b-8c0e-54f6a7b8c9d0"
_CREDENTIAL = "0199f39f-0a7d-7c11-b0f3-6d5e4f3a2b1c"

_NO_USAGE: dict[str, Any] = {
    "input_tokens": 0,
    "cached_input_tokens": 0,
    "cache_write_5m_tokens": 0,
    "cache_write_1h_tokens": 0,
    "output_tokens": 0,
    "reasoning_tokens": 0,
    "audio_input_tokens": 0,
    "audio_output_tokens": 0,
    "total_tokens": 0,
    "units": {},
    "estimated": False,
}

_GPT_4O = {
    "version": "openai/gpt-4o/2024-10-01",
    "rates": {"input_tokens": "2.5", "cached_input_tokens": "1.25", "output_tokens": "10"},
    "is_fallback": False,
}
_GPT_4O_MINI = {
    "version": "openai/gpt-4o-mini/2024-07-18",
    "rates": {"input_tokens": "0.15", "cached_input_tokens": "0.075", "output_tokens": "0.6"},
    "is_fallback": False,
}
_FALLBACK = {"version": "fallback", "rates": {"input_tokens": "0.5", "output_tokens": "1.5"}, "is_fallback": True}

# What the calls below have in common: made with a key of the system's, for a user, within a budget of 10 dollars.
_CALL: dict[str, Any] = {
    "kind": "final",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "api_key_id": _KEY,
    "user_id": _USER,
    "team_id": None,
    "tier": "starter",
    "source": "api",
    "operation": "chat",
    "provider_type": "openai",
    "provider_id": "openai",
    "credential": "system",
    "credential_id": _CREDENTIAL,
    "billable": True,
    "error": None,
    "budgets": [f"key:{_KEY}"],
    "period": "2026-11",
    "cache": "off",
    "dropped_params": [],
    "simulated": False,
    "tags": {},
    "content_ref": None,
}


def _decision(bound_usd: str, spent_before_usd: str, rate_remaining: int) -> dict[str, Any]:
    return {
        "bound_usd": bound_usd,
        "budget_usd": "10",
        "spent_before_usd": spent_before_usd,
        "rate_limit": 100,
        "rate_remaining": rate_remaining,
    }


def _event(time: str, content: dict[str, Any]) -> dict[str, Any]:
    call = {**_CALL, **content, "started_at": time}
    kind: UsageKind = call["kind"]
    return {
        "specversion": "1.0",
        "id": usage_event_id(call["request_id"], kind),
        "source": "/gateway",
        "type": USAGE_RECORDED,
        "subject": call["request_id"],
        "time": time,
        "datacontenttype": "application/json",
        "data": call,
    }


def _completed() -> dict[str, Any]:
    used = {
        **_NO_USAGE,
        "input_tokens": 812,
        "cached_input_tokens": 1024,
        "output_tokens": 231,
        "total_tokens": 2067,
    }
    return _event(
        "2026-11-21T08:30:00.123Z",
        {
            "request_id": "0199f3b7-2a4b-7c90-8d11-5e6f708192a3",
            "requested_model": "gpt-4o",
            "alias": None,
            "model": "gpt-4o",
            "streamed": False,
            "status": "completed",
            "http_status": 200,
            "finish_reason": "stop",
            "usage": used,
            "raw_usage": {
                "prompt_tokens": 1836,
                "completion_tokens": 231,
                "total_tokens": 2067,
                "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "price": _GPT_4O,
            "cost_usd": "0.00562",
            "operator_cost_usd": "0",
            "latency_ms": 1841,
            "ttft_ms": None,
            "attempts": [
                {
                    "provider": "openai",
                    "model": "gpt-4o",
                    "status": "completed",
                    "http_status": 200,
                    "error": None,
                    "latency_ms": 1838,
                    "usage": used,
                    "cost_usd": "0.00562",
                    "unbilled_usd": "0",
                }
            ],
            "decision": _decision("0.1698", "3.2041177", 73),
            "tags": {"feature": "search"},
        },
    )


def _cancelled() -> dict[str, Any]:
    used = {**_NO_USAGE, "input_tokens": 96, "output_tokens": 143, "total_tokens": 239, "estimated": True}
    hung_up = {"reason": "client_disconnected", "message": "the client hung up"}
    return _event(
        "2026-11-21T08:31:12.004Z",
        {
            "request_id": "0199f3b8-43e1-7f02-a7c4-0b1c2d3e4f50",
            "requested_model": "my-gpt4",
            "alias": "my-gpt4",
            "model": "gpt-4o-mini",
            "streamed": True,
            "status": "cancelled",
            "http_status": 499,
            "error": hung_up,
            "finish_reason": None,
            "usage": used,
            "raw_usage": None,
            "price": _GPT_4O_MINI,
            "cost_usd": "0.0001002",
            "operator_cost_usd": "0",
            "latency_ms": 2210,
            "ttft_ms": 388,
            "attempts": [
                {
                    "provider": "openai",
                    "model": "gpt-4o-mini",
                    "status": "cancelled",
                    "http_status": 200,
                    "error": hung_up,
                    "latency_ms": 2207,
                    "usage": used,
                    "cost_usd": "0.0001002",
                    "unbilled_usd": "0",
                }
            ],
            "decision": _decision("0.00985", "3.2097377", 72),
        },
    )


def _failed() -> dict[str, Any]:
    limited = {"reason": "provider_rate_limited", "message": "Rate limit reached for requests"}
    return _event(
        "2026-11-21T08:33:40.761Z",
        {
            "request_id": "0199f3ba-8830-7b5e-9f62-1a2b3c4d5e6f",
            "requested_model": "my-gpt4",
            "alias": "my-gpt4",
            "provider_type": "openrouter",
            "provider_id": "openrouter",
            "model": "openai/gpt-4o",
            "streamed": False,
            "status": "failed",
            "http_status": 429,
            "error": limited,
            "finish_reason": None,
            "usage": _NO_USAGE,
            "raw_usage": None,
            "price": {**_GPT_4O, "version": "openrouter/openai/gpt-4o/2024-10-01"},
            "cost_usd": "0",
            "operator_cost_usd": "0.00375",
            "latency_ms": 60412,
            "ttft_ms": None,
            "attempts": [
                {
                    "provider": "openai",
                    "model": "gpt-4o",
                    "status": "failed",
                    "http_status": None,
                    "error": {"reason": "provider_timeout", "message": "no answer within 60 s"},
                    "latency_ms": 60003,
                    "usage": None,
                    "cost_usd": "0",
                    "unbilled_usd": "0.00375",
                },
                {
                    "provider": "openrouter",
                    "model": "openai/gpt-4o",
                    "status": "failed",
                    "http_status": 429,
                    "error": limited,
                    "latency_ms": 404,
                    "usage": None,
                    "cost_usd": "0",
                    "unbilled_usd": "0",
                },
            ],
            "decision": _decision("0.16759", "3.2098379", 71),
        },
    )


def _estimated() -> dict[str, Any]:
    used = {**_NO_USAGE, "input_tokens": 420, "output_tokens": 512, "total_tokens": 932, "estimated": True}
    lost = {"reason": "gateway_lost", "message": "the gateway that served this call was lost"}
    return _event(
        "2026-11-21T08:35:02.550Z",
        {
            "kind": "estimated",
            "request_id": "0199f3bb-c7a6-7e31-8b40-6f5e4d3c2b1a",
            "requested_model": "gpt-4o",
            "alias": None,
            "model": "gpt-4o",
            "streamed": True,
            "status": "failed",
            "http_status": 500,
            "error": lost,
            "finish_reason": None,
            "usage": used,
            "raw_usage": None,
            "price": _GPT_4O,
            "cost_usd": "0.00617",
            "operator_cost_usd": "0",
            "latency_ms": 0,
            "ttft_ms": None,
            "attempts": [
                {
                    "provider": "openai",
                    "model": "gpt-4o",
                    "status": "failed",
                    "http_status": None,
                    "error": lost,
                    "latency_ms": 0,
                    "usage": used,
                    "cost_usd": "0.00617",
                    "unbilled_usd": "0",
                }
            ],
            "decision": None,
        },
    )


def _tracked() -> dict[str, Any]:
    used = {**_NO_USAGE, "input_tokens": 2000, "output_tokens": 350, "total_tokens": 2350}
    return _event(
        "2026-11-20T23:59:59.500Z",
        {
            "request_id": "0199f3bd-015c-7d88-a1b2-c3d4e5f60718",
            "trace_id": None,
            "api_key_id": None,
            "source": "track",
            "requested_model": "in-house-7b",
            "alias": None,
            "provider_type": "custom",
            "provider_id": None,
            "model": "in-house-7b",
            "credential_id": None,
            "billable": False,
            "streamed": False,
            "status": "tracked",
            "http_status": 200,
            "finish_reason": None,
            "usage": used,
            "raw_usage": None,
            "price": _FALLBACK,
            "cost_usd": "0.001525",
            "operator_cost_usd": "0",
            "budgets": [f"user:{_USER}"],
            "latency_ms": 0,
            "ttft_ms": None,
            "attempts": [],
            "decision": None,
            "tags": {"environment": "batch"},
        },
    )


USAGE_EXAMPLES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "completed": _completed(),
        "streamed-and-cancelled": _cancelled(),
        "failed-after-two-attempts": _failed(),
        "estimated-by-the-reaper": _estimated(),
        "tracked": _tracked(),
    }
)
"""The envelope as JSON, by what the example shows."""
