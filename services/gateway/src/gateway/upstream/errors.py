"""What can go wrong between the gateway and a provider, as one small tree.

    UpstreamError
    ├── ConnectFailed          no usable connection: name, address, TCP, TLS, or the client is closed
    ├── UpstreamTimeout        a deadline passed; `phase` says which
    ├── UpstreamCut            the answer ended before it was complete
    ├── UpstreamProtocolError  the answer is not the HTTP/1.1 this client accepts
    └── UpstreamTooLarge       the answer is larger than the caller or the limits allow

Every error says in `sent` whether bytes of the request may have reached the provider. False is a proof that nothing was
written, so the call costs nothing and may be made again elsewhere; True means unknown, and whoever counts money has to
treat the call as made. Messages are made of constants, host names, sizes and seconds: never of header values, targets
or bodies, because errors end up in logs and those carry secrets.
"""

from __future__ import annotations

from typing import Literal

Phase = Literal["connect", "first_byte", "between_chunks", "total", "pool"]


class UpstreamError(Exception):
    """The root of the tree; `sent` is False only if no byte of the request was written."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ConnectFailed(UpstreamError):
    """No connection to the origin could be had; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class UpstreamTimeout(UpstreamError):
    """A deadline passed: `phase` names it, `seconds` is the length it had."""

    def __init__(self, phase: Phase, seconds: float, *, sent: bool) -> None:
        super().__init__(f"deadline {phase} of {seconds:g} s has passed", sent=sent)
        self.phase: Phase = phase
        self.seconds = seconds


class UpstreamCut(UpstreamError):
    """The connection ended, or was ended by us, before the answer was complete."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class UpstreamProtocolError(UpstreamError):
    """The provider answered with something that cannot be read as HTTP/1.1 without guessing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class UpstreamTooLarge(UpstreamError):
    """Header block, body or decompressed body is larger than allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)
