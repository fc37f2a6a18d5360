"""A connection to another manager that gives its bytes in small portions, and ends if few of them are content.

The HTTP library reads what has arrived without a pause. A hostile manager can send thousands of interim responses, header
lines or chunks at once, and the event loop of the node would stand still for as long as it takes to read them. This module
must not know what is sent.
"""

import ssl
from typing import Any

import httpcore

READ_BYTES = 8_192
"""The largest size of one portion. To read one takes up to 20 ms, if it consists of the shortest interim responses."""

MAX_OVERHEAD_BYTES = 32_768
"""The largest number of bytes since the request that are not content: heads, sizes of chunks, and what was not read yet."""

CONTENT_PER_OVERHEAD_BYTE = 32
"""So many bytes of content allow one more byte that is none: a long answer in chunks has many sizes."""


class AnswerStream(httpcore.AsyncNetworkStream):
    """A `stream` to another manager with bounds for what is not content. A request begins a new count."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._overhead_bytes = 0

    def count_content(self, size: int) -> None:
        """Record that `size` bytes of content were read out of what has arrived."""
        self._overhead_bytes = max(0, self._overhead_bytes - size - size // CONTENT_PER_OVERHEAD_BYTE)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes, at most `READ_BYTES`. `timeout` is in seconds. httpcore.RemoteProtocolError if more than
        `MAX_OVERHEAD_BYTES` have come that are not content. Otherwise httpcore's errors."""
        data = await self._stream.read(min(max_bytes, READ_BYTES), timeout)
        self._overhead_bytes += len(data)
        if self._overhead_bytes > MAX_OVERHEAD_BYTES:
            raise httpcore.RemoteProtocolError("the answer has too many bytes that are not content")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send `buffer`, a part of a request. `timeout` is in seconds. The errors are httpcore's."""
        self._overhead_bytes = 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Return this connection with TLS, with the same bounds. The errors are httpcore's."""
        return AnswerStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection below knows under the name `info`, None if it knows nothing."""
        return self._stream.get_extra_info(info)
