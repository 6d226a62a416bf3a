"""Messages between processes of two versions of the tool: JSON, a line each, which both sides understand."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import IO, Any

__all__ = ["Lines"]

_LONGEST = 2**30
"""Bytes of a message."""


class Lines:
    """Two streams of bytes, as a connection.

    Args:
        incoming: is read.
        outgoing: is written.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, told: Any) -> None:
        """Tell the other side plain values.

        Raises:
            OSError: it is gone.
        """
        self._outgoing.write(json.dumps(told).encode() + b"\n")
        self._outgoing.flush()

    def recv(self) -> Any:
        """What the other side tells next.

        Raises:
            EOFError: it is gone, or was in the middle of a message.
            ValueError: it tells what is no message.
        """
        line = self._incoming.readline(_LONGEST)
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)

    def close(self) -> None:
        """Close both streams."""
        for stream in (self._incoming, self._outgoing):
            # What was not sent is for nobody.
            with suppress(OSError):
                stream.close()
