"""A stream whose next byte can be looked at, so that a port can serve two protocols."""

from abc import abstractmethod

import trio


class PeekableStream(trio.abc.Stream):
    """A stream whose next byte can be read without removing it, over a plain or an encrypted connection."""

    @abstractmethod
    async def peek(self) -> bytes:
        """Wait for the next byte of the client, return it and leave it in the stream. Empty at the end of the stream.
        trio.BrokenResourceError if the connection breaks."""
