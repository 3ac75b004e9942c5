"""Forms: what is read is what is written again, and no two readers can read one differently."""

from __future__ import annotations

import struct
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from gateway.providers.forms import FormError, read_form, text_in, write_form
from gateway.providers.sounds import likely_seconds, most_seconds
from hypothesis import given
from hypothesis import strategies as st

TYPE = b"multipart/form-data; boundary=x1"


def form(*parts: bytes, end: bytes = b"--x1--\r\n") -> bytes:
    return b"".join(b"--x1\r\n" + part + b"\r\n" for part in parts) + end


def field(name: str, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value)


def test_fields_and_files_are_read() -> None:
    sound = (
        b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n\r\n--x\0'
    )
    members = read_form(
        form(field("model", b"whisper-1"), sound, field("g[]", b"word"), field("g[]", b"segment")), TYPE
    )
    assert text_in(members, "model") == "whisper-1"
    assert {name: bytes(value) for name, value in members.items() if name != "model"} == {
        "file": b"\r\n--x\0", "file;file": b"a.mp3", "file;type": b"audio/mpeg", "g[]": b"word", "g[]#2": b"segment",
    }  # fmt: skip


@given(st.dictionaries(st.sampled_from(["model", "file", "prompt", "a[]"]), st.binary(max_size=60), min_size=1))
def test_what_was_written_is_read_as_it_was(values: dict[str, bytes]) -> None:
    members: dict[str, Any] = {name: msgspec.Raw(value) for name, value in values.items()}
    content_type, body = write_form(members)
    assert {name: bytes(value) for name, value in read_form(body, content_type).items()} == values


@pytest.mark.parametrize("at", range(3))
def test_a_value_that_looks_like_the_boundary_cannot_end_its_field(at: int) -> None:
    used = (b"form-0", b"x1", write_form({"prompt": msgspec.Raw(b"a")})[0].partition(b"=")[2])[at]
    hidden = b"a\r\n--%b\r\n" % used + field("model", b"dearer") + b"\r\n--%b--" % used
    content_type, body = write_form({"prompt": msgspec.Raw(hidden), "model": msgspec.Raw(b"cheap")})
    assert text_in(read_form(body, content_type), "model") == "cheap"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(field("model", b"a"), field("model", b"b")), TYPE),
        (form(b"no head"), TYPE),
        (form(b"Content-Disposition: form-data\r\n\r\nx"), TYPE),
        (form(field("model", b"a"), end=b""), TYPE),
        (form(*[field(f"f{at}", b"") for at in range(70)]), TYPE),
        (form(field("model", b"a")), b"application/json"),
        (b"", TYPE),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, content_type: bytes) -> None:
    with pytest.raises(FormError):
        read_form(body, content_type)


def test_text_that_is_none_is_refused() -> None:
    with pytest.raises(FormError):
        text_in({"model": msgspec.Raw(b"\xff")}, "model")


@given(st.binary(max_size=200))
def test_bytes_at_random_are_a_form_or_refused(body: bytes) -> None:
    try:
        read_form(body, TYPE)
    except FormError:
        return


def head(kind: int, samples: int, bytes_a_second: int) -> bytes:
    """Of a WAV file with one channel of 16 bits."""
    return struct.pack("<4sI8sIHHIIHHQ", b"RIFF", 0, b"WAVEfmt ", 16, kind, 1, samples, bytes_a_second, 2, 16, 0)


def test_a_wav_file_tells_its_length_and_others_are_bounded() -> None:
    sound = head(1, 16_000, 32_000) + b"\0" * 64_000
    assert most_seconds(sound) == likely_seconds(sound) == 3
    assert (most_seconds(b"x" * 7_500), likely_seconds(b"x" * 8_000)) == (10, 2)


def test_a_wav_file_that_lies_of_its_length_is_not_believed() -> None:
    assert most_seconds(head(1, 16_000, 2**32 - 1) + b"\0" * 64_000) == 3
    assert most_seconds(head(0x55, 16_000, 2**32 - 1) + b"\0" * 7_456) == 10  # MP3 inside
    assert most_seconds(head(1, 1, 2) + b"\0" * 7_456) == 10


def test_a_boundary_is_found_at_once_whatever_the_form_holds() -> None:
    hostile = b" ".join(b"form-%d" % at for at in range(200_000))
    before = time.monotonic()
    content_type, body = write_form({"file": msgspec.Raw(hostile)})
    assert time.monotonic() - before < 1
    assert bytes(read_form(body, content_type)["file"]) == hostile


def test_a_body_of_nothing_but_boundaries_is_not_taken_apart() -> None:
    tracemalloc.start()
    with pytest.raises(FormError):
        read_form(b"\r\n--x1ab" * 300_000, TYPE)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20  # the body and its copy are four
    tracemalloc.stop()
