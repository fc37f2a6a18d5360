"""The sub-protocols that this node speaks: `eth`, and those of the consensus of its chain."""

from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.protocols import VALIDATOR_PROTOCOLS
from lacnode.p2p.wire.capabilities import Capability

ETH_CAPABILITIES = tuple(Capability("eth", version) for version in (65, 66, 67, 68))

_NAMES = {
    MessageKind.PROPOSAL: "Proposal",
    MessageKind.PREPARE: "Prepare",
    MessageKind.COMMIT: "Commit",
    MessageKind.ROUND_CHANGE: "RoundChange",
}

CONSENSUS_MESSAGES: dict[str, dict[int, str]] = {
    protocol.capability[0]: {protocol.codec.code(kind): name for kind, name in _NAMES.items()}
    for protocol in VALIDATOR_PROTOCOLS.values()
}
"""The codes and names of consensus messages, by the name of the sub-protocol."""


def supported_capabilities(protocols: ProtocolSchedule) -> tuple[Capability, ...]:
    """The capabilities that a node of a chain with these protocols announces in its Hello: those of `eth`, then those
    of consensus."""
    # A chain that changes its protocol needs both from the start: a session may last across the change.
    consensus = dict.fromkeys(Capability(*protocol.capability) for _, protocol in protocols.steps)
    return (*ETH_CAPABILITIES, *consensus)
