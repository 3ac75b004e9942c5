"""AWS's signature: its own published examples, and what must be in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from common.providers.auth import AUTH_SCHEMES, signer_of
from common.providers.sigv4 import AccessKey, region_of, signed_headers

AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
EXAMPLE = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
HOST = "bedrock-runtime.eu-west-1.amazonaws.com"


def test_the_published_example_comes_out() -> None:
    headers = dict(
        signed_headers(
            EXAMPLE, "example.amazonaws.com", "/", b"", AT, method="GET", region="us-east-1", service="service"
        )
    )
    assert headers == {
        b"x-amz-date": b"20150830T123600Z",
        b"authorization": b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        b"SignedHeaders=host;x-amz-date, "
        b"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    }


def test_every_part_of_a_request_is_signed() -> None:
    same = signed_headers(EXAMPLE, HOST, "/model/a%3A0/converse", b"{}", AT)
    others = [
        signed_headers(EXAMPLE, HOST, "/model/a:0/converse", b"{}", AT),
        signed_headers(EXAMPLE, HOST, "/model/a%3A0/converse", b"{ }", AT),
        signed_headers(EXAMPLE, HOST.replace("eu", "us"), "/model/a%3A0/converse", b"{}", AT),
        signed_headers(EXAMPLE, HOST, "/model/a%3A0/converse", b"{}", AT.replace(second=1)),
        signed_headers(AccessKey("AKIDEXAMPLE", "x"), HOST, "/model/a%3A0/converse", b"{}", AT),
    ]
    assert same == signed_headers(EXAMPLE, HOST, "/model/a%3A0/converse", b"{}", AT)
    assert same not in others
    assert b"/20150830/eu-west-1/bedrock/aws4_request" in dict(same)[b"authorization"]


def test_a_session_token_is_shown_and_signed() -> None:
    headers = dict(signed_headers(AccessKey("ASIAX", "s", "t0ken"), HOST, "/", b"", AT))
    assert headers[b"x-amz-security-token"] == b"t0ken"
    assert b"SignedHeaders=host;x-amz-date;x-amz-security-token" in headers[b"authorization"]


def test_the_secret_shows_nowhere() -> None:
    key = AccessKey("ASIAX", "very-secret", "very-token")
    assert "very" not in repr(key)
    assert b"very-secret" not in b"".join(value for _, value in signed_headers(key, HOST, "/", b"", AT))


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("AKIA1:abc", AccessKey("AKIA1", "abc")),
        ("ASIA1:abc:tok:en", AccessKey("ASIA1", "abc", "tok:en")),
        ("ABSKQmVkcm9jaw==", None),
        ("AKIA1:", None),
        (":abc", None),
        ("", None),
    ],
)
def test_a_secret_is_an_access_key_or_a_bearers(secret: str, expected: AccessKey | None) -> None:
    assert AccessKey.parse(secret) == expected
    assert (signer_of("aws", secret, HOST) is None) == (expected is None)
    if secret:
        assert bool(AUTH_SCHEMES["aws"](secret)) == (expected is None)


def test_only_aws_signs() -> None:
    assert signer_of("bearer", "AKIA1:abc", HOST) is None
    sign = signer_of("aws", "AKIA1:abc", HOST)
    assert sign is not None
    assert dict(sign("/x", b"", AT)).keys() == {b"x-amz-date", b"authorization"}


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-west-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock.ap-south-1.amazonaws.com", "ap-south-1"),
        ("127.0.0.1:8090", "us-east-1"),
    ],
)
def test_a_region_is_told_by_the_host(host: str, region: str) -> None:
    assert region_of(host) == region
