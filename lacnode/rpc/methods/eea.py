"""EEA: sending private transactions. The public marker is sent only after the manager has stored the payload."""

from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.privacy.state.private_send_error import PrivateSendError, PrivateSendReason
from lacnode.privacy.state.private_transaction import PrivateTransaction, legacy_group_id
from lacnode.rpc import privacy_errors, results
from lacnode.rpc.errors import RpcError, internal_error, observer_refuses, rejected
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import parse_address, parse_text, required
from lacnode.rpc.privacy_errors import manager_error, privacy_error
from lacnode.rpc.privacy_parameters import parse_key, parse_keys, privacy_controller
from lacnode.rpc.services import RpcServices

_MESSAGES = {
    PrivateSendReason.UNSUPPORTED_RESTRICTION: privacy_errors.UNSUPPORTED_TYPE,
    PrivateSendReason.WRONG_SENDER_KEY: privacy_errors.WRONG_PRIVATE_FROM,
    PrivateSendReason.WRONG_GROUP_TYPE: privacy_errors.DECODE_ERROR,
    PrivateSendReason.NO_GROUP_ID: privacy_errors.NO_FLEXIBLE_GROUP_ID,
    PrivateSendReason.NO_SUCH_GROUP: privacy_errors.NO_FLEXIBLE_GROUP,
    # A caller that is no member does not learn more than that the manager did not take it.
    PrivateSendReason.NOT_A_MEMBER: privacy_errors.ENCLAVE_ERROR,
    PrivateSendReason.LOST_PAYLOAD: privacy_errors.ENCLAVE_ERROR,
}
"""Besu's text for each reason that has one."""


def eea_sendRawTransaction(services: RpcServices, params: Params) -> object:
    """Distribute a private transaction (hexadecimal RLP) to the members of its group, and send its marker, a public
    transaction with the key of the payload. Return the marker's hash as 0x-hexadecimal. It may wait for the manager.

    RpcError if privacy is off, this node takes no transactions, the transaction or its marker is rejected, or the
    manager does not store the payload. If the marker is rejected, the members have the payload already.
    CallLimitExceededError if a flexible group's contract does not answer in time.
    """
    if not services.node.accepts_transactions:
        raise observer_refuses()
    controller = privacy_controller(services)
    private = _decoded(params)
    try:
        return to_hex(controller.distribute_and_submit_marker(private))
    except PrivateSendError as error:
        raise _rpc_error(error) from None


def priv_distributeRawTransaction(services: RpcServices, params: Params) -> object:
    """Let the manager store a private transaction (hexadecimal RLP) and send it to the members of its group, but send
    no marker (a public transaction with the key of the payload). Return the data of the marker that the caller makes,
    as 0x-hexadecimal: the key of the payload (32 bytes), and a second key if members are added to a flexible group.

    RpcError if privacy is off, this node takes no transactions, the transaction is refused, or the manager does not
    store the payload. CallLimitExceededError if a flexible group's contract does not answer in time.
    """
    if not services.node.accepts_transactions:
        raise observer_refuses()
    controller = privacy_controller(services)
    private = _decoded(params)
    try:
        return to_hex(controller.distribute(private))
    except PrivateSendError as error:
        raise _rpc_error(error) from None


def priv_getEeaTransactionCount(services: RpcServices, params: Params) -> object:
    """Return the next nonce of an account in the group of `privateFrom` and `privateFor`, as a 0x quantity. `params`
    are the address, a key in base64, and an array of keys in base64.

    It waits a short time for private execution, and then answers with what is executed. Transactions that wait for a
    block do not count. RpcError if privacy is off, a parameter does not fit, or `privateFrom` is not the key of this
    node, or of the caller if tenants share the node.
    """
    controller = privacy_controller(services)
    sender = parse_address(required(params, 0, "address"))
    private_from = parse_key(required(params, 1, "privateFrom"), "privateFrom")
    private_for = parse_keys(required(params, 2, "privateFor"), "privateFor")
    if private_from != controller.public_key:
        raise privacy_error(privacy_errors.WRONG_PRIVATE_FROM)
    return results.quantity(controller.states.next_nonce(sender, legacy_group_id(private_from, private_for)))


def _decoded(params: Params) -> PrivateTransaction:
    raw = parse_text(required(params, 0, "transaction"), "transaction")
    try:
        return PrivateTransaction.decode(from_hex(raw))
    except ValueError:
        # RlpError is a ValueError too. Its text is not passed on, because it could quote the private transaction.
        raise privacy_error(privacy_errors.DECODE_ERROR) from None


def _rpc_error(error: PrivateSendError) -> RpcError:
    """Return the error that Besu gives for this reason."""
    message = _MESSAGES.get(error.reason)
    if message is not None:
        return privacy_error(message)
    if error.manager_error is not None:
        return manager_error(error.manager_error)
    # A value has no error text of its own in Besu.
    if error.rejection is None:
        return internal_error()
    if error.reason is not PrivateSendReason.MARKER_REJECTED:
        return rejected(error.rejection)
    if error.rejection is RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT:
        return privacy_error(privacy_errors.MARKER_GAS_ERROR)
    # The marker is public, so the details of its rejection may be shown.
    return rejected(error.rejection, str(error))


EEA_METHODS = (
    Method("eea_sendRawTransaction", "EEA", eea_sendRawTransaction),
    Method("priv_distributeRawTransaction", "PRIV", priv_distributeRawTransaction),
    Method("priv_getEeaTransactionCount", "EEA", priv_getEeaTransactionCount, arity=3),
)
