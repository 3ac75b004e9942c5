"""Being told to stop: Ctrl-C, `make down`, a closed terminal. Noted here, obeyed where it is safe.

A signal only sets a mark, so that no step of starting or stopping is torn in the middle; every wait looks at it.
"""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One Ctrl-C may arrive twice, from the terminal and from make.
_SAME_PRESS_SECONDS = 0.5


class StopSignals:
    """Within this context the process is not ended by the usual signals, but told of them."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._insisted = False

    @property
    def is_requested(self) -> bool:
        """Someone wants us to stop."""
        return self._first_at is not None

    @property
    def is_insisted(self) -> bool:
        """And asked again, later: without waiting for running calls."""
        return self._insisted

    def __enter__(self) -> StopSignals:
        # Who started us under nohup means a closed terminal not to matter.
        heard = [each for each in _SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        elif now - self._first_at > _SAME_PRESS_SECONDS:
            self._insisted = True
