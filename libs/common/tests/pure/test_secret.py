"""A secret never shows itself, and one that travels can be opened by its recipient, for its purpose, unchanged, only."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import traceback
from typing import Any

import pytest
from common.secret import SealBroken, Secret, public_key_of, seal, unseal
from common.telemetry.logs import blank_secrets, configure_logs
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

TEXT = "sk-live-0123456789abcdef"
RECIPIENT = X25519PrivateKey.from_private_bytes(bytes(range(32)))


class Holder(BaseModel):
    """Something that has a secret among its fields."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    secret: Secret


def test_a_secret_does_not_show_itself_in_any_text() -> None:
    secret = Secret(TEXT)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        "{}".format(*[secret]),
        repr([secret]),
        str({"a": secret}),
    ]
    shown += [repr(Holder(secret=secret)), str(vars(Holder(secret=secret))), json.dumps({"a": secret}, default=str)]
    assert not [text for text in shown if TEXT in text]
    assert secret.reveal() == TEXT


def test_a_secret_is_neither_json_nor_pickled_nor_copied_into_a_file() -> None:
    secret = Secret(TEXT)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(Exception, match="serialize"):
        Holder(secret=secret).model_dump_json()
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(secret)


def test_a_secret_does_not_show_itself_in_a_traceback_or_an_ordinary_log(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    assert TEXT not in "".join(traceback.format_exception(ValueError(secret, {"key": secret})))
    logging.getLogger("x").warning("it is %s", secret)
    assert TEXT not in caplog.text


def test_a_line_blanks_secrets_and_what_stands_under_their_usual_names() -> None:
    line = blank_secrets(None, "info", {"event": "x", "a": Secret(TEXT), "Password": TEXT, "token": TEXT, "tokens": 7})
    assert TEXT not in str(line)
    assert line == {"event": "x", "a": "***", "Password": "***", "token": "***", "tokens": 7}


def test_log_lines_are_json_objects_with_the_service_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    configure_logs("small", "INFO")
    try:
        log = structlog.get_logger()
        log.debug("unseen")
        log.info("call_done", request_id="r", nested={"credential": Secret(TEXT)}, api_key=TEXT)
        [line] = capsys.readouterr().out.splitlines()
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    read = json.loads(line)
    assert (read["event"], read["level"], read["service"], read["request_id"]) == ("call_done", "info", "small", "r")
    assert TEXT not in line


@given(st.text(), st.text())
def test_a_sealed_secret_is_opened_by_its_recipient_for_its_purpose(text: str, purpose: str) -> None:
    sealed = seal(Secret(text), public_key_of(RECIPIENT), purpose)
    assert unseal(sealed, RECIPIENT, purpose).reveal() == text
    assert sealed.isascii()


def test_sealing_twice_gives_different_texts_of_which_neither_tells_anything() -> None:
    first, second = (seal(Secret(TEXT), public_key_of(RECIPIENT), "openai/1") for _ in range(2))
    assert first != second
    assert TEXT.encode() not in base64.urlsafe_b64decode(first + "==")


def test_another_recipient_or_purpose_cannot_open_it() -> None:
    sealed = seal(Secret(TEXT), public_key_of(RECIPIENT), "openai/1")
    with pytest.raises(SealBroken):
        unseal(sealed, X25519PrivateKey.generate(), "openai/1")
    with pytest.raises(SealBroken):
        unseal(sealed, RECIPIENT, "openai/2")


def test_each_flipped_byte_is_noticed() -> None:
    sealed = bytearray(base64.urlsafe_b64decode(seal(Secret("x"), public_key_of(RECIPIENT), "p") + "=="))
    for position in range(len(sealed)):
        for mask in (0x01, 0x80):
            changed = bytes([*sealed[:position], sealed[position] ^ mask, *sealed[position + 1 :]])
            with pytest.raises(SealBroken):
                unseal(base64.urlsafe_b64encode(changed).decode().rstrip("="), RECIPIENT, "p")


@given(st.text() | st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage_is_refused_as_a_broken_seal_and_not_otherwise(garbage: str) -> None:
    with pytest.raises(SealBroken) as caught:
        unseal(garbage, RECIPIENT, "p")
    assert garbage not in str(caught.value) or len(garbage) < 8


@pytest.mark.parametrize("recipient", ["", "short", "ö" * 43, base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")])
def test_what_is_no_public_key_is_refused_before_anything_is_sealed(recipient: Any) -> None:
    with pytest.raises(ValueError):
        seal(Secret(TEXT), recipient, "p")
