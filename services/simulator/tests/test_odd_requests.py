"""What no API describes is refused, as a provider would, and nothing that is asked for is without a bound."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from simulator.bills import MOST_RATES, Bills, Rates
from simulator.operations import BesideChat, Operation
from simulator.records import CallRecords
from simulator.refusals import Refusal
from simulator.wires import JSON
from simulator.wires.bedrock.operations import INVOKE
from simulator.wires.cohere.operations import OPERATIONS as COHERE
from simulator.wires.gemini.accounts import TokenSpeaker
from simulator.wires.gemini.operations import VERBS
from simulator.wires.openai.operations import OPERATIONS as OPENAI

ODD: list[Any] = [1, "  ", [1], [[]], {}, {"a": 1}, [{}], True, -5, [None], 10**9]
GOOD: dict[str, Any] = {
    "model": "m", "input": "x", "texts": ["a"], "input_type": "x", "documents": ["a"], "query": "q", "prompt": "p",
    "inputText": "a", "requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}}],
    "content": {"parts": [{"text": "a"}]}, "instances": [{"content": "a"}],
}  # fmt: skip
EACH = {**OPENAI, **COHERE, **VERBS, "/invoke": INVOKE}


class Chat:
    """What an operation needs of its provider's wire."""

    provider, needs_key, kept_as, stream_type, whole_type = "google", False, "", JSON, JSON


@pytest.mark.parametrize("name", EACH)
def test_members_of_no_known_shape_are_read_or_refused(name: str) -> None:
    operation: Operation = EACH[name]
    wire = BesideChat(Chat(), name, operation, "m")  # type: ignore[arg-type]
    refused = 0
    for member in (*GOOD, "dimensions", "top_n", "n", "output_dimension", "parameters", "embedContentConfig"):
        for odd in ODD:
            try:
                prompt = wire.prompt(json.dumps({**GOOD, member: odd}).encode())
            except Refusal as refusal:
                refused += refusal.status == 400
                continue
            assert prompt.asked.get("size", 1) * len(prompt.asked.get("texts", ())) <= 4_000_000
            assert prompt.asked.get("count", 1) <= 128
    assert refused or name.startswith("/audio")


@pytest.mark.parametrize(
    "item",
    [{"type": "function_call"}, {"type": "function_call", "call_id": [], "name": 1}, {"role": "user", "content": [1]},
     {"type": "reasoning", "encrypted_content": 1}, {"type": "item_reference", "id": {}}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["", "/input_tokens"])
def test_items_of_no_known_shape_are_refused(caller: Any, item: dict[str, Any], path: str) -> None:
    answer = caller.http.post(
        f"/openai/v1/responses{path}",
        json={"model": "gpt-4", "input": [item]},
        headers={"authorization": "Bearer sim-ok"},
    )
    assert answer.status_code in (400, 404), answer.text


@pytest.mark.parametrize("claims", [{"exp": 5, "iat": 1}, {"exp": "a", "iat": 1, "iss": "a"}, {}])
def test_an_assertion_without_its_claims_is_refused(claims: dict[str, Any]) -> None:
    told = {"aud": "https://oauth2.googleapis.com/token", **claims}
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "RS256"}, told)]
    form = f"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={'.'.join([*parts, 'x'])}"
    with pytest.raises(Refusal):
        TokenSpeaker().listed("POST", "", form.encode())


@pytest.mark.parametrize("rate", ["-1", "NaN", "Infinity"])
def test_a_rate_that_is_no_amount_is_refused(caller: Any, rate: str) -> None:
    told = {"provider": "openai", "model": "gpt-4", "input": rate}
    assert caller.http.post("/control/rates", json=told).status_code == 400


def test_rates_past_the_bound_are_refused_and_not_forgotten() -> None:
    bills = Bills(CallRecords())
    for number in range(MOST_RATES):
        bills.set_rates(Rates("openai", str(number)))
    bills.set_rates(Rates("openai", "7"))
    with pytest.raises(Refusal):
        bills.set_rates(Rates("openai", "another"))
