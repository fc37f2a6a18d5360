"""Who may talk to the API: the one function that every request passes before it is read any further.

Host allow-list (against DNS rebinding) and CORS, as Besu does both. Authentication belongs here too, once there is any.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lacnode.http.allowed_hosts import ANY, AllowedHosts
from lacnode.http.http_messages import HOST_REFUSED, Headers


class InvalidCorsOriginError(ValueError):
    """A CORS origin that is not a regular expression."""


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """What a client is told that may not talk to this API."""

    status: int
    body: bytes = b""


class HostAndCorsFilter:
    """Decides by `hosts`, names that a `Host` header may have, and `origins`, regular expressions of pages that may call;
    `*` or `all` admits any. InvalidCorsOriginError if an origin cannot be used."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = AllowedHosts(hosts)
        patterns = [pattern for pattern in origins if pattern and pattern != "none"]
        self._any_origin = bool(ANY.intersection(patterns))
        self._origins = () if self._any_origin else tuple(_compiled(pattern) for pattern in patterns)

    def refusal(self, headers: Headers) -> HttpRefusal | None:
        """Why a request with these headers may not pass, None if it may."""
        if not self._hosts.admit(headers):
            return HttpRefusal(403, HOST_REFUSED)
        origin = headers.get("origin")
        return None if origin is None or self._origin_allowed(origin) else HttpRefusal(403)

    def _origin_allowed(self, origin: str) -> bool:
        return self._any_origin or any(pattern.fullmatch(origin) for pattern in self._origins)

    def cors_headers(self, headers: Headers) -> list[tuple[str, str]]:
        """What a reply tells the browser; the request has passed."""
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
