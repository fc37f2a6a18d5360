"""LAC: methods of this node that Besu does not have."""

from collections.abc import Sequence

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.privacy_controller import PrivacyController
from lacnode.privacy.state.private_payloads import PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_store import Divergence
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rpc import privacy_errors, results
from lacnode.rpc.errors import internal_error
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import parse_block_number, parse_hash32, required
from lacnode.rpc.privacy_errors import privacy_error
from lacnode.rpc.privacy_parameters import in_base64, parse_group_id, parse_key, privacy_controller
from lacnode.rpc.services import RpcServices
from lacnode.rpc.vote_preview import preview_pending_votes


def lac_consensusStatus(services: RpcServices, params: Params) -> object:
    """Return the state of consensus about the next block and the messages of each validator. It shows why there is no
    block. Addresses are 0x-hexadecimal, and `clockOffsetsMs` are milliseconds."""
    status = services.status.consensus()
    round_changes = status.round_changes or {}
    # How fast this node executed the last blocks, and how much gas it would therefore put into a block.
    speed, parameters = services.chain.counters.speed, services.chain.spec.ibft.parameters_at(status.height)
    return {
        "height": status.height,
        "protocol": services.chain.protocols.protocol_at(status.height).name,
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
        "evm": services.node.engine_name,
        "gasPerSecond": _optional_quantity(speed.percentile_gas_per_second),
        "proposalGasBudget": _optional_quantity(speed.gas_budget(parameters.block_period_ms / 1000)),
    }


def _optional_quantity(value: int | None) -> str | None:
    return None if value is None else results.quantity(value)


def lac_nodeRole(services: RpcServices, params: Params) -> object:
    """Return the role of this node by its configuration and by the chain, and the conflicts between the two as
    sentences."""
    view = services.status.role()
    return {
        "configured": view.configured,
        "isValidator": view.is_validator,
        "byContract": view.by_contract,
        "conflicts": list(view.conflicts),
    }


def lac_pendingVotes(services: RpcServices, params: Params) -> object:
    """Return the pending votes of all validators and the effects of their success (`preview_pending_votes`). It asks
    peers for up to 5 seconds. ValidatorContractError if a contract has to name the validators and names no usable ones.
    """
    return preview_pending_votes(services)


def _connected(services: RpcServices, validators: tuple[bytes, ...]) -> list[str]:
    peers = () if services.network is None else services.network.peers
    # This node is no peer of itself, but it counts as connected.
    connected = {peer.address for peer in peers} | {services.node.coinbase}
    return [to_hex(address) for address in validators if address in connected]


def lac_privacyGroups(services: RpcServices, params: Params) -> object:
    """Return the state of each privacy group that a marker on the chain has concerned: its id in base64, its state root
    (0x-hexadecimal) and its condition. A group that was only created is not shown. A tenant sees the groups of others
    too. Empty if there are none. RpcError if privacy is off.

    The only members that are named are those with another root than this node. None is named if tenants share the node.
    """
    controller = privacy_controller(services)
    return [
        {
            "privacyGroupId": in_base64(status.group_id),
            "status": status.condition.value,
            "waitingFor": status.missing_payloads,
            "waitingReason": "executing a long private transaction" if status.is_executing else None,
            "blockNumber": results.quantity(status.number),
            "stateRoot": to_hex(status.root),
            "divergedAt": results.quantity(min(one.number for one in status.divergences))
            if status.divergences
            else None,
            # A tenant must not learn the members of the groups of other tenants.
            "divergedFrom": [] if controller.has_tenants else _members(status.divergences),
        }
        for status in controller.statuses.all()
    ]


def _members(divergences: Sequence[Divergence]) -> list[str]:
    return [in_base64(one.member) for one in divergences if one.member]


def lac_comparePrivacyGroup(services: RpcServices, params: Params) -> object:
    """Compare the state root of a group after a block, as the caller got it from another member, with this node's. No
    member is asked. Return True if they are equal. A difference marks the group as diverged, and agreement ends that.
    `params` are the group's id in base64, the block (number or tag) and the root in hexadecimal. It does not wait for
    the execution of the block.

    RpcError if privacy is off, a parameter does not fit, the caller is a tenant that is no member of the group, or the
    manager does not answer. CallLimitExceededError if a flexible group's contract does not answer in time.
    """
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    number, root = (
        parse_block_number(services, required(params, 1, "block")),
        parse_hash32(required(params, 2, "state root"), "state root"),
    )
    controller = _controller_of_member(services, wanted)
    return controller.divergences.compare_and_record(wanted, number, root)


def lac_acceptGroupHistory(services: RpcServices, params: Params) -> object:
    """Replace this node's history of a flexible group by the one that a member sent. `params` are the group's id and
    the member's manager key in base64. Return True if it will be replaced soon.

    Return False if no history of this member differs from this node's. RpcError if privacy is off, a parameter does not
    fit, or the caller is a tenant. GroupRebuildError if the block of the history's marker is missing.
    """
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    teller = parse_key(required(params, 1, "publicKey"), "publicKey")
    return _controller_of_operator(services).divergences.accept_history(wanted, teller)


def lac_dismissGroupHistory(services: RpcServices, params: Params) -> object:
    """Dismiss the history of a flexible group that a member sent. `params` are the group's id and the member's manager
    key in base64. Return True, or False if there is no such history. RpcError if privacy is off, a parameter does not
    fit, or the caller is a tenant."""
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    teller = parse_key(required(params, 1, "publicKey"), "publicKey")
    return _controller_of_operator(services).divergences.dismiss_history(wanted, teller)


def _controller_of_operator(services: RpcServices) -> PrivacyController:
    """Return the private part of the node if the caller may decide about groups for all who use it. RpcError if it is a
    tenant: the answer is that for a group of others."""
    controller = privacy_controller(services)
    # Tenants share the state of a group. One of them must not replace what the others see.
    if controller.has_tenants and controller.public_key:
        raise privacy_error(privacy_errors.FIND_GROUP_ERROR)
    return controller


def _controller_of_member(services: RpcServices, wanted: bytes) -> PrivacyController:
    """Return the private part of the node if the caller may ask about the group. RpcError if it may not.
    CallLimitExceededError if a flexible group's contract does not answer in time."""
    # A caller without a tenant's key is the operator, who may ask about every group. A tenant gets the same error for a
    # group of others as for one that does not exist.
    controller = privacy_controller(services)
    if not controller.public_key:
        return controller
    try:
        may_see = controller.may_see_group(wanted)
    except EnclaveError:
        may_see = False
    except EnclaveUnreachableError:
        raise internal_error() from None
    if not may_see:
        raise privacy_error(privacy_errors.FIND_GROUP_ERROR)
    return controller


def lac_retryPrivatePayloads(services: RpcServices, params: Params) -> object:
    """Ask the manager again, soon, for the payloads that it did not have, also for those that were given up. Return
    their number. Those beyond the limit of remembered ones are not among them: the manager is not asked for these.
    RpcError if privacy is off."""
    return privacy_controller(services).execution.repair.make_all_due()


def lac_whyPrivateTransactionIgnored(services: RpcServices, params: Params) -> object:
    """Return a sentence that says why the private transaction of a marker is not executed: it does not belong to its
    group. None if it belongs to its group, if no block has the marker, or if the caller's key cannot read the payload.
    `params` is the marker's hash.

    RpcError if privacy is off, and "Internal error" if the manager does not give the payload or the payload is no
    private transaction.
    """
    hash_ = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    try:
        return privacy_controller(services).why_ignored(hash_)
    except (PayloadUnavailableError, EnclaveUnreachableError, UnusablePayloadError):
        raise internal_error() from None


LAC_METHODS = (
    Method("lac_consensusStatus", "LAC", lac_consensusStatus),
    Method("lac_privacyGroups", "LAC", lac_privacyGroups),
    Method("lac_comparePrivacyGroup", "LAC", lac_comparePrivacyGroup),
    Method("lac_acceptGroupHistory", "LAC", lac_acceptGroupHistory),
    Method("lac_dismissGroupHistory", "LAC", lac_dismissGroupHistory),
    Method("lac_retryPrivatePayloads", "LAC", lac_retryPrivatePayloads),
    Method("lac_whyPrivateTransactionIgnored", "LAC", lac_whyPrivateTransactionIgnored),
    Method("lac_nodeRole", "LAC", lac_nodeRole),
    Method("lac_pendingVotes", "LAC", lac_pendingVotes),
)
