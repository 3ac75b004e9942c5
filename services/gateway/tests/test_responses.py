"""`/v1/responses`: OpenAI's official client, driven through the gateway to providers of several wires."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from gateway_stack import KEY, Stack
from test_native_calls import add

PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": [], "additionalProperties": False}
TOOLS: list[Any] = [
    {"type": "function", "name": "read_tide", "parameters": PLACE, "strict": False},
    {"type": "function", "name": "read_wind", "parameters": {"type": "object", "properties": {}}, "strict": False},
]
each_wire = pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client with the test key; what is not as it is typed fails."""
    async with openai.AsyncOpenAI(
        api_key=KEY, base_url=f"{stack.url}/v1", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


async def model_of(stack: Stack, provider: str) -> str:
    """A callable model of a provider."""
    return "gpt-4" if provider == "openai" else await add(stack, provider)


@each_wire
async def test_a_response_is_made(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    model = await model_of(stack, provider)
    answer = await client.responses.create(
        model=model, instructions="Be brief.", input="Say hello!", max_output_tokens=100, metadata={"a": "b"}
    )
    assert (answer.object, answer.status, answer.error) == ("response", "completed", None)
    assert answer.output_text.startswith("Hello!")
    assert (answer.instructions, answer.metadata) == ("Be brief.", {"a": "b"})
    assert answer.usage is not None
    [event] = await stack.events()
    assert (event.provider_type, event.operation, event.status) == (provider, "chat", "completed")
    assert event.usage.total_tokens == answer.usage.total_tokens
    assert await stack.held() == 0


@each_wire
async def test_a_stream_is_told_in_numbered_events(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    model = await model_of(stack, provider)
    stream = await client.responses.create(model=model, input="Count to 5", stream=True)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    last: Any = events[-1]
    assert last.response.output_text == "1, 2, 3, 4, 5"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "1, 2, 3, 4, 5"
    assert len({getattr(event, "item_id", None) for event in events} - {None}) == 1
    [event] = await stack.events()
    assert event.usage.output_tokens == last.response.usage.output_tokens
    assert not event.usage.estimated


@each_wire
async def test_nothing_follows_the_last_event(stack: Stack, provider: str) -> None:
    body = {"model": await model_of(stack, provider), "input": "Say hello!", "stream": True}
    answer = await stack.http.post("/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, rest = answer.text.split("\n\n")
    assert rest == ""
    told = [event.split("\n") for event in events]
    assert all(name == f"event: {json.loads(data[6:])['type']}" for name, data in told)
    assert told[-1][0] == "event: response.completed"


@each_wire
@pytest.mark.parametrize("is_stored", [True, False])
async def test_two_turns_with_parallel_calls(
    stack: Stack, client: openai.AsyncOpenAI, provider: str, is_stored: bool
) -> None:
    asked: dict[str, Any] = {"model": await model_of(stack, provider), "tools": TOOLS, "store": is_stored}
    said: list[Any] = [{"role": "user", "content": "Use both. [[simulate tool_calls=2 unicode]]"}]
    async with client.responses.stream(input=said, **asked) as stream:
        async for _ in stream:
            pass
        first = await stream.get_final_response()
    calls: list[Any] = [item for item in first.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("read_tide", {"place": "Zürich 東京 🙂"}),
        ("read_wind", {}),
    ]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "2 m"} for call in calls]
    if is_stored:
        second = await client.responses.create(input=results, previous_response_id=first.id, **asked)
        third = await client.responses.create(input="Count to 3", previous_response_id=second.id, **asked)
        assert third.output_text == "1, 2, 3"
    else:
        back = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
        second = await client.responses.create(input=[*said, *back, *results], **asked)
    assert second.status == "completed"
    assert second.output_text
    assert second.store is is_stored


async def test_thinking_survives_the_next_turn(stack: Stack, client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": await add(stack, "anthropic"), "tools": TOOLS[:1], "max_output_tokens": 3000}
    asked |= {"reasoning": {"effort": "low"}, "store": False}
    said: list[Any] = [{"role": "user", "content": "Use read_tide. [[simulate reasoning_tokens=9]]"}]
    first = await client.responses.create(input=said, **asked)
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert first.usage is not None
    assert first.usage.output_tokens_details.reasoning_tokens == 9
    call: Any = first.output[1]
    back = [item.model_dump(exclude_none=True) for item in first.output]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "2 m"}
    answer = await client.responses.with_raw_response.create(input=[*said, *back, result], **asked)
    assert "x-tollgate-dropped-params" not in answer.headers
    assert answer.parse().status == "completed"


async def test_thinking_of_another_provider_is_not_sent_to_openai(stack: Stack, client: openai.AsyncOpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": "Say hello! [[simulate reasoning_tokens=9]]"}]
    asked: dict[str, Any] = {"reasoning": {"effort": "low"}, "store": False, "max_output_tokens": 3000}
    first = await client.responses.create(model=await add(stack, "anthropic"), input=said, **asked)
    back = [item.model_dump(exclude_none=True) for item in first.output]
    assert "encrypted_content" in back[0]
    second = await client.responses.create(model="gpt-4", input=[*said, *back, *said], store=False)
    assert second.status == "completed"


@each_wire
async def test_an_answer_cut_short_is_incomplete(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    model = await model_of(stack, provider)
    answer = await client.responses.create(model=model, input="[[simulate tokens=40]]", max_output_tokens=16)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    stream = await client.responses.create(
        model=model, input="[[simulate tokens=40]]", max_output_tokens=16, stream=True
    )
    assert [event.type async for event in stream][-1] == "response.incomplete"


@each_wire
async def test_a_broken_stream_ends_in_a_failure(stack: Stack, provider: str) -> None:
    body = {"model": await model_of(stack, provider), "stream": True, "input": "[[simulate tokens=30 cut_after=9]]"}
    answer = await stack.http.post("/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"})
    *_, last = answer.text.strip().split("\n\n")
    name, data = last.split("\n")
    told = json.loads(data[6:])
    assert name == f"event: {told['type']}"
    assert told["sequence_number"] == answer.text.count("event: ") - 1
    if told["type"] == "response.failed":
        assert told["response"]["status"] == "failed"
        assert told["response"]["error"]["code"] == "server_error"
    else:
        assert told["type"] == "error"
        assert told["message"]
    assert "response.completed" not in answer.text


async def test_a_custom_tool_is_called_through_any_provider(stack: Stack, client: openai.AsyncOpenAI) -> None:
    tools: list[Any] = [{"type": "custom", "name": "run_shell", "description": "Runs a line."}]
    for model in ("gpt-4", await add(stack, "anthropic")):
        asked: dict[str, Any] = {"model": model, "tools": tools, "store": False}
        said: list[Any] = [{"role": "user", "content": "Use run_shell."}]
        stream = await client.responses.create(input=said, stream=True, **asked)
        events: list[Any] = [event async for event in stream]
        [item] = events[-1].response.output
        assert (item.type, item.name) == ("custom_tool_call", "run_shell")
        assert item.input
        pieces = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
        assert "".join(pieces) == item.input
        result = {"type": "custom_tool_call_output", "call_id": item.call_id, "output": "done"}
        back = item.model_dump(exclude_none=True)
        second = await client.responses.create(input=[*said, back, result], **asked)
        assert second.output_text


@each_wire
async def test_structured_output_and_pictures(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    schema = {"type": "object", "properties": {"height": {"type": "number"}}, "required": ["height"]}
    schema |= {"additionalProperties": False}
    image = "data:image/png;base64,iVBORw0KGgo="
    content = [{"type": "input_text", "text": "How high?"}, {"type": "input_image", "image_url": image}]
    answer = await client.responses.create(
        model=await model_of(stack, provider),
        input=[{"role": "user", "content": content}],  # type: ignore[typeddict-item]
        text={"format": {"type": "json_schema", "name": "tide", "schema": schema, "strict": True}},
    )
    assert isinstance(json.loads(answer.output_text)["height"], (int, float))


async def test_refusals_have_openais_shape(stack: Stack, client: openai.AsyncOpenAI) -> None:
    native = await add(stack, "anthropic")
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="tg-nobody").responses.create(model="gpt-4", input="Hi")
    with pytest.raises(openai.BadRequestError, match="unknown model"):
        await client.responses.create(model="gpt-99", input="Hi")
    with pytest.raises(openai.BadRequestError, match="web_search") as refused:
        await client.responses.create(model=native, input="Hi", tools=[{"type": "web_search"}])
    assert refused.value.param == "tools"
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.create(model="gpt-4", input="Hi", background=True)
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="gpt-4", input="[[simulate status=429]]")
    lost: list[Any] = [{"type": "computer_call", "id": "c", "call_id": "c", "status": "completed"}]
    with pytest.raises(openai.BadRequestError, match="computer_call"):
        await client.responses.create(model=native, input=lost)
    assert await stack.held() == 0


async def test_a_knob_without_a_word_is_named(stack: Stack, client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.with_raw_response.create(
        model=await add(stack, "anthropic"), input="Hi", truncation="auto", max_tool_calls=3
    )
    assert set(answer.headers["x-tollgate-dropped-params"].split(", ")) == {"truncation", "max_tool_calls"}


async def test_what_openai_says_and_is_told_goes_through(stack: Stack) -> None:
    body = {"model": "gpt-4", "input": "[[simulate echo=headers]]", "store": False, "a_word_of_tomorrow": {"x": 1}}
    answer = await stack.http.post("/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    assert "frequency_penalty" in answer.json()  # which the gateway's own answers do not have
    assert answer.headers["x-tollgate-provider"] == "openai"


async def test_cursors_body_is_recognised_at_the_door_of_chat(stack: Stack) -> None:
    body: dict[str, Any] = {"model": "gpt-4", "input": [{"role": "user", "content": "Count to 3"}], "stream": True}
    body |= {"tools": TOOLS, "stream_options": {"include_usage": True}, "reasoning": {"effort": "low"}}
    answer = await stack.http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(one[6:]) for one in answer.text.split("\n\n")[:-2]]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks[:-1]) == "1, 2, 3"
    assert chunks[-1]["usage"]["total_tokens"] > 0
