"""LAC: what this node can tell and Besu cannot."""

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.prospects import pending_votes
from lacnode.rpc.registry import Method, Params
from lacnode.rpc.services import RpcServices


def lac_consensusStatus(services: RpcServices, params: Params) -> object:
    """Where agreement on the next block stands, and who has said what: the answer to "why is there no block?"."""
    status = services.consensus_status()
    round_changes = status.round_changes or {}
    return {
        "height": status.height,
        "isValidator": status.is_validator,
        "validators": [to_hex(address) for address in status.validators],
        "round": status.round,
        "proposer": results.optional_data(status.proposer),
        "proposal": results.optional_data(status.proposal),
        "preparedBy": [to_hex(address) for address in status.prepared_by],
        "committedBy": [to_hex(address) for address in status.committed_by],
        "roundChanges": {str(target): [to_hex(a) for a in authors] for target, authors in round_changes.items()},
        "preparedRound": status.locked_round,
        "phase": status.phase,
        "missing": status.missing,
        "clockOffsetsMs": {to_hex(address): offset for address, offset in status.clock_offsets_ms.items()},
        "clocksOff": [to_hex(address) for address in status.clocks_off],
        "connectedValidators": _connected(services, status.validators),
    }


def lac_nodeRole(services: RpcServices, params: Params) -> object:
    """What this node is by configuration and by the chain, and where the two disagree."""
    view = services.role()
    return {
        "configured": view.configured,
        "isValidator": view.is_validator,
        "byContract": view.by_contract,
        "conflicts": list(view.conflicts),
    }


def lac_pendingVotes(services: RpcServices, params: Params) -> object:
    """What the votes outstanding would do, and when."""
    return pending_votes(services)


def _connected(services: RpcServices, validators: tuple[bytes, ...]) -> list[str]:
    peers = () if services.network is None else services.network.peers
    connected = {peer.address for peer in peers} | {services.coinbase}
    return [to_hex(address) for address in validators if address in connected]


LAC_METHODS = (
    Method("lac_consensusStatus", "LAC", lac_consensusStatus),
    Method("lac_nodeRole", "LAC", lac_nodeRole),
    Method("lac_pendingVotes", "LAC", lac_pendingVotes),
)
