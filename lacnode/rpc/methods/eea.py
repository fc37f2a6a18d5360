"""EEA: sending private transactions. The public marker is sent only after the manager has stored the payload."""

from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.privacy.state.execution import InvalidPrivateTransactionError
from lacnode.privacy.state.flexible.flexible_groups import FlexibleGroups, NoGroupIdError, NoSuchGroupError
from lacnode.privacy.state.privacy_controller import PrivacyController, WrongGroupTypeError
from lacnode.privacy.state.private_payloads import PayloadUnavailableError
from lacnode.privacy.state.private_transaction import PrivateTransaction, Restriction, legacy_group_id
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rpc import privacy_errors, results
from lacnode.rpc.errors import internal_error, observer_refuses, rejected
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import address, required, text
from lacnode.rpc.privacy_errors import manager_error, privacy_error
from lacnode.rpc.privacy_parameters import key, keys, privacy_controller
from lacnode.rpc.services import RpcServices


def eea_sendRawTransaction(services: RpcServices, params: Params) -> object:
    """Distribute a private transaction to its members and send its marker. Returns the marker's hash.

    RpcError if the transaction or its marker is rejected, or if the manager does not store the payload.
    """
    if not services.accepts_transactions:
        raise observer_refuses()
    controller = privacy_controller(services)
    private = _decoded(params)
    # Besu refuses every other restriction too.
    if private.restriction is not Restriction.RESTRICTED:
        raise privacy_error(privacy_errors.UNSUPPORTED_TYPE)
    # In a flexible group the contract decides who is a member (`_distributed_flexibly`).
    if controller.flexible is None:
        _check_sender_key(controller, private)
    _check(controller, private)
    # The order matters. The payload goes out before its marker: a member that finds a marker in a block asks its manager
    # for the payload at once. All checks come before it, because a distributed payload cannot be called back.
    keys = _distributed(controller, private)
    try:
        return to_hex(controller.announce(private, keys))
    except TransactionRejectedError as rejection:
        if rejection.reason is RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT:
            raise privacy_error(privacy_errors.MARKER_GAS_ERROR) from None
        raise rejected(rejection.reason, str(rejection)) from None


def priv_distributeRawTransaction(services: RpcServices, params: Params) -> object:
    """Distribute a payload like `eea_sendRawTransaction`, but send no marker.

    The caller makes the marker of the returned key. There are two keys if members are added to a flexible group. RpcError if
    the transaction is refused.
    """
    if not services.accepts_transactions:
        raise observer_refuses()
    controller = privacy_controller(services)
    private = _decoded(params)
    _check_sender_key(controller, private)
    _check(controller, private)
    return to_hex(_distributed(controller, private))


def priv_getEeaTransactionCount(services: RpcServices, params: Params) -> object:
    """Return the nonce of an account in the group of `privateFrom` and `privateFor`. RpcError if the sender's key is
    foreign."""
    controller = privacy_controller(services)
    sender = address(required(params, 0, "address"))
    private_from = key(required(params, 1, "privateFrom"), "privateFrom")
    private_for = keys(required(params, 2, "privateFor"), "privateFor")
    if private_from != controller.public_key:
        raise privacy_error(privacy_errors.WRONG_PRIVATE_FROM)
    return results.quantity(controller.nonce(sender, legacy_group_id(private_from, private_for)))


def _decoded(params: Params) -> PrivateTransaction:
    raw = text(required(params, 0, "transaction"), "transaction")
    try:
        return PrivateTransaction.decode(from_hex(raw))
    except ValueError:
        # RlpError is a ValueError too. Its text is not passed on, because it could quote the private transaction.
        raise privacy_error(privacy_errors.DECODE_ERROR) from None


def _check_sender_key(controller: PrivacyController, private: PrivateTransaction) -> None:
    if private.private_from != controller.public_key:
        raise privacy_error(privacy_errors.WRONG_PRIVATE_FROM)


def _check(controller: PrivacyController, private: PrivateTransaction) -> None:
    _check_tenant(controller, private)
    try:
        controller.check(private)
    except TransactionRejectedError as rejection:
        raise rejected(rejection.reason) from None
    except InvalidPrivateTransactionError as invalid:
        raise internal_error() if invalid.reason is None else rejected(invalid.reason) from None


def _check_tenant(controller: PrivacyController, private: PrivateTransaction) -> None:
    """RpcError if the tenant is no member of the group that it names."""
    # A group of `privateFor` has the sender as a member by its construction.
    if private.group_id is None:
        return
    try:
        if not controller.may_see_group(private.group_id):
            raise privacy_error(privacy_errors.ENCLAVE_ERROR)
    except (EnclaveError, EnclaveUnreachableError) as error:
        raise manager_error(error) from None


def _distributed(controller: PrivacyController, private: PrivateTransaction) -> bytes:
    """Have the manager store the payload, and return the data of the marker. RpcError if the payload is not stored."""
    try:
        if controller.flexible is not None:
            return _distributed_flexibly(controller, controller.flexible, private)
        return controller.distribute(private, controller.group_of(private))
    except WrongGroupTypeError:
        raise privacy_error(privacy_errors.DECODE_ERROR) from None
    except (EnclaveError, EnclaveUnreachableError) as error:
        raise manager_error(error) from None


def _distributed_flexibly(
    controller: PrivacyController, flexible: FlexibleGroups, private: PrivateTransaction
) -> bytes:
    try:
        group = flexible.recipients(private)
        # The error is that of a group that does not exist. A caller that is no member does not learn whether it does.
        if controller.public_key not in group.members:
            raise NoSuchGroupError
        return flexible.distribute(private, group)
    except NoGroupIdError:
        raise privacy_error(privacy_errors.NO_FLEXIBLE_GROUP_ID) from None
    except NoSuchGroupError:
        raise privacy_error(privacy_errors.NO_FLEXIBLE_GROUP) from None
    except PayloadUnavailableError:
        raise privacy_error(privacy_errors.ENCLAVE_ERROR) from None


EEA_METHODS = (
    Method("eea_sendRawTransaction", "EEA", eea_sendRawTransaction),
    Method("priv_distributeRawTransaction", "PRIV", priv_distributeRawTransaction),
    Method("priv_getEeaTransactionCount", "EEA", priv_getEeaTransactionCount, arity=3),
)
