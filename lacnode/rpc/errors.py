"""JSON-RPC errors with Besu's codes and texts (`RpcErrorType`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lacnode.evm.rejection import RejectionReason


class RpcError(Exception):
    """An error reply with its JSON-RPC `code` and `message`. `data` is a JSON value with a further explanation, or
    None."""

    def __init__(self, code: int, message: str, data: object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class CallTimeoutError(RpcError):
    """The call took longer than it may: -32603 "Timeout expired"."""

    def __init__(self) -> None:
        super().__init__(INTERNAL_ERROR, "Timeout expired")


PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
METHOD_NOT_ENABLED, LIMIT_EXCEEDED, SERVER_ERROR, ENODE_ERROR = -32604, -32005, -32000, -32100
UNAUTHORIZED = -40100


def parse_error() -> RpcError:
    """Return the error -32700 "Parse error": the body of the request is no JSON object or array, or has too many
    values."""
    return RpcError(PARSE_ERROR, "Parse error")


def invalid_request() -> RpcError:
    """Return the error -32600 "Invalid Request": the JSON is not a JSON-RPC request. `miner_setCoinbase` always gives
    this error. On a node with tenants a private method gives it to a caller whose token names no key."""
    return RpcError(INVALID_REQUEST, "Invalid Request")


def unauthorized() -> RpcError:
    """Return the error -40100 "Unauthorized": the client has no valid token, its user may not call the method, or the
    tenant is no member of the privacy group."""
    return RpcError(UNAUTHORIZED, "Unauthorized")


def method_not_found() -> RpcError:
    """Return the error -32601 "Method not found": no method has this name."""
    return RpcError(METHOD_NOT_FOUND, "Method not found")


def method_not_enabled() -> RpcError:
    """Return the error -32604 "Method not enabled": Besu has the method and this node does not, a contract names the
    validators and the method is about votes, or the API group of the method is not enabled on this port."""
    return RpcError(METHOD_NOT_ENABLED, "Method not enabled")


def invalid_params(why: str | None = None) -> RpcError:
    """Return the error -32602 "Invalid params" with the reason `why` in `data`. In Besu this error has no reason."""
    return RpcError(INVALID_PARAMS, "Invalid params", why)


INVALID_CALL, INVALID_BLOCK = "Invalid call params", "Invalid block param (block not found)"
INVALID_BLOCK_NUMBER, INVALID_FILTER = "Invalid block number params", "Invalid filter params"
INVALID_TRANSACTION_HASH, INVALID_COUNT = "Invalid transaction hash params", "Invalid number of params"
"""Besu's messages for a wrong parameter, by the parameter's kind."""


@contextmanager
def with_error_message(message: str) -> Iterator[None]:
    """An RpcError with the code -32602 that leaves the `with` block becomes one with the text `message`, the same code
    and the same `data`. Other errors pass unchanged. It can also decorate a function."""
    try:
        yield
    except RpcError as error:
        # Only "Invalid params" has a message of the parameter's kind. "Unknown block", for example, must
        # stay as it is.
        if error.code != INVALID_PARAMS:
            raise
        raise RpcError(INVALID_PARAMS, message, error.data) from None


def internal_error() -> RpcError:
    """Return the error -32603 "Internal error". It stands for a fault of the node, and for what Besu answers so, such
    as a WebSocket message that is no JSON. The caller writes the details of a fault to the log: nothing is logged
    here."""
    return RpcError(INTERNAL_ERROR, "Internal error")


def timeout() -> RpcError:
    """Return the error -32603 "Timeout expired": the call took longer than a call may."""
    return CallTimeoutError()


class BusyError(RpcError):
    """The call is refused because too many calls (or too many bytes of them) wait, because it has waited too long, or
    because no reader process can be started: -32005 with the sentence `why`. `status` is HTTP's status for a single
    call."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(LIMIT_EXCEEDED, why)
        self.status = status


def unknown_block() -> RpcError:
    """Return the error -39001 "Unknown block": the named block is not in the chain, or is `finalized` or `safe`."""
    return RpcError(-39001, "Unknown block")


def reverted(reason: str | None, output: str) -> RpcError:
    """Return the error -32000 for a call that ended with REVERT. `reason` is the contract's text or None. `output` is
    0x-hexadecimal, for `data`."""
    return RpcError(SERVER_ERROR, _with_reason("Execution reverted", reason), output)


def halted(how: str | None, explanation: str | None) -> RpcError:
    """Return the error -32000 for a call that ended with an exceptional halt of the EVM, such as out of gas, and not
    with REVERT.

    `how` is Besu's name of the halt, for the message. `explanation` says more, for `data`. Both may be None.
    """
    message = "Transaction processing could not be completed due to an exception"
    return RpcError(SERVER_ERROR, _with_reason(message, how), explanation)


def _with_reason(message: str, reason: str | None) -> str:
    return message if reason is None else f"{message} ({reason})"


def block_not_found() -> RpcError:
    """Return the error -32000 "Block not found": no block has this hash or number, where Besu answers with this text."""
    return RpcError(SERVER_ERROR, "Block not found")


def world_state_unavailable() -> RpcError:
    """Return the error -32000 "World state unavailable": the state after the named block is not in the database."""
    return RpcError(SERVER_ERROR, "World state unavailable")


def filter_not_found() -> RpcError:
    """Return the error -32000 "Filter not found": no filter has this id. It may have expired, or have gathered too
    much."""
    return RpcError(SERVER_ERROR, "Filter not found")


def logs_filter_not_found() -> RpcError:
    """Return the error -32000 "Logs filter not found": no filter of logs has this id. It may have expired, or have
    gathered too much."""
    return RpcError(SERVER_ERROR, "Logs filter not found")


def subscription_not_found() -> RpcError:
    """Return the error -32000 "Subscription not found": this WebSocket connection has no subscription with this id."""
    return RpcError(SERVER_ERROR, "Subscription not found")


def p2p_disabled() -> RpcError:
    """Return the error -32000 for a method that needs the network while `--p2p-enabled` is false."""
    return RpcError(SERVER_ERROR, "P2P has been disabled. This functionality is not available")


def range_too_large(why: str | None = None) -> RpcError:
    """Return the error -32005: the call asks for more blocks or results than one call may. `why` goes into `data`."""
    return RpcError(LIMIT_EXCEEDED, "Requested range exceeds maximum RPC range limit", why)


def batch_too_large() -> RpcError:
    """Return the error -32005: the batch has more calls than a batch may."""
    return RpcError(LIMIT_EXCEEDED, "Number of requests exceeds max batch size")


def observer_refuses() -> RpcError:
    """Return the error -32000 for a transaction that a client sends to an observer. Besu has no such role and no such
    error."""
    return RpcError(SERVER_ERROR, "This node is an observer and takes no transactions: send them to a writer")


def dangerous_vote(warnings: Sequence[str]) -> RpcError:
    """Return the error -32000 for a vote that may harm the network, with `warnings` (at least one sentence) in `data`.
    The vote is accepted with `true` as third parameter."""
    hint = "to vote all the same, give true as the third parameter"
    return RpcError(SERVER_ERROR, f"Vote not proposed: {warnings[0]}", {"warnings": list(warnings), "hint": hint})


def privacy_disabled() -> RpcError:
    """Return the error -50100 "Privacy is not enabled": the method needs private transactions, and they are off."""
    return RpcError(-50100, "Privacy is not enabled")


_REJECTIONS: dict[RejectionReason, tuple[int, str]] = {
    RejectionReason.NONCE_TOO_LOW: (-32001, "Nonce too low"),
    RejectionReason.NONCE_TOO_HIGH: (-32006, "Nonce too high"),
    RejectionReason.INVALID_SIGNATURE: (-32002, "Invalid signature"),
    RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT: (-32003, "Intrinsic gas exceeds gas limit"),
    RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE: (-32004, "Upfront cost exceeds account balance"),
    RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT: (-32005, "Transaction gas limit exceeds block gas limit"),
    RejectionReason.TX_SENDER_NOT_AUTHORIZED: (-32007, "Sender account not authorized to send transactions"),
    RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE: (-32008, "Initial sync is still in progress"),
    RejectionReason.GAS_PRICE_TOO_LOW: (-32009, "Gas price below configured minimum gas price"),
    RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE: (-32009, "Gas price below current base fee"),
    RejectionReason.WRONG_CHAIN_ID: (SERVER_ERROR, "Wrong chainId"),
    RejectionReason.REPLAY_PROTECTED_SIGNATURES_NOT_SUPPORTED: (SERVER_ERROR, "ChainId not supported"),
    RejectionReason.REPLAY_PROTECTED_SIGNATURE_REQUIRED: (SERVER_ERROR, "ChainId is required"),
    RejectionReason.TX_FEECAP_EXCEEDED: (SERVER_ERROR, "Transaction fee cap exceeded"),
    RejectionReason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS: (
        SERVER_ERROR,
        "Max priority fee per gas exceeds max fee per gas",
    ),
    RejectionReason.TRANSACTION_ALREADY_KNOWN: (SERVER_ERROR, "Known transaction"),
    RejectionReason.TRANSACTION_REPLACEMENT_UNDERPRICED: (SERVER_ERROR, "Replacement transaction underpriced"),
    RejectionReason.NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER: (
        SERVER_ERROR,
        "Transaction nonce is too distant from current sender nonce",
    ),
    RejectionReason.INVALID_TRANSACTION_FORMAT: (INVALID_PARAMS, "Invalid transaction type"),
    RejectionReason.TX_EVALUATION_TOO_LONG: (SERVER_ERROR, "Transaction took too long to execute"),
    RejectionReason.TX_TOO_LARGE: (SERVER_ERROR, "Transaction too large"),
    RejectionReason.TX_POOL_DISABLED: (-32002, "Transaction pool not enabled"),
    RejectionReason.TOTAL_BLOB_GAS_TOO_HIGH: (SERVER_ERROR, "Total blob gas too high"),
    RejectionReason.INVALID_BLOBS: (INTERNAL_ERROR, "blobs failed kzg validation"),
}


def rejected_call(reason: RejectionReason, text: str) -> RpcError:
    """Return the error for a call that could not begin, with Besu's code for `reason`. It is not raised here. `text`
    stands in parentheses behind Besu's message, in contrast to `rejected`. A reason without a code of Besu's is
    "Internal error", with `text` behind it."""
    code, message = _REJECTIONS.get(reason, (INTERNAL_ERROR, "Internal error"))
    return RpcError(code, _with_reason(message, text))


def rejected(reason: RejectionReason, detail: object | None = None) -> RpcError:
    """Return the error for a rejected transaction. It is not raised here. Code and message are Besu's for `reason`, or
    "Internal error" for a reason without a code of Besu's. `detail` goes into `data` in both cases. With None there is
    no `data`."""
    code, message = _REJECTIONS.get(reason, (INTERNAL_ERROR, "Internal error"))
    return RpcError(code, message, detail)
