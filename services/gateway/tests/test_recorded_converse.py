"""What Bedrock really answers, through the wire: all of it is read, counted and valid, or refused for a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from common.providers.registry import PROVIDERS
from common.usage import TOKEN_BUCKETS
from gateway.providers.wires.bedrock import decode_error, decode_response
from openai.types.chat import ChatCompletion
from recordings import found

BEDROCK = PROVIDERS["bedrock"]
_BY_HAND = Path(__file__).parent / "fixtures" / "providers" / "bedrock" / "whole.json"


def recorded() -> list[dict[str, Any]]:
    """Every call of Converse: one by hand, and the recorded ones where there are."""
    told = [{"id": "by hand", "status": 200, "response": json.loads(_BY_HAND.read_text("utf-8"))}]
    path = found()
    for line in path.read_text("utf-8").splitlines() if path else ():
        exchange = json.loads(line)
        if exchange["provider"] == "bedrock" and exchange["path"].endswith(("/converse", "/converse-stream")):
            exchange["response"] = exchange.get("response") or json.loads(exchange["raw"])
            told.append(exchange)
    return told


def named(these: list[dict[str, Any]]) -> Any:
    """A test for each exchange, under its name."""
    return pytest.mark.parametrize("exchange", [pytest.param(one, id=one["id"]) for one in these])


@named([one for one in recorded() if one["status"] == 200])
def test_an_answer_is_read_counted_and_valid(exchange: dict[str, Any]) -> None:
    told = exchange["response"]
    answer = decode_response(json.dumps(told).encode(), BEDROCK, 1_790_000_000, "us.anthropic.claude")
    assert answer.usage is not None
    assert all(getattr(answer.usage, bucket) >= 0 for bucket in TOKEN_BUCKETS)
    assert answer.usage.total_tokens == told["usage"]["totalTokens"]
    read = ChatCompletion.model_validate(json.loads(answer.body), strict=True)
    blocks = told["output"]["message"]["content"]
    message = read.choices[0].message
    assert (message.content or "") == "".join(block.get("text", "") for block in blocks)
    assert [json.loads(call.function.arguments) for call in message.tool_calls or () if call.type == "function"] == [
        block["toolUse"]["input"] for block in blocks if "toolUse" in block
    ]
    shown = json.loads(answer.body)["choices"][0]["message"]
    signed = [block["reasoningContent"]["reasoningText"] for block in blocks if "reasoningContent" in block]
    assert [detail["signature"] for detail in shown.get("reasoning_details", ())] == [
        thought["signature"] for thought in signed if thought.get("signature")
    ]


@named(
    [one for one in recorded() if one["status"] != 200]
    or [{"id": "none", "status": 400, "response": {"message": "No."}}]
)
def test_a_refusal_keeps_its_status_and_words(exchange: dict[str, Any]) -> None:
    failed = decode_error(exchange["status"], json.dumps(exchange["response"]).encode(), BEDROCK, None)
    assert (failed.client_status, failed.message) == (exchange["status"], exchange["response"]["message"])
