"""Amazon Bedrock, put together from this folder's parts."""

from __future__ import annotations

import math
import re

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.operations import BesideChat
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires import JSON, Headers, Wire
from simulator.wires.bedrock.answers import script_of, whole_answer
from simulator.wires.bedrock.operations import INVOKE
from simulator.wires.bedrock.requests import read_prompt
from simulator.wires.bedrock.signatures import access_key, is_signed

MODELS = ("amazon.nova-lite-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0", "openai.gpt-oss-120b-1:0")
_CALL = re.compile(r"/model/(?P<model>[^/]+(?:/[^/]+)?)/(?P<verb>converse|converse-stream|invoke)")
_REFUSED = 403
_WORDS = {
    400: ("ValidationException", "The request is not valid."),
    403: ("UnrecognizedClientException", "The security token included in the request is invalid."),
    404: ("ResourceNotFoundException", "There is no such model."),
    408: ("ModelTimeoutException", "The model took too long."),
    424: ("ModelErrorException", "The model failed."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "The server had an error."),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}


class BedrockWire:
    """One call of one model, with its headers: a signature covers the body, so it is checked when that is read."""

    provider = "bedrock"
    needs_key = True
    stream_type, whole_type = b"application/vnd.amazon.eventstream", JSON

    def __init__(self, rest: str, model: str, verb: str, headers: dict[bytes, bytes]) -> None:
        self._path = f"/bedrock{rest}"
        self._model = model
        self._is_streamed = verb == "converse-stream"
        self._headers = headers
        shown = headers.get(b"authorization", b"")
        self._is_signed = shown.startswith(b"AWS4-")
        self.kept_as = f"{self._path} {shown.decode('latin-1') if self._is_signed else ''}"

    def key(self, headers: dict[bytes, bytes]) -> str:
        if headers.get(b"authorization", b"").startswith(b"AWS4-"):
            return access_key(headers)
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        return key.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""

    def prompt(self, body: bytes) -> Prompt:
        self.check_signature(body)
        return read_prompt(self._model, body, is_streamed=self._is_streamed)

    def check_signature(self, body: bytes) -> None:
        """Raises Refusal for a body that another was signed for."""
        if self._is_signed and not is_signed(self._path, self._headers, body):
            raise Refusal(_REFUSED, "The request signature we calculated does not match the signature you provided.")

    def missing(self, model: str) -> Refusal:
        return Refusal(400, "The provided model identifier is invalid.")

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        return whole_answer(answer, directives)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        return script_of(answer, directives)

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        status = _REFUSED if refusal.status == 401 else refusal.status
        words = refusal.message or _WORDS.get(status, ("", f"The request failed ({status})."))[1]
        if refusal.code == "context_length_exceeded":
            words = "The model returned the following errors: Input is too long for requested model."
        return status, msgspec.json.encode({"message": words})

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return [(b"x-amzn-requestid", call_id.encode())]

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        status = _REFUSED if refusal.status == 401 else refusal.status
        named = [(b"x-amzn-errortype", _WORDS.get(status, ("InternalServerException", ""))[0].encode())]
        if refusal.retry_after is not None:
            named.append((b"retry-after", b"%d" % math.ceil(refusal.retry_after)))
        return headers + named


class _Invoked(BesideChat):
    """A call of InvokeModel."""

    def __init__(self, wire: BedrockWire, model: str) -> None:
        super().__init__(wire, "invoke", INVOKE, model)
        self._signed = wire

    def prompt(self, body: bytes) -> Prompt:
        self._signed.check_signature(body)
        return super().prompt(body)


class BedrockSpeaker:
    """Bedrock's paths."""

    prefixes = ("/bedrock",)

    @property
    def wire(self) -> Wire:
        return BedrockWire("", "", "", {})

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        found = _CALL.fullmatch(rest)
        if found is None:
            return None
        wire = BedrockWire(rest, found["model"], found["verb"], headers)
        return _Invoked(wire, found["model"]) if found["verb"] == "invoke" else wire

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        if rest != "/foundation-models" or method not in ("GET", "HEAD"):
            raise Refusal(404, "There is no such operation.")
        return msgspec.json.encode({"modelSummaries": [{"modelId": name} for name in MODELS]})
