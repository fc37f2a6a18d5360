"""Which hosts and origins may talk to the API (Besu's host allow-list and CORS).

The one function that every request passes; where authentication will plug in.
"""

import re
from collections.abc import Iterable

ANY = frozenset(("*", "all"))
_HOST = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:]+\])(:(?P<port>\d{1,5}))?")


def host_allowed(allowed: Iterable[str], header: str | None) -> bool:
    """Whether a request with this `Host` header may pass."""
    names = {name.lower() for name in allowed}
    if names & ANY:
        return True
    match = None if header is None else _HOST.fullmatch(header.strip())
    if match is None or int(match["port"] or 0) > 65_535:
        return False
    return match["host"].lower() in names


def origin_allowed(origins: Iterable[str], origin: str) -> bool:
    """Whether a page of `origin` may read replies; `origins` are regular expressions."""
    patterns = [pattern for pattern in origins if pattern != "none"]
    if ANY.intersection(patterns):
        return True
    return any(re.fullmatch(pattern, origin) for pattern in patterns)
