"""What is answered, and how many tokens it is, without HTTP: prompts in, answers out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.answers import Answer, Writer
from simulator.faults import checked
from simulator.prompts import Prompt, Tool

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (Tool("get_weather", CITY), Tool("get_time", {}))
WRITER = Writer(0)


def answer(question: str = "Why?", directives: dict[str, Any] | None = None, seed: int = 0, **members: Any) -> Answer:
    given = {"provider": "openai", "model": "m", "conversation": question, "prompt_tokens": 11, **members}
    writer = WRITER if seed == 0 else Writer(seed)
    return writer.answer(Prompt(question=question, **given), checked(directives or {}), ["accept", "host"])


def text(answered: Answer) -> str:
    return "".join(answered.choices[0].content)


def test_the_same_prompt_gets_the_same_answer() -> None:
    assert answer() == Writer(0).answer(
        Prompt(provider="openai", model="m", conversation="Why?", question="Why?", prompt_tokens=11), checked({}), []
    )


def test_another_seed_model_or_conversation_gets_another_answer() -> None:
    others = [answer(seed=1), answer(model="n"), answer(provider="groq"), answer(conversation="Why? Why?")]
    assert len({answer().digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize("greeting", ["Say hello!", "Hello!", "hi", "Hey there", "Please say hello"])
def test_a_greeting_is_greeted_with_nine_tokens(greeting: str) -> None:
    answered = answer(greeting)
    assert text(answered) == "Hello! How can I assist you today?"
    assert answered.completion_tokens == 9


def test_counting_counts() -> None:
    assert text(answer("Count to 5")) == "1, 2, 3, 4, 5"


def test_prose_is_whole_sentences() -> None:
    prose = text(answer("Tell me something."))
    assert prose[0].isupper()
    assert prose.endswith(".")
    assert "  " not in prose


@given(st.integers(0, 3000), st.text(max_size=5))
def test_exactly_as_many_tokens_come_as_are_ordered(tokens: int, conversation: str) -> None:
    answered = answer(directives={"tokens": tokens}, conversation=conversation)
    assert answered.completion_tokens == len(answered.choices[0].content) == tokens


@given(st.integers(1, 60), st.integers(0, 40))
def test_a_token_limit_holds_and_is_the_finish_reason(limit: int, reasoning: int) -> None:
    answered = answer(directives={"tokens": 30, "reasoning_tokens": reasoning}, token_limit=limit)
    assert answered.completion_tokens == min(limit, 30 + reasoning)
    assert answered.reasoning_tokens == min(limit, reasoning)
    assert answered.choices[0].finish == ("stop" if limit >= 30 + reasoning and reasoning < limit else "length")


def test_every_choice_counts() -> None:
    answered = answer(choices=3, directives={"tokens": 4})
    assert len(answered.choices) == 3
    assert answered.completion_tokens == 12
    assert len({"".join(choice.content) for choice in answered.choices}) == 3


def test_a_stop_sequence_ends_the_text_before_it() -> None:
    answered = answer("Count to 9", stops=("xx", ", 4"))
    assert text(answered) == "1, 2, 3"
    assert answered.choices[0].finish == "stop"
    assert answered.completion_tokens == 5


def test_a_stop_sequence_inside_a_piece_cuts_the_piece() -> None:
    assert text(answer("Say hello!", stops=("sist",))) == "Hello! How can I as"


def test_a_document_satisfies_the_wanted_schema() -> None:
    assert list(json.loads(text(answer(schema=CITY)))) == ["city"]
    assert isinstance(json.loads(text(answer(schema={}))), dict)


@pytest.mark.parametrize(
    ("question", "members", "directives", "called"),
    [
        ("Nothing special", {}, {}, []),
        ("Please get_weather in Paris", {}, {}, ["get_weather"]),
        ("get the weather: get weather, get time", {}, {}, ["get_weather", "get_time"]),
        ("get_weather and get_time", {"is_parallel": False}, {}, ["get_weather"]),
        ("Use the tool.", {}, {}, ["get_weather"]),
        ("anything", {"tool_choice": "required"}, {}, ["get_weather"]),
        ("anything", {"tool_choice": "required", "named_tool": "get_time"}, {}, ["get_time"]),
        ("get_weather", {"tool_choice": "none"}, {"tool_calls": 1}, []),
        ("get_weather", {"has_tool_result": True}, {"tool_calls": 1}, []),
        ("anything", {}, {"tool_calls": 3}, ["get_weather", "get_time", "get_weather"]),
        ("get_weather", {"tools": ()}, {"tool_calls": 1}, []),
    ],
)
def test_tools_are_called_when_asked_for(
    question: str, members: dict[str, Any], directives: dict[str, Any], called: list[str]
) -> None:
    answered = answer(question, directives, **{"tools": TOOLS, **members})
    calls = answered.choices[0].tool_calls
    assert [call.name for call in calls] == called
    assert len({call.id for call in calls}) == len(calls)
    assert answered.choices[0].finish == ("tool_calls" if called else "stop")


def test_arguments_satisfy_the_tools_parameters() -> None:
    weather, clock = answer(directives={"tool_calls": 2}, tools=TOOLS).choices[0].tool_calls
    assert list(json.loads("".join(weather.pieces))) == ["city"]
    assert "".join(clock.pieces) == "{}"


def test_arguments_may_be_left_out_or_be_unicode() -> None:
    (bare,) = answer(directives={"tool_calls": 1, "no_arguments": True}, tools=TOOLS).choices[0].tool_calls
    (wide,) = answer(directives={"tool_calls": 1, "unicode": True}, tools=TOOLS).choices[0].tool_calls
    assert bare.pieces == []
    assert json.loads("".join(wide.pieces)) == {"city": "Zürich 東京 🙂"}


@given(st.integers(1, 40))
def test_a_token_limit_breaks_tool_calls_off(limit: int) -> None:
    whole = answer(directives={"tool_calls": 2}, tools=TOOLS)
    short = answer(directives={"tool_calls": 2}, tools=TOOLS, token_limit=limit)
    assert short.completion_tokens == min(limit, whole.completion_tokens)
    assert short.choices[0].finish == ("length" if limit < whole.completion_tokens else "tool_calls")


def test_directives_set_what_is_reported() -> None:
    told = {"prompt_tokens": 5, "cached_tokens": 4, "cache_write_tokens": 3, "reasoning_tokens": 2, "finish": "eos"}
    answered = answer(directives=told)
    assert (answered.prompt_tokens, answered.cached_tokens, answered.cache_write_tokens) == (5, 4, 3)
    assert answered.reasoning_tokens == len(answered.choices[0].reasoning) == 2
    assert answered.choices[0].finish == "eos"


def test_headers_are_echoed_by_name() -> None:
    assert json.loads(text(answer(directives={"echo": "headers"}))) == {"headers": ["accept", "host"]}
