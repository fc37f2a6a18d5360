"""EEA: sending private transactions. The public marker follows only when the manager has the payload."""

from lacnode.evm.rejection import RejectionReason, TransactionRejected
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.privacy.state.execution import InvalidPrivateTransaction
from lacnode.privacy.state.flexible.groups import FlexibleGroups, NoGroupId, NoSuchGroup
from lacnode.privacy.state.payloads import ManagerFails
from lacnode.privacy.state.private_transaction import PrivateTransaction, Restriction, legacy_group_id
from lacnode.privacy.state.room import PrivateRoom, WrongGroupType
from lacnode.privacy.transaction_manager import ManagerError, ManagerUnreachable
from lacnode.rpc import privacy_errors, results
from lacnode.rpc.errors import internal_error, observer_refuses, rejected
from lacnode.rpc.parameters import address, required, text
from lacnode.rpc.privacy_errors import manager_error, privacy_error
from lacnode.rpc.privacy_parameters import key, keys, room
from lacnode.rpc.registry import Method, Params
from lacnode.rpc.services import RpcServices


def eea_sendRawTransaction(services: RpcServices, params: Params) -> object:
    if not services.takes_transactions:
        raise observer_refuses()
    private_room = room(services)
    private = _decoded(params)
    if private.restriction is not Restriction.RESTRICTED:
        raise privacy_error(privacy_errors.UNSUPPORTED_TYPE)
    if private_room.flexible is None:
        _check_sender_key(private_room, private)
    _check(private_room, private)
    keys = _distributed(private_room, private)
    try:
        return to_hex(private_room.announce(private, keys))
    except TransactionRejected as rejection:
        if rejection.reason is RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT:
            raise privacy_error(privacy_errors.MARKER_GAS_ERROR) from None
        raise rejected(rejection.reason, str(rejection)) from None


def priv_distributeRawTransaction(services: RpcServices, params: Params) -> object:
    """Like `eea_sendRawTransaction`, but for the marker, which the caller makes of the payload's key, or of the two keys
    where members are added to a flexible group."""
    if not services.takes_transactions:
        raise observer_refuses()
    private_room = room(services)
    private = _decoded(params)
    _check_sender_key(private_room, private)
    _check(private_room, private)
    return to_hex(_distributed(private_room, private))


def priv_getEeaTransactionCount(services: RpcServices, params: Params) -> object:
    private_room = room(services)
    sender = address(required(params, 0, "address"))
    private_from = key(required(params, 1, "privateFrom"), "privateFrom")
    private_for = keys(required(params, 2, "privateFor"), "privateFor")
    if private_from != private_room.public_key:
        raise privacy_error(privacy_errors.WRONG_PRIVATE_FROM)
    return results.quantity(private_room.nonce(sender, legacy_group_id(private_from, private_for)))


def _decoded(params: Params) -> PrivateTransaction:
    raw = text(required(params, 0, "transaction"), "transaction")
    try:
        return PrivateTransaction.decode(from_hex(raw))
    except ValueError:  # RlpError is one; what either says could quote the transaction
        raise privacy_error(privacy_errors.DECODE_ERROR) from None


def _check_sender_key(private_room: PrivateRoom, private: PrivateTransaction) -> None:
    if private.private_from != private_room.public_key:
        raise privacy_error(privacy_errors.WRONG_PRIVATE_FROM)


def _check(private_room: PrivateRoom, private: PrivateTransaction) -> None:
    _check_tenant(private_room, private)
    try:
        private_room.check(private)
    except TransactionRejected as rejection:
        raise rejected(rejection.reason) from None
    except InvalidPrivateTransaction as invalid:
        raise internal_error() if invalid.reason is None else rejected(invalid.reason) from None


def _check_tenant(private_room: PrivateRoom, private: PrivateTransaction) -> None:
    """A tenant must be in the group that it names; those that it names by their keys are with it in any case."""
    if private.group_id is None:
        return
    try:
        if not private_room.sees(private.group_id):
            raise privacy_error(privacy_errors.ENCLAVE_ERROR)
    except (ManagerError, ManagerUnreachable) as error:
        raise manager_error(error) from None


def _distributed(private_room: PrivateRoom, private: PrivateTransaction) -> bytes:
    """What the marker is to say, once the manager has stored the payload."""
    try:
        if private_room.flexible is not None:
            return _distributed_flexibly(private_room, private_room.flexible, private)
        return private_room.distribute(private, private_room.group_of(private))
    except WrongGroupType:
        raise privacy_error(privacy_errors.DECODE_ERROR) from None
    except (ManagerError, ManagerUnreachable) as error:
        raise manager_error(error) from None


def _distributed_flexibly(private_room: PrivateRoom, flexible: FlexibleGroups, private: PrivateTransaction) -> bytes:
    try:
        group = flexible.recipients(private)
        if private_room.public_key not in group.members:
            raise NoSuchGroup
        return flexible.distribute(private, group)
    except NoGroupId:
        raise privacy_error(privacy_errors.NO_FLEXIBLE_GROUP_ID) from None
    except NoSuchGroup:
        raise privacy_error(privacy_errors.NO_FLEXIBLE_GROUP) from None
    except ManagerFails:
        raise privacy_error(privacy_errors.ENCLAVE_ERROR) from None


EEA_METHODS = (
    Method("eea_sendRawTransaction", "EEA", eea_sendRawTransaction),
    Method("priv_distributeRawTransaction", "PRIV", priv_distributeRawTransaction),
    Method("priv_getEeaTransactionCount", "EEA", priv_getEeaTransactionCount, arity=3),
)
