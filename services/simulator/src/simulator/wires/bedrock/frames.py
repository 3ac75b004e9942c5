"""Writes AWS's event stream: frames of a prelude, typed headers, a payload, and two checksums. Pure."""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

import msgspec

_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_STRING = 7


def event(name: str, members: dict[str, Any], number: int) -> bytes:
    """An event's frame; `number` decides how much padding it gets, which hides how long its text is."""
    padded = {**members, "p": _PADDING[: 4 + number * 7 % 40]}
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, msgspec.json.encode(padded))


def exception(name: str, message: str) -> bytes:
    """An exception's frame."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, msgspec.json.encode({"message": message}))


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Any frame whose headers are texts."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    checked = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return checked + struct.pack(">I", crc32(checked))


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()
