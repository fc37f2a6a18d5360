"""The names of this node that a client may use in `Host`: Besu's allow-list against DNS rebinding.

Must not decide anything else about a request.
"""

import re
from collections.abc import Iterable

from lacnode.http.http_messages import Headers

ANY = frozenset(("*", "all"))
_HOST = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:.]+\])(:(?P<port>[0-9]{1,5}))?")


class AllowedHosts:
    """The list of `names` that a client may use in `Host`, compared without case. `*` or `all` admits any name. An
    empty list admits none."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)

    def allows(self, headers: Headers) -> bool:
        """Return whether a request with these headers names this node by an allowed name. The port is not compared.
        False without `Host`, or for one that is malformed, unless any name is allowed."""
        if self._names & ANY:
            return True
        header = headers.get("host")
        # The port in the header is not compared, as in Besu.
        match = None if header is None else _HOST.fullmatch(header.strip())
        if match is None or int(match["port"] or 0) > 65_535:
            return False
        return match["host"].lower() in self._names
