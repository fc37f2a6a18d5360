"""PRIV: privacy groups, and the results of private execution.

A caller sees all groups of the node, or those of its key if tenants share the node.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from lacnode.evm.engine import CallLimitExceededError
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.primitives.bloom import bloom_of
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.manager.mandatory_recipient import add_mandatory_recipient
from lacnode.privacy.state.privacy_controller import PrivacyController
from lacnode.privacy.state.private_logs import PrivateLogs
from lacnode.privacy.state.private_payloads import ForeignPayloadError, PayloadUnavailableError, UnusablePayloadError
from lacnode.privacy.state.private_receipts import FoundPrivateTransaction
from lacnode.privacy.state.private_records import PrivateReceipt
from lacnode.privacy.state.private_store import PrivateNodeStore
from lacnode.privacy.state.private_transaction import PrivateTransaction, private_contract_address
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rpc import privacy_errors, results
from lacnode.rpc.call_parameters import parse_call_request
from lacnode.rpc.errors import SERVER_ERROR, RpcError, internal_error, invalid_params, timeout
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.methods.eth_transactions import logs_to_json
from lacnode.rpc.parameters import (
    LogQuery,
    header_by_number,
    header_by_number_or_hash,
    optional,
    parse_address,
    parse_block_number,
    parse_hash32,
    parse_log_query,
    required,
)
from lacnode.rpc.privacy_errors import is_group_not_found, manager_error, privacy_error
from lacnode.rpc.privacy_parameters import (
    check_member,
    in_base64,
    optional_text,
    parse_group_id,
    parse_keys,
    privacy_controller,
)
from lacnode.rpc.read_calls import ReadCall, ReadContext, check_time
from lacnode.rpc.results import Json
from lacnode.rpc.services import RpcServices

# -- groups --------------------------------------------------------------------------------------------------------


def priv_createPrivacyGroup(services: RpcServices, params: Params) -> object:
    """Create a group in the transaction manager and return its id in base64. `params` is an object with `addresses`
    (keys in base64, the own key among them: it is not added) and, if wanted, `name`, `description` and
    `mandatoryRecipient`. The last one is a key that this node adds to the members. This node also writes it into the
    description.

    RpcError if privacy is off, a parameter does not fit, the manager refuses the group or does not answer, or a tenant
    is not among its members.
    """
    controller = privacy_controller(services)
    document = required(params, 0, "group")
    if not isinstance(document, Mapping):
        raise invalid_params("group: an object was expected")
    members = parse_keys(document.get("addresses"), "addresses")
    if controller.has_tenants and controller.public_key not in members:
        raise privacy_error(privacy_errors.ENCLAVE_ERROR)
    name, description = optional_text(document, "name"), optional_text(document, "description")
    # Only lacnode has the parameter `mandatoryRecipient`. Besu does not know it.
    if document.get("mandatoryRecipient") is not None:
        (supervisor,) = parse_keys([document["mandatoryRecipient"]], "mandatoryRecipient")
        members, description = add_mandatory_recipient(members, description, supervisor)
    try:
        group = controller.manager.create_group(members, controller.public_key, name, description)
    except (EnclaveError, EnclaveUnreachableError) as error:
        raise manager_error(error) from None
    return in_base64(group.id)


def priv_deletePrivacyGroup(services: RpcServices, params: Params) -> object:
    """Delete a group in the transaction manager, also at the other members. Return its id in base64. The one parameter
    is the id in base64. RpcError if the id is malformed, privacy is off, the caller is a tenant that is no member, or
    on any failure of the manager, also for an unknown group or one without the caller's key."""
    controller = privacy_controller(services)
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    try:
        if not controller.may_see_group(wanted):
            raise privacy_error(privacy_errors.DELETE_GROUP_ERROR)
        return in_base64(controller.manager.delete_group(wanted, controller.public_key))
    except (EnclaveError, EnclaveUnreachableError):
        raise privacy_error(privacy_errors.DELETE_GROUP_ERROR) from None


def priv_findPrivacyGroup(services: RpcServices, params: Params) -> object:
    """Return the groups with exactly these members, empty if there are none. `params` is an array of keys in base64.
    RpcError if privacy is off, a parameter does not fit, the manager fails, or a tenant asks for groups without itself."""
    members, controller = parse_keys(required(params, 0, "addresses"), "addresses"), privacy_controller(services)
    if controller.has_tenants and controller.public_key not in members:
        raise privacy_error(privacy_errors.FIND_GROUP_ERROR)
    try:
        found = controller.manager.find_groups(members)
    except (EnclaveError, EnclaveUnreachableError):
        raise privacy_error(privacy_errors.FIND_GROUP_ERROR) from None
    return [
        {
            "privacyGroupId": in_base64(group.id),
            "type": group.type.value,
            "name": group.name,
            "description": group.description,
            "members": [in_base64(member) for member in group.members],
        }
        for group in found
    ]


def priv_getPrivacyPrecompileAddress(services: RpcServices, params: Params) -> object:
    # The value of the mode is the address that markers call.
    """Return the address (20 bytes as 0x-hexadecimal) that the markers of this node call. RpcError if privacy is off."""
    return to_hex(privacy_controller(services).mode.value)


# -- transactions --------------------------------------------------------------------------------------------------


def priv_getPrivateTransaction(services: RpcServices, params: Params) -> object:
    """Return the private transaction of a marker, by the marker's hash (32 bytes). None if no block has this
    transaction, if it is no marker, or if neither the manager has its payload for the caller's key nor a group history
    that the key may see. None also if the payload does not belong to its group (`lac_whyPrivateTransactionIgnored` says
    why).

    RpcError if the hash does not fit or privacy is off, and "Internal error" if the manager does not give the payload
    or the payload is no private transaction.
    """
    found = _found(services, params)
    return None if found is None else _transaction(found.private)


def priv_getTransactionReceipt(services: RpcServices, params: Params) -> object:
    """Return the receipt of a private transaction, by its marker's hash (32 bytes). None if the transaction was not
    executed yet, and in each case in which `priv_getPrivateTransaction` returns None. It may wait a short time for
    private execution.

    RpcError if the hash does not fit or privacy is off, and "Internal error" if the manager does not give the payload
    or the payload is no private transaction.
    """
    found = _found(services, params)
    receipts = privacy_controller(services).receipts
    if found is None or receipts.find_receipt(found) is None:
        return None
    # A transaction may have several markers. The receipt shows the result of the one that was executed.
    executed = receipts.at_first_successful_marker(found)
    receipt = receipts.find_receipt(executed)
    return None if receipt is None else _receipt(found, receipt, executed)


def _found(services: RpcServices, params: Params) -> FoundPrivateTransaction | None:
    hash_ = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    try:
        return privacy_controller(services).find_transaction(hash_)
    except ForeignPayloadError:
        # The node executed it as not its own. `lac_whyPrivateTransactionIgnored` gives the reason.
        return None
    except (PayloadUnavailableError, EnclaveUnreachableError, UnusablePayloadError):
        raise internal_error() from None


def _transaction(private: PrivateTransaction) -> Json:
    shown: Json = {
        "from": to_hex(private.sender()),
        "gas": results.quantity(private.gas_limit),
        "gasPrice": results.quantity(private.gas_price),
        "input": to_hex(private.data),
        "nonce": results.quantity(private.nonce),
        "to": results.optional_data(private.to),
        "value": results.quantity(private.value),
        "v": results.quantity(private.v),
        "r": results.quantity(private.r),
        "s": results.quantity(private.s),
    }
    shown.update(_parties(private))
    shown["restriction"] = private.restriction.value.decode("ascii")
    return shown


def _parties(private: PrivateTransaction) -> Json:
    shown: Json = {"privateFrom": in_base64(private.private_from)}
    if private.group_id is not None:
        shown["privacyGroupId"] = in_base64(private.group_id)
    else:
        shown["privateFor"] = [in_base64(recipient) for recipient in private.private_for or ()]
    return shown


def _receipt(found: FoundPrivateTransaction, receipt: PrivateReceipt, executed: FoundPrivateTransaction) -> Json:
    """Return the receipt of a private transaction. Members without a value are left out, as in Besu.

    `executed` is the marker at which the transaction was executed. The receipt names it if it is another one than `found`.
    """
    private, place, sender = found.private, found.place, found.private.sender()
    group = found.group_id if private.group_id is None else private.group_id
    shown: Json = {}
    if private.to is None:
        shown["contractAddress"] = to_hex(private_contract_address(sender, private.nonce, group))
    shown["from"] = to_hex(sender)
    if private.to is not None:
        shown["to"] = to_hex(private.to)
    shown["output"] = to_hex(receipt.output)
    shown["commitmentHash"] = to_hex(found.marker_hash)
    shown.update(_parties(private))
    shown["privacyGroupId"] = in_base64(private.determined_group_id())
    shown["status"] = results.quantity(receipt.status)
    # Only lacnode shows this JSON member. Besu shows only status 0x2 then.
    if executed.marker_hash != found.marker_hash:
        shown["executedAtMarker"] = to_hex(executed.marker_hash)
    if receipt.revert_reason is not None:
        shown["revertReason"] = to_hex(receipt.revert_reason)
    shown["logs"] = [
        {
            "address": to_hex(entry.address),
            "topics": [to_hex(topic) for topic in entry.topics],
            "data": to_hex(entry.data),
            "blockNumber": results.quantity(executed.place.number),
            "transactionHash": to_hex(executed.marker_hash),
            "transactionIndex": results.quantity(executed.place.index),
            "blockHash": to_hex(executed.place.block_hash),
            "logIndex": results.quantity(position),
            "removed": False,
        }
        for position, entry in enumerate(receipt.logs)
    ]
    # A private receipt is stored without a bloom filter, so it is made for the answer.
    items = [item for entry in receipt.logs for item in (entry.address, *entry.topics)]
    shown["logsBloom"] = to_hex(bloom_of(items))
    shown["blockHash"] = to_hex(place.block_hash)
    shown["blockNumber"] = results.quantity(place.number)
    shown["transactionIndex"] = results.quantity(place.index)
    return shown


# -- state ---------------------------------------------------------------------------------------------------------


def priv_getTransactionCount(services: RpcServices, params: Params) -> object:
    """Return the next nonce of an account in a group, as a 0x quantity. `params` are the address and the group's id in
    base64. It waits a short time for private execution, and then answers with what is executed. Transactions that wait
    for a block do not count. RpcError if privacy is off, a parameter does not fit, or the caller is a tenant that is no
    member of the group."""
    controller = privacy_controller(services)
    sender = parse_address(required(params, 0, "address"))
    group = required(params, 1, "privacyGroupId")
    try:
        wanted = parse_group_id(group)
    except RpcError:
        raise privacy_error(privacy_errors.NONCE_ERROR) from None
    # The same error for a wrong id, a group that does not exist and a caller that is no member.
    try:
        check_member(controller, wanted)
    except RpcError:
        raise privacy_error(privacy_errors.NONCE_ERROR) from None
    return results.quantity(controller.states.next_nonce(sender, wanted))


def priv_getCode(services: RpcServices, params: Params) -> object:
    """Return the code (0x-hexadecimal) of a contract in a group's state after a block. None if there is no account.
    `params` are the group's id in base64, the address and the block (number, tag or hash). It waits a short time for
    private execution, and then answers with what is executed.

    RpcError if privacy is off, a parameter does not fit, there is no such block, or the caller is a tenant that is no
    member of the group.
    """
    controller = privacy_controller(services)
    wanted, contract = (
        parse_group_id(required(params, 0, "privacyGroupId")),
        parse_address(required(params, 1, "address")),
    )
    header = header_by_number_or_hash(services, required(params, 2, "block"))
    check_member(controller, wanted)
    # Private execution follows the import of a block. Without the wait the caller would see the state before the block.
    controller.states.wait_until_executed(header.number)
    state = controller.states.state_at(wanted, header.number)
    return to_hex(state.code(contract)) if state.exists(contract) else None


def priv_call(services: RpcServices, params: Params) -> object:
    """Return the `ReadCall` that a reader answers with the output (0x-hexadecimal) of a call on a group's state after a
    block. None if there is no such block. `params` are the group's id in base64, the call object and the block (number
    or tag). It waits a short time for private execution, and then takes the state as far as it is executed.

    RpcError if privacy is off, a parameter does not fit, the caller is a tenant that was no member after that block,
    the call has no `to`, or it has a value.
    """
    controller = privacy_controller(services)
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    call, _ = parse_call_request(optional(params, 1))
    header = header_by_number(services, required(params, 2, "block"))
    if call.to is None:
        raise invalid_params('call: Missing "to" field in call arguments')
    if header is None:
        return None
    check_member(controller, wanted, header.number)
    # Private states have no money of their own, so a call cannot carry a value.
    if call.value:
        raise internal_error()
    # The root is found here, because a reader has no privacy controller. The reader needs only the
    # root and the message.
    root, message = controller.states.prepare_call(wanted, header, call.sender, call.to, call.data, call.gas_price or 0)
    return ReadCall(private_call, [header.number, root, message])


def private_call(reading: ReadContext, params: Params) -> object:
    """Execute a message and return its output in 0x-hexadecimal. Runs in a reader, for `priv_call`.

    `params` are the number of the block, the root of the group's state (32 bytes), and the message (`PrivateMessage`).
    RpcError if the message fails, and CallTimeoutError if it takes too long.
    """
    number, root, message = cast(tuple[int, bytes, PrivateMessage], tuple(params))
    header = reading.chain.header_at(number)
    if header is None:
        raise internal_error()
    store = PrivateNodeStore(reading.chain.database)
    try:
        result = reading.chain.open_block_for_private_execution(header).execute_private(
            store, root, message, deadline=reading.deadline
        )
    except CallLimitExceededError:
        raise timeout() from None
    return to_hex(_succeeded(result).output)


def _succeeded(result: PrivateResult) -> PrivateResult:
    if result.success:
        return result
    # Fewer than four bytes hold no selector of an error, so there is no reason to show.
    if result.revert_reason is not None and len(result.revert_reason) >= 4:
        raise RpcError(SERVER_ERROR, "Execution reverted", to_hex(result.revert_reason))
    raise privacy_error(privacy_errors.TRANSACTION_FAILED)


def priv_debugGetStateRoot(services: RpcServices, params: Params) -> object:
    """Return the state root (32 bytes as 0x-hexadecimal) of a group after a block. `params` are the group's id in
    base64 and the block (number or tag). It waits a short time for private execution, and then answers with what is
    executed. RpcError if privacy is off, a parameter does not fit, there is no such group, the caller is a tenant that
    is no member, the manager does not answer, or the block is above the head. Without tenants every caller may ask."""
    controller = privacy_controller(services)
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    number = parse_block_number(services, required(params, 1, "block"))
    _check_exists(controller, wanted, number)
    if number > services.chain.head.header.number:
        raise internal_error()
    controller.states.wait_until_executed(number)
    return to_hex(controller.states.root_at(wanted, number))


def _check_exists(controller: PrivacyController, wanted: bytes, number: int) -> None:
    try:
        if controller.groups.members_at(wanted) is None or not controller.may_see_group(wanted, number):
            raise privacy_error(privacy_errors.FIND_GROUP_ERROR)
    except EnclaveError as error:
        text = privacy_errors.FIND_GROUP_ERROR if is_group_not_found(error) else privacy_errors.ENCLAVE_ERROR
        raise privacy_error(text) from None
    except EnclaveUnreachableError:
        raise invalid_params() from None


# -- logs ----------------------------------------------------------------------------------------------------------


def priv_getLogs(services: RpcServices, params: Params) -> object:
    """Return the `ReadCall` that a reader answers with the logs of a group that fit a filter (`matching_private_logs`).
    `params` are the group's id in base64 and the filter. In contrast to `eth_getLogs`, a range without a first number
    begins at the genesis. RpcError if privacy is off, a parameter does not fit, or the caller is a tenant that is no
    member."""
    wanted = parse_group_id(required(params, 0, "privacyGroupId"))
    query = parse_log_query(services, required(params, 1, "filter"))
    if not query.fixed_from:
        query = replace(query, from_block=0)
    return matching_private_logs(services, privacy_controller(services), wanted, query)


def _number_of(services: RpcServices, query: LogQuery) -> int | None:
    """Return the number of the block if `query` names one by its hash (32 bytes), else None. The members of this block
    may see its logs."""
    header = None if query.block_hash is None else services.chain.header_of(query.block_hash)
    return None if header is None else header.number


def matching_private_logs(
    services: RpcServices, controller: PrivacyController, wanted: bytes, query: LogQuery
) -> ReadCall:
    """Return the `ReadCall` that a reader answers with the logs of the group `wanted` (32 bytes) that fit `query`, as
    JSON and within the bounds of `eth_getLogs`. It waits a short time for private execution. Logs of blocks that are
    not executed by then are missing. RpcError if the caller is a tenant that is no member."""
    number = _number_of(services, query)
    check_member(controller, wanted, number)
    end = min(query.to_block, services.chain.head.header.number)
    controller.states.wait_until_executed(end if query.block_hash is None else number or 0)
    return ReadCall(private_logs, [wanted, query, end])


def private_logs(reading: ReadContext, params: Params) -> object:
    """Return the logs of a group as JSON, in order. Runs in a reader. `params` are its id (32 bytes), the `LogQuery`,
    and the last block of a range. RpcError if there are too many, and CallTimeoutError if it takes too long."""
    group, query, end = cast(tuple[bytes, LogQuery, int], tuple(params))

    def check_block(hash_: bytes) -> None:
        check_time(reading)
        reading.check_block_size(hash_)

    logs = PrivateLogs(reading.chain, reading.chain.database, check_block)
    if query.block_hash is not None:
        return logs_to_json(reading, logs.of_block(group, query.block_hash, query.wanted))
    return logs_to_json(reading, logs.in_range(group, query.from_block, end, query.wanted))


PRIV_GROUP_METHODS = (
    Method("priv_createPrivacyGroup", "PRIV", priv_createPrivacyGroup),
    Method("priv_deletePrivacyGroup", "PRIV", priv_deletePrivacyGroup),
    Method("priv_findPrivacyGroup", "PRIV", priv_findPrivacyGroup),
)
"""Groups that the transaction manager keeps."""

PRIV_METHODS = (
    Method("priv_getPrivacyPrecompileAddress", "PRIV", priv_getPrivacyPrecompileAddress),
    Method("priv_getPrivateTransaction", "PRIV", priv_getPrivateTransaction),
    Method("priv_getTransactionReceipt", "PRIV", priv_getTransactionReceipt),
    Method("priv_getTransactionCount", "PRIV", priv_getTransactionCount, arity=2),
    Method("priv_getCode", "PRIV", priv_getCode),
    Method("priv_call", "PRIV", priv_call),
    Method("priv_debugGetStateRoot", "PRIV", priv_debugGetStateRoot),
    Method("priv_getLogs", "PRIV", priv_getLogs),
)
