"""Forms with files (multipart/form-data), read and written. Pure.

A form becomes members like those of a JSON object: each field by its name with the bytes of its value, a file with two
more beside it, under names that no field can have. It is written anew for the provider, so that what the gateway has read
is what the provider reads: a form could name a field twice, or hide one, and two readers would disagree.
"""

from __future__ import annotations

import hashlib
import re
from itertools import count

import msgspec

from gateway.providers.wire import Members

_BOUNDARY = re.compile(
    rb'multipart/form-data\s*;.*?boundary=(?:"(?P<quoted>[^"]{1,200})"|(?P<plain>[^\s;"]{1,200}))', re.I
)
_NAME = re.compile(rb'(?i:[;\s]name)="(?P<name>[A-Za-z0-9_\[\]-]{1,64})"')
_FILE_NAME = re.compile(rb'(?i:[;\s]filename)="(?P<name>[^"\r\n]{0,255})"')
_TYPE = re.compile(rb"(?i:^content-type):[ \t]*(?P<type>[\w.+/-]{1,100})", re.M)
_MOST_FIELDS = 64
_END = b"--"


class FormError(Exception):
    """What came is no form, or not one that all would read alike."""


def read_form(body: bytes, content_type: bytes) -> Members:
    """The fields of a form; those whose name ends in `[]` may repeat and are numbered from the second on. Raises
    FormError."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise FormError("the body must be multipart/form-data with a boundary")
    delimiter = b"\r\n--" + (found["quoted"] or found["plain"])
    pieces = (b"\r\n" + body).split(delimiter, _MOST_FIELDS)
    if len(pieces) < 3 or len(pieces) > _MOST_FIELDS or pieces[-1][:2] != _END:
        raise FormError("the form has no fields, too many, or no end")
    members: dict[str, msgspec.Raw] = {}
    for piece in pieces[1:-1]:
        head, blank, value = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not blank or name is None:
            raise FormError("each field of the form must have a name")
        _put(members, name["name"].decode(), head, value)
    return members


def text_in(members: Members, name: str) -> str | None:
    """A field's text. Raises FormError."""
    if name not in members:
        return None
    try:
        return bytes(members[name]).decode()
    except UnicodeDecodeError:
        raise FormError(f"{name} is not valid UTF-8") from None


def write_form(members: Members) -> tuple[bytes, bytes]:
    """The form as (content type, body). Its boundary is told by all that stands in it, so that nothing in it can be it."""
    digest = hashlib.sha256()
    for value in members.values():
        digest.update(bytes(value))
    boundary = b"form-" + digest.hexdigest().encode()
    parts: list[bytes] = []
    for name, value in members.items():
        if ";" in name:
            continue
        plain = name.partition("#")[0].encode()
        parts.append(b'--%b\r\nContent-Disposition: form-data; name="%b"' % (boundary, plain))
        if f"{name};file" in members:
            file_name, kind = bytes(members[f"{name};file"]), bytes(members[f"{name};type"])
            parts.append(b'; filename="%b"\r\nContent-Type: %b' % (file_name, kind))
        parts += [b"\r\n\r\n", bytes(value), b"\r\n"]
    parts.append(b"--%b--\r\n" % boundary)
    return b"multipart/form-data; boundary=" + boundary, b"".join(parts)


def _put(members: dict[str, msgspec.Raw], name: str, head: bytes, value: bytes) -> None:
    file_name = _FILE_NAME.search(head)
    if name in members:
        if not name.endswith("[]"):
            raise FormError(f"the form has two fields {name}")
        name = next(f"{name}#{at}" for at in count(2) if f"{name}#{at}" not in members)
    members[name] = msgspec.Raw(value)
    if file_name is not None:
        kind = _TYPE.search(head)
        members[f"{name};file"] = msgspec.Raw(file_name["name"] or b"file")
        members[f"{name};type"] = msgspec.Raw(kind["type"] if kind else b"application/octet-stream")
