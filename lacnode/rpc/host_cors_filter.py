"""The check that every request passes before its body is used: the host allow-list (against DNS rebinding) and CORS.

Both follow Besu. The check knows no users: `dispatch` checks tokens and permissions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lacnode.http.allowed_hosts import ANY, AllowedHosts
from lacnode.http.http_messages import HOST_REFUSED, Headers


class InvalidCorsOriginError(ValueError):
    """A configured CORS origin is no regular expression."""


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """The response to a client that may not use this API: HTTP's status, and the body, which is JSON or empty."""

    status: int
    body: bytes = b""


class HostAndCorsFilter:
    """Decides by the headers `Host` and `Origin` whether a request may pass.

    `hosts` are the names that a `Host` header may have. `origins` are regular expressions of the whole origins of pages
    that may call. `*` or `all` admits every host or origin. The origin `none` and empty ones count as missing. Without
    origins no page may call. InvalidCorsOriginError if an origin is no regular expression.
    """

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = AllowedHosts(hosts)
        patterns = [pattern for pattern in origins if pattern and pattern != "none"]
        self._any_origin = bool(ANY.intersection(patterns))
        self._origins = () if self._any_origin else tuple(_compiled(pattern) for pattern in patterns)

    def refusal(self, headers: Headers) -> HttpRefusal | None:
        """Return the response (status 403) to a request whose `Host` or `Origin` may not pass, or None if it may. A
        request without `Origin` comes from no page and passes."""
        if not self._hosts.allows(headers):
            return HttpRefusal(403, HOST_REFUSED)
        # A request without `Origin` comes from no page of another site, such as one of a command-line client.
        origin = headers.get("origin")
        return None if origin is None or self._origin_allowed(origin) else HttpRefusal(403)

    def _origin_allowed(self, origin: str) -> bool:
        # No browser sends another character. The response repeats the origin, and a header of a response is ASCII.
        if not origin.isascii():
            return False
        return self._any_origin or any(pattern.fullmatch(origin) for pattern in self._origins)

    def cors_headers(self, headers: Headers) -> list[tuple[str, str]]:
        """Return the CORS headers (name in lower case, value) of the reply to a request that has passed. Empty if there
        are none to send. `Origin` is not checked again."""
        # The reply depends on `Origin`, so a cache must not give it to a page of another origin.
        shown = [("vary", "origin")] if self._any_origin or self._origins else []
        if "origin" in headers:
            shown.append(("access-control-allow-origin", headers["origin"]))
        return shown


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InvalidCorsOriginError(
            f"CORS origin '{pattern}': a regular expression, or *, was expected: {error}"
        ) from None
