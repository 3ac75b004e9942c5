"""Google's exchange of a service account's assertion for an access token, as far as can be judged without its key."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qs

import msgspec

from simulator.refusals import Refusal, as_described
from simulator.wires import Wire
from simulator.wires.gemini.wire import GeminiWire

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ADDRESS = "https://oauth2.googleapis.com/token"


class _KeylessWire(GeminiWire):
    """The wire of refusals there; who asks for a token has none to show."""

    needs_key = False

    def key(self, headers: dict[bytes, bytes]) -> str:
        return ""

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        told = {"error": refusal.kind or "invalid_request", "error_description": refusal.message}
        return refusal.status, msgspec.json.encode(told)


class TokenSpeaker:
    """The one path where tokens are made: `sim-` and the account's name, so that `bad-…` gets one that is not good. An
    account of a name that begins with `refused` gets none."""

    prefixes = ("/vertex/token",)

    def __init__(self) -> None:
        self.wire: Wire = _KeylessWire("vertex")

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        return None

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        form = {name: values[0] for name, values in parse_qs(sent.decode("latin-1")).items()}
        if method != "POST" or form.get("grant_type") != _GRANT:
            raise Refusal(400, "the grant type is not known here", kind="unsupported_grant_type")
        head, claims = _parts(form.get("assertion", ""))
        with as_described():
            lasts, account = claims["exp"] - claims["iat"], str(claims["iss"])
        if head.get("alg") != "RS256" or claims.get("aud") != _ADDRESS or not 0 < lasts <= 3600:
            raise Refusal(400, "the assertion is not good", kind="invalid_grant")
        if account.startswith("refused"):
            raise Refusal(400, "the account is not known", kind="invalid_grant")
        return msgspec.json.encode({"access_token": f"sim-{account}", "expires_in": lasts, "token_type": "Bearer"})


def _parts(assertion: str) -> list[dict[str, Any]]:
    """Head and claims; Refusal for what is no assertion."""
    try:
        parts = [base64.urlsafe_b64decode(part + "==") for part in assertion.split(".")]
        head, claims = (msgspec.json.decode(part, type=dict[str, Any]) for part in parts[:2])
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, "the assertion is none", kind="invalid_grant") from error
    return [head, claims]
