"""Enode URLs: the identity of a node and the address where it listens, in Besu's form.

Must not resolve names or read files. A host name stays text, and is refused unless the caller allows names.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

import orjson

from lacnode.primitives.hexadecimal import from_hex

NODE_ID_BYTES = 64
"""Bytes of a node id: the public key X || Y."""

MAX_PORT = 65_535
MAX_STATIC_NODES = 10_000
_MAX_URL_LENGTH = 1_024

_URL = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<id>[^@/?#]*)@(?P<place>[^@/?#]*)/?(?:\?(?P<query>[^#]*))?", re.ASCII)
_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|.*):(?P<port>[0-9]{1,5})", re.ASCII)
_NODE_ID = re.compile(r"[0-9a-fA-F]{128}", re.ASCII)
_DISCOVERY_PORT = re.compile(r"discport=([0-9]{1,5})", re.ASCII)
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)

_FORMAT = "enode://<node_id>@<ip>:<listening_port>[?discport=<discovery_port>]"
_BAD_IP = "Invalid ip address."


class EnodeError(ValueError):
    """The text is no usable enode URL, or the static nodes file is no list of them. The message says why."""


@dataclass(frozen=True, slots=True)
class Enode:
    """A node: its id (64 bytes), its host (an IP literal without brackets, or a name), its TCP port (0 if it does not
    listen) and its UDP port for discovery (None if it has no discovery)."""

    id: bytes
    host: str
    tcp: int
    udp: int | None

    @classmethod
    def parse(cls, text: str, *, allow_names: bool = False) -> "Enode":
        """Parse a URL by the rules of Besu's `EnodeURLImpl`. EnodeError if it is malformed. The message says why.

        `allow_names` accepts host names, as `--Xdns-enabled` does. IP addresses get their canonical form.
        """
        # The length is checked before the expression runs: the text may come from a caller of the RPC interface.
        match = _URL.fullmatch(text) if len(text) <= _MAX_URL_LENGTH else None
        if match is None:
            raise _refusal(text, "not an enode URL")
        if match["scheme"].lower() != "enode":
            raise _refusal(text, f"scheme 'enode' was expected, found {match['scheme']!r}")
        if not _NODE_ID.fullmatch(match["id"]):
            raise _refusal(
                text, f"a node id of 128 hexadecimal digits was expected, found {len(match['id'])} characters"
            )
        place = _PLACE.fullmatch(match["place"])
        if place is None:
            raise _refusal(text, "<host>:<port> was expected after the node id")
        tcp = _port(text, place["port"])
        return cls(from_hex(match["id"]), _host(text, place["host"], allow_names), tcp, _udp(text, match["query"], tcp))

    def __str__(self) -> str:
        """Return the URL as Besu prints it: with `discport` only if it differs from the TCP port."""
        query = "" if (self.udp or 0) == self.tcp else f"?discport={self.udp or 0}"
        return f"enode://{self.id.hex()}@{self.host_and_port}{query}"

    @property
    def host_and_port(self) -> str:
        """The text `host:port` of the URL."""
        return f"{url_host(self.host)}:{self.tcp}"

    @property
    def short_text(self) -> str:
        """The first 16 digits of the id, the host and the port, for messages to people."""
        return f"{self.id.hex()[:16]}…@{self.host_and_port}"

    @property
    def is_listening(self) -> bool:
        """Whether the node accepts RLPx connections."""
        return self.tcp > 0

    @property
    def is_named(self) -> bool:
        """Whether the host is a name and no IP literal."""
        try:
            ip_address(self.host)
        except ValueError:
            return True
        return False

    @property
    def endpoint(self) -> tuple[bytes, str, int]:
        """The parts that permissioning compares: id (64 bytes), host and TCP port. The discovery port does not count."""
        return self.id, self.host, self.tcp


def url_host(host: str) -> str:
    """Return `host` in the form of a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_static_nodes(text: str, *, allow_names: bool = False) -> tuple[Enode, ...]:
    """Return the enodes of a `static-nodes.json`, in order and each once. EnodeError names the entry that is wrong.

    Empty text stands for an empty list. Every node must listen, as in Besu's `StaticNodesParser`.
    """
    if not text.strip():
        return ()
    try:
        entries = orjson.loads(text)
    except (ValueError, RecursionError) as error:
        raise EnodeError(f"static nodes: a JSON array of enode URLs was expected: {error}") from None
    if not isinstance(entries, list) or len(entries) > MAX_STATIC_NODES:
        raise EnodeError(f"static nodes: a JSON array of at most {MAX_STATIC_NODES} enode URLs was expected")
    enodes: dict[Enode, None] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, str):
            raise EnodeError(f"static nodes: entry {index} is not text")
        try:
            enode = Enode.parse(entry, allow_names=allow_names)
        except EnodeError as error:
            raise EnodeError(f"static nodes: entry {index}: {error}") from None
        if not enode.is_listening:
            raise EnodeError(f"static nodes: entry {index}: a listening port from 1 to {MAX_PORT} was expected")
        # A dictionary keeps the order of the file and drops repeated entries.
        enodes[enode] = None
    return tuple(enodes)


def _host(text: str, host: str, allow_names: bool) -> str:
    bracketed = host.startswith("[")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        if bracketed or not _HOST_NAME.fullmatch(host):
            raise _refusal(text, f"{_BAD_IP} an IP address was expected, found {host!r}") from None
        if not allow_names:
            raise _refusal(text, f"{_BAD_IP} an IP address was expected, found a name; --Xdns-enabled is off") from None
        # Host names do not depend on case, and enodes are compared.
        return host.lower()
    if bracketed and address.version == 4:
        raise _refusal(text, "an IPv4 address takes no brackets")
    return address.compressed


def _udp(text: str, query: str | None, tcp: int) -> int | None:
    if query is None:
        # Without `discport`, discovery has the number of the TCP port. A node that does not listen has no discovery
        # either.
        return tcp or None
    match = _DISCOVERY_PORT.fullmatch(query)
    if match is None:
        raise _refusal(text, f"discport=<port> was expected after the question mark, found {query!r}")
    return _port(text, match[1]) or None


def _port(text: str, digits: str) -> int:
    port = int(digits)
    if port > MAX_PORT:
        raise _refusal(text, f"a port from 0 to {MAX_PORT} was expected, found {port}")
    return port


def _refusal(text: str, reason: str) -> EnodeError:
    shown = text if len(text) <= 240 else text[:237] + "..."
    return EnodeError(
        f"Invalid enode URL syntax {shown!r}. Enode URL should have the following format '{_FORMAT}'. {reason}"
    )
