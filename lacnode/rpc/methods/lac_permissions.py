"""LAC: the permissions of nodes and accounts, and the reasons for them."""

import time
from dataclasses import replace

from lacnode.evm.budget import ExecutionBudget, ExecutionInterruptedError
from lacnode.evm.engine import CallRequest
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.p2p.wire.enode import Enode, EnodeError
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.call_parameters import parse_call_request
from lacnode.rpc.errors import invalid_params, rejected, timeout
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import optional, parse_text, required
from lacnode.rpc.services import RpcServices

SIMULATION_GAS = 5_000_000
"""Gas limit of a simulated change."""

SIMULATION_SECONDS = 2.0


def lac_permissioningStatus(services: RpcServices, params: Params) -> object:
    """Return the rules in force, their faults, and how often they were applied, as an object."""
    return services.permissions.status()


def lac_refusedConnections(services: RpcServices, params: Params) -> object:
    """Return the connections that were refused and not permitted since (`RefusedConnection.to_json`), with the latest
    first. Empty if there are none."""
    return [refusal.to_json() for refusal in services.permissions.refused_connections.all()]


def lac_explainConnection(services: RpcServices, params: Params) -> object:
    """Return the decision whether the first enode may connect to the second, or to this node if there is no second, and
    the reasons (`Decision.to_json`).

    RpcError if an enode is wrong, or if the second is missing and P2P is off.
    """
    source = _enode(required(params, 0, "enode"))
    other = optional(params, 1)
    if other is not None:
        destination = _enode(other)
    elif services.network is not None:
        destination = services.network.local_enode
    else:
        raise invalid_params("the other node's enode is missing, and this node has P2P off")
    return services.permissions.explain_connection(source, destination).to_json()


def lac_explainTransaction(services: RpcServices, params: Params) -> object:
    """Return the decision whether the transaction of a call object may be sent, and the reasons (`Decision.to_json`).
    `gas` is the head's limit if it is missing. Nonce and balance do not count. RpcError if the call object does not
    fit."""
    request, _ = parse_call_request(optional(params, 0))
    call = _transaction_call(request, services.chain.head.header.gas_limit)
    return services.permissions.explain_transaction(call, request.sender).to_json()


def lac_simulatePermissionChange(services: RpcServices, params: Params) -> object:
    """Return the effects of the transaction of a call object on the rules, without sending it. The members are
    `succeeds`, `canChange` and `locksOut`. `canChange` is an array of those that could change the rules after it, among
    the sender and the listed administrators (0x-hexadecimal). `locksOut` is true if the transaction succeeds and
    `canChange` is empty, and false without an admin contract. The transaction is executed on the state of the head, and
    nothing is stored. Its gas limit is `SIMULATION_GAS`: the `gas` of the call object is ignored.

    RpcError if the call object does not fit or the transaction is rejected, and CallTimeoutError after
    `SIMULATION_SECONDS`.
    """
    request, _ = parse_call_request(optional(params, 0))
    # The simulation executes several calls. One budget bounds all of them together.
    budget = ExecutionBudget(time.monotonic() + SIMULATION_SECONDS)
    try:
        # The limit of the caller is not used. A large one would let the simulation execute for long.
        call = replace(_transaction_call(request, SIMULATION_GAS), gas_limit=SIMULATION_GAS)
        outlook = services.permissions.simulate_change(call, request.sender, budget)
    except TransactionRejectedError as rejection:
        raise rejected(rejection.reason, str(rejection)) from None
    except ExecutionInterruptedError:
        raise timeout() from None
    return {
        "succeeds": outlook.succeeds,
        "locksOut": outlook.would_lock_out,
        "canChange": [to_hex(account) for account in outlook.admins_able_to_change],
    }


def _transaction_call(request: CallRequest, gas_limit: int) -> UnsignedTransaction:
    return UnsignedTransaction(
        to=request.to,
        value=request.value,
        gas_price=request.gas_price or 0,
        gas_limit=gas_limit if request.gas is None else request.gas,
        data=request.data,
    )


def _enode(value: object) -> Enode:
    try:
        return Enode.parse(parse_text(value, "enode"), allow_names=True)
    except EnodeError as error:
        raise invalid_params(str(error)) from None


LAC_PERMISSION_METHODS = (
    Method("lac_permissioningStatus", "LAC", lac_permissioningStatus),
    Method("lac_refusedConnections", "LAC", lac_refusedConnections),
    Method("lac_explainConnection", "LAC", lac_explainConnection),
    Method("lac_explainTransaction", "LAC", lac_explainTransaction),
    Method("lac_simulatePermissionChange", "LAC", lac_simulatePermissionChange),
)
