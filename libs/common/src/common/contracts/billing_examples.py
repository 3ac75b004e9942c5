"""What billing's events carry in the examples: one of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

THRESHOLD: Mapping[str, Any] = MappingProxyType(
    {
        "budget_id": "0199f3a2-7f1d-7c43-9d10-5a6b7c8d9e0f",
        "owner_user_id": "0199f3a0-11d2-7a6b-8c0e-54f6a7b8c9d0",
        "scope": "user:0199f3a0-11d2-7a6b-8c0e-54f6a7b8c9d0",
        "period": "2026-W47@Europe/Berlin",
        "mode": "hard",
        "percent": 80,
        "limit_usd": "25",
        "spent_usd": "20.0004",
    }
)
RECONCILED: Mapping[str, Any] = MappingProxyType(
    {
        "reconciliation_id": "0199f3c2-3e5e-7b1f-9a0b-1c2d3e4f5061",
        "provider_type": "openai",
        "first_day": "2026-10-01",
        "last_day": "2026-10-31",
        "billed_usd": "1014.27",
        "booked_usd": "1002.113",
        "drift_usd": "12.157",
        "is_alarming": True,
        "rows_off": 3,
        "is_accepted": False,
    }
)
RERATED: Mapping[str, Any] = MappingProxyType(
    {
        "rerating_id": "8d0f4c1b-2a3e-5f67-9b80-c1d2e3f40516",
        "calls": [
            {
                "request_id": "0199f3b0-5d2e-7c10-8f3a-9b0c1d2e3f40",
                "cost_change_usd": "-0.0125",
                "operator_cost_change_usd": "0",
            },
            {
                "request_id": "0199f3b0-5d2f-7d21-9a4b-0c1d2e3f4051",
                "cost_change_usd": "0",
                "operator_cost_change_usd": "0.000301",
            },
        ],
    }
)
