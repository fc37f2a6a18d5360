"""What a peer says of itself, and the two ends of its connection. RPC and the log show it. Must not change."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerDescription:
    """What a peer says of itself, and the two ends of its connection. `client_id` is the name and version of the peer's
    program. `capabilities` are such as `eth/68`.

    `p2p_version` is the version of the base protocol in its Hello, and `eth_version` the version of `eth` that both
    sides use. An address is an IP address with a TCP port. `inbound` is True if the peer dialled this node.
    """

    client_id: str
    capabilities: tuple[str, ...]
    p2p_version: int
    eth_version: int
    inbound: bool
    local_address: tuple[str, int]
    remote_address: tuple[str, int]
