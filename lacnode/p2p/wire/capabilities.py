"""Which sub-protocols two nodes share, and where in the space of message ids each begins.

Follows devp2p rlpx.md, "Message ID-based Multiplexing", and Besu's `CapabilityMultiplexer`. Knows how many message ids a
protocol has. Must not know their meaning.
"""

from collections.abc import Iterable
from dataclasses import dataclass

FIRST_OFFSET = 0x10
"""The first id of sub-protocols. The ids below belong to the base protocol."""

_MESSAGE_SPACES: dict[str, dict[int, int]] = {
    "eth": {62: 8, **dict.fromkeys(range(63, 69), 17), 69: 18},
    "IBF": {1: 4},
    "istanbul": {100: 22},
}


@dataclass(frozen=True, slots=True, order=True)
class Capability:
    """A sub-protocol's name and version, as Hello lists them."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def message_space(self) -> int:
        """The number of message ids of the protocol. ValueError if this node does not know the protocol or this
        version."""
        try:
            return _MESSAGE_SPACES[self.name][self.version]
        except KeyError:
            raise ValueError(f"no known protocol: {self}") from None


@dataclass(frozen=True, slots=True)
class Route:
    """The meaning of a message id: the protocol, its version, and the code inside the protocol."""

    protocol: str
    version: int
    code: int


@dataclass(frozen=True, slots=True)
class CapabilityTable:
    """The shared capabilities of one connection with their first message ids."""

    offsets: tuple[tuple[Capability, int], ...]

    @classmethod
    def negotiate(cls, ours: Iterable[Capability], theirs: Iterable[Capability]) -> "CapabilityTable":
        """Return the table with the highest shared version of each protocol. Protocols come in the byte order of their
        names: `IBF` before `eth`. `theirs` may hold unknown protocols. ValueError if a shared protocol is unknown to
        this node (`Capability.message_space`)."""
        highest: dict[str, Capability] = {}
        # Each side lists every version that it speaks, so only equal versions are shared.
        for capability in set(ours) & set(theirs):
            known = highest.get(capability.name)
            highest[capability.name] = capability if known is None else max(known, capability)
        offsets = []
        offset = FIRST_OFFSET
        # Both sides compute the offsets on their own. Their order must be the same, so it cannot be that of the Hellos.
        for name in sorted(highest, key=str.encode):
            offsets.append((highest[name], offset))
            offset += highest[name].message_space
        return cls(tuple(offsets))

    @property
    def shared(self) -> tuple[Capability, ...]:
        """The shared capabilities, in the order of their ids."""
        return tuple(capability for capability, _ in self.offsets)

    def version_of(self, protocol: str) -> int | None:
        """The version of `protocol` that both sides use, None if they do not share it."""
        return next((capability.version for capability, _ in self.offsets if capability.name == protocol), None)

    def resolve_message_id(self, message_id: int) -> Route | None:
        """Return the meaning of `message_id` (at least 0x10). None for an id outside every range, which Besu ignores."""
        # A range without a known message is still the protocol's: the next protocol begins behind it.
        for capability, offset in self.offsets:
            if offset <= message_id < offset + capability.message_space:
                return Route(capability.name, capability.version, message_id - offset)
        return None

    def message_id(self, protocol: str, code: int) -> int:
        """Return the absolute id of `code` in `protocol`. ValueError if the protocol is not shared or has no such code."""
        for capability, offset in self.offsets:
            if capability.name == protocol and 0 <= code < capability.message_space:
                return offset + code
        raise ValueError(f"no message {code:#04x} of {protocol} on this connection")
