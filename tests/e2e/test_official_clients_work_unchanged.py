"""What people use works with another base URL and nothing else: OpenAI's, Anthropic's, LangChain's, Vercel's clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from machine import Key, Machine
from node_clients import NodeProject
from pydantic import BaseModel, SecretStr

EMBEDDER = "text-embedding-3-small"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
each_provider = pytest.mark.parametrize("model", ["gpt-4o", "anthropic/claude-sonnet-4-5", "google/gemini-2.5-flash"])


class Tide(BaseModel):
    """A structured answer."""

    place: str
    height: float


@pytest.fixture
async def key(machine: Machine) -> Key:
    """A key of the story's own."""
    return await machine.make_key()


@pytest.fixture
def client(machine: Machine, key: Key) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which fails on what is not as its types say."""
    with openai.OpenAI(
        api_key=key.secret, base_url=f"{machine.url}/v1", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def answered(machine: Machine) -> int:
    """How many requests of any kind the gateway has answered."""
    lines = httpx2.get(f"{machine.url}/metrics").text.splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("tollgate_gateway_requests_total"))


@each_provider
def test_openais_client_chats(client: openai.OpenAI, model: str) -> None:
    asked: list[Any] = [{"role": "user", "content": "Use read_tide."}]
    tools: list[Any] = [{"type": "function", "function": {"name": "read_tide", "parameters": PLACE}}]
    first = client.chat.completions.create(model=model, messages=asked, tools=tools).choices[0]
    [call] = first.message.tool_calls or ()
    assert call.type == "function"
    asked += [first.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "2 m"}]
    second = client.chat.completions.create(model=model, messages=asked, tools=tools).choices[0]
    assert (first.finish_reason, second.finish_reason) == ("tool_calls", "stop")
    image: list[Any] = [{"type": "text", "text": "Count to 2"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    seen = client.chat.completions.create(model=model, messages=[{"role": "user", "content": image}])
    assert seen.choices[0].message.content == "1, 2"
    with client.chat.completions.stream(
        model=model, messages=[{"role": "user", "content": "How high?"}], response_format=Tide
    ) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Tide)


@each_provider
def test_openais_client_makes_responses(client: openai.OpenAI, model: str) -> None:
    tools: list[Any] = [{"type": "function", "name": "read_tide", "parameters": PLACE, "strict": False}]
    first = client.responses.create(model=model, input="Use read_tide.", tools=tools)
    call: Any = first.output[-1]
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "2 m"}]
    second = client.responses.create(model=model, input=result, previous_response_id=first.id, tools=tools)
    assert second.output_text
    assert client.responses.parse(model=model, input="How high?", text_format=Tide).output_parsed
    with client.responses.stream(model=model, input="Count to 5") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "1, 2, 3, 4, 5"
    content: Any = [{"type": "input_text", "text": "Count to 2"}, {"type": "input_image", "image_url": PIXEL}]
    seen = client.responses.create(model=model, input=[{"role": "user", "content": content}])
    assert seen.output_text == "1, 2"


def test_openais_client_embeds_and_lists(machine: Machine, key: Key, client: openai.OpenAI) -> None:
    vectors = client.embeddings.create(model=EMBEDDER, input=["tide", "wind"], encoding_format="float").data
    assert all(isinstance(one.embedding[0], float) for one in vectors)
    # By itself it asks for base64, which its own types do not have.
    with openai.OpenAI(api_key=key.secret, base_url=f"{machine.url}/v1", max_retries=0) as lenient:
        told = lenient.embeddings.create(model=EMBEDDER, input="tide").data[0].embedding
    assert told == pytest.approx(vectors[0].embedding)
    assert "gpt-4" in {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("words", "kind", "tries"),
    [
        ("[[simulate status=400]]", openai.BadRequestError, 1),
        ("[[simulate status=401]]", openai.InternalServerError, 1),
        ("[[simulate status=503]]", openai.InternalServerError, 3),
        ("[[simulate status=429 retry_after=0.01]]", openai.RateLimitError, 3),
    ],
)
def test_openais_client_calls_again_for_what_time_may_cure(
    machine: Machine, client: openai.OpenAI, words: str, kind: type[openai.APIStatusError], tries: int
) -> None:
    before = answered(machine)
    with pytest.raises(kind):
        client.with_options(max_retries=2).responses.create(model="groq/llama-3.3-70b-versatile", input=words)
    assert answered(machine) - before == tries


@each_provider
def test_anthropics_client_sends_messages(machine: Machine, key: Key, model: str) -> None:
    tools: list[Any] = [{"name": "read_tide", "input_schema": PLACE}]
    messages: list[Any] = [{"role": "user", "content": "Use read_tide."}]
    with anthropic.Anthropic(auth_token=key.secret, base_url=machine.url, max_retries=0) as client:
        with client.messages.stream(model=model, max_tokens=900, messages=messages, tools=tools) as stream:
            first = stream.get_final_message()
        [call] = [block for block in first.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "2 m"}]
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        second = client.messages.create(model=model, max_tokens=900, messages=messages, tools=tools)
        assert (first.stop_reason, second.stop_reason) == ("tool_use", "end_turn")
        source = {"type": "base64", "media_type": "image/gif", "data": PIXEL.partition(",")[2]}
        content: list[Any] = [{"type": "text", "text": "Count to 2"}, {"type": "image", "source": source}]
        seen = client.messages.create(model=model, max_tokens=900, messages=[{"role": "user", "content": content}])
        assert seen.content[0].type == "text"
        assert seen.content[0].text == "1, 2"


@pytest.mark.parametrize("by_responses", [False, True])
@each_provider
def test_langchain_works(machine: Machine, key: Key, model: str, by_responses: bool) -> None:
    chat = ChatOpenAI(
        model=model,
        api_key=SecretStr(key.secret),
        base_url=f"{machine.url}/v1",
        max_retries=0,
        use_responses_api=by_responses,
        stream_usage=True,
    )
    assert chat.invoke("Count to 3").text == "1, 2, 3"
    pieces = list(chat.stream("Count to 5"))
    assert "".join(piece.text for piece in pieces) == "1, 2, 3, 4, 5"
    assert any(piece.usage_metadata for piece in pieces)
    tool = {"type": "function", "function": {"name": "read_tide", "parameters": PLACE}}
    asked: list[Any] = [HumanMessage("Use read_tide.")]
    first = chat.bind_tools([tool]).invoke(asked)
    assert isinstance(first, AIMessage)
    [call] = first.tool_calls
    asked += [first, ToolMessage("2 m", tool_call_id=call["id"])]
    assert chat.bind_tools([tool]).invoke(asked).text
    assert isinstance(chat.with_structured_output(Tide).invoke("How high?"), Tide)
    image: list[str | dict[str, Any]] = [
        {"type": "text", "text": "Count to 2"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    assert chat.invoke([HumanMessage(image)]).text == "1, 2"


def test_langchain_embeds(machine: Machine, key: Key) -> None:
    embedder = OpenAIEmbeddings(
        model=EMBEDDER,
        api_key=SecretStr(key.secret),
        base_url=f"{machine.url}/v1",
        check_embedding_ctx_length=False,  # which would fetch a vocabulary
    )
    assert len(embedder.embed_documents(["tide", "wind"])) == 2


@pytest.mark.parametrize("model", ["gpt-4", "anthropic/claude-sonnet-4-5"])
def test_clients_in_node_work(machine: Machine, key: Key, node_project: NodeProject, model: str) -> None:
    told = node_project.run("clients.mjs", KEY=key.secret, BASE_URL=f"{machine.url}/v1", MODEL=model, EMBEDDER=EMBEDDER)
    assert told["official"] == {
        "called": "read_tide",
        "answered": True,
        "streamed": "1, 2, 3, 4, 5",
        "ends": ["response.created", "response.completed"],
        "next": "1, 2, 3",
        "vectors": [True, True],
    }
    for door in ("responses", "chat"):
        made = told[door]
        assert made["said"].startswith("Hello!"), json.dumps(told)
        assert (made["streamed"], made["seen"]) == ("1, 2, 3, 4, 5", "1, 2")
        assert (made["counted"], made["height"]) == (True, "number")
        assert made["steps"] == ["tool-calls", "stop"]
    assert told["vector"] is True
    assert told["unknown"] == {"status": 400, "tries": 1}
    assert told["broken"] == {"status": 502, "tries": 2}
