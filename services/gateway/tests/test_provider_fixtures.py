"""Each provider that speaks OpenAI's wire is one row and one folder of fixtures; this reads every folder there is.

A folder holds a whole answer with two tool calls (`whole.json`), the same answer as a stream (`stream.sse`), and what the
provider says to a bad key, a rate limit and trouble of its own (`refusals.json`).
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from common.contracts.snapshots import CredentialSnapshot, ProviderSnapshot
from common.providers.registry import PROVIDERS, ProviderRow
from gateway.providers.errors import FailureClass
from gateway.providers.wires.openai import decode_error, decode_response
from gateway_stack import Stack, model_snapshot
from wire_streams import decode, fold, shown

FOLDERS = Path(__file__).parent / "fixtures" / "providers"
ROOT = Path(__file__).resolve().parents[3]
SPEAKERS = [row for row in PROVIDERS.values() if row.wire == "openai"]
FILES = {"whole.json", "stream.sse", "refusals.json"}
OFFERED = {"openai", "openrouter", "groq", "together", "custom"}
"""Named by what the product itself offers: tiers, seeds, examples."""
MEANINGS: list[FailureClass] = ["auth", "rate_limited", "unavailable"]

each_speaker = pytest.mark.parametrize("row", SPEAKERS, ids=lambda row: row.type)


def read(row: ProviderRow, name: str) -> Any:
    """A JSON file of the provider's folder."""
    return json.loads((FOLDERS / row.type / name).read_text("utf-8"))


@each_speaker
def test_a_folder_has_three_files(row: ProviderRow) -> None:
    assert {path.name for path in (FOLDERS / row.type).iterdir()} == FILES


@each_speaker
def test_a_whole_answer_is_read_and_counted(row: ProviderRow) -> None:
    told = read(row, "whole.json")
    answer = decode_response(json.dumps(told).encode(), row, 0)
    assert answer.finish_reason == "tool_calls"
    assert answer.usage is not None
    assert answer.usage.total_tokens == told["usage"]["total_tokens"]
    calls = json.loads(answer.body)["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["read_tide", "read_wind"]


@each_speaker
def test_a_stream_amounts_to_the_whole_answer_however_it_is_cut(row: ProviderRow) -> None:
    answer = decode_response(json.dumps(read(row, "whole.json")).encode(), row, 0)
    message = json.loads(answer.body)["choices"][0]["message"]
    stream = (FOLDERS / row.type / "stream.sse").read_bytes()
    draw = random.Random(row.type)
    for cuts in ([], [draw.randrange(len(stream)) for _ in range(50)]):
        seen, decoder = decode(stream, cuts=cuts, provider=row)
        assert decoder.failure is None
        assert decoder.usage() == answer.usage
        [folded] = fold(shown(seen))
        assert folded["finish_reason"] == "tool_calls"
        assert folded["content"] == (message["content"] or "")
        assert folded["reasoning"] == (message.get("reasoning_content") or message.get("reasoning") or "")
        assert [(call["name"], call["arguments"]) for call in folded["tool_calls"]] == [
            (call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]
        ]


@each_speaker
def test_a_refusal_means_what_it_says(row: ProviderRow) -> None:
    for told, meaning in zip(read(row, "refusals.json"), MEANINGS, strict=True):
        failed = decode_error(told["status"], json.dumps(told["body"]).encode(), row, None)
        assert failed.failure == meaning
        if meaning == "auth":  # never a 401: the caller's own key is fine, and the words may hold some of ours
            assert (failed.client_status, failed.message) == (502, f"{row.display_name} refused our credential")


def test_what_a_provider_took_is_one_row_and_its_folder() -> None:
    """Beside these, a provider's name stands in files that are generated from the table, and nowhere in the product."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    product = [name for name in listed if re.match(r"(libs|services/(?!simulator)|cli)/.*src/.*\.(py|lua|sql)$", name)]
    texts = {name: (ROOT / name).read_text("utf-8") for name in product}
    for row in SPEAKERS:
        if row.type in OFFERED:
            continue
        named = {name for name, text in texts.items() if re.search(rf"""["']{row.type}["']""", text)}
        assert named == {"libs/common/src/common/providers/registry.py"}, row.type


async def test_a_row_is_all_it_takes_to_be_called(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(PROVIDERS["custom"], type="tidal", display_name="Tidal", base_url="https://api.tidal.example/v1")
    for module in ("gateway.routing.plan", "gateway.api.models"):
        monkeypatch.setattr(f"{module}.PROVIDERS", MappingProxyType({**PROVIDERS, "tidal": row}))
    tidal = ProviderSnapshot(id="tidal", name="tidal", provider_type="tidal", display_name="Tidal")
    await stack.put("catalog", "provider.tidal", tidal)
    await stack.put("catalog", "model.tidal", model_snapshot("tidal", "tide-1", "1", "2"))
    credential = CredentialSnapshot(id="cred-custom", provider_type="tidal", version=1, on_simulator=True)
    await stack.put("credentials", "cred-custom", credential)
    await stack.is_callable("tidal/tide-1")
    answer = await stack.chat(model="tidal/tide-1")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-provider"] == "tidal"
    assert answer.json()["choices"][0]["message"]["content"]
