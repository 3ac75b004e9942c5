"""`/v1/responses`, OpenAI's Responses API as a front door to any provider. Pure.

`requests` reads and checks what a client asks for, `translation` and `items` put it into the words of chat, `voice` says
the answer in the words of Responses, item by item as `writer` keeps them. What chat has no word for travels inside the
`encrypted_content` of reasoning items (`keepsakes`), so that a client which sends its items back loses nothing.
"""

from __future__ import annotations

from gateway.api.responses.requests import ResponsesAsked, parse_chat_from_responses, parse_responses
from gateway.api.responses.translation import as_chat
from gateway.api.responses.voice import ResponsesVoice

__all__ = ["ResponsesAsked", "ResponsesVoice", "as_chat", "parse_chat_from_responses", "parse_responses"]
