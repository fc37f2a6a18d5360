"""DEBUG: sending several transactions, metrics, and methods that a chain of IBFT 2.0 has no use for."""

from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError, block_not_found, observer_refuses, unknown_block
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import header_by_number_or_hash, parse_bytes, parse_hash32, parse_text, required
from lacnode.rpc.services import RpcServices
from lacnode.txpool.transaction_submission import TransactionSource

MAX_SENT_TRANSACTIONS = 1_000
"""Transactions that one `debug_batchSendRawTransaction` may have. Besu has no such bound."""

SHOWN_V_BYTES = 32
"""Length of a `v` that is shown in a refusal. Python writes no number of thousands of digits."""

INVALID_RAW = "Invalid raw transaction hex"


def debug_batchSendRawTransaction(services: RpcServices, params: Params) -> object:
    """Send transactions, and return for each its index and whether the pool took it, with the reason if not. `params`
    are the signed transactions in hexadecimal.

    RpcError if there are more than `MAX_SENT_TRANSACTIONS`, one is no text, or this node takes none. Then none is sent.
    """
    if not services.node.accepts_transactions:
        raise observer_refuses()
    if len(params) > MAX_SENT_TRANSACTIONS:
        raise RpcError(LIMIT_EXCEEDED, f"Number of transactions exceeds maximum of {MAX_SENT_TRANSACTIONS}")
    # All are decoded before the first is sent: an error about a later one must not hide that an earlier one was sent.
    decoded = [_decoded(parse_text(value, "transaction")) for value in params]
    return [_sent(services, index, found) for index, found in enumerate(decoded)]


def _decoded(raw: str) -> Transaction | str:
    """Return the transaction `raw`, or the reason why it is none."""
    try:
        return Transaction.decode(parse_bytes(raw, "transaction"))
    except (RlpError, RpcError) as error:
        return _wrong_v(raw) if str(error).startswith("transaction.v:") else INVALID_RAW


def _wrong_v(raw: str) -> str:
    """Return Besu's sentence about a wrong `v`, the seventh field of a legacy transaction."""
    try:
        v = rlp.as_bytes(rlp.decode_list(parse_bytes(raw, "transaction"), "transaction")[6], "v")
    except RlpError:
        return INVALID_RAW
    return (
        f"An unsupported encoded `v` value of {int.from_bytes(v)} was found" if len(v) <= SHOWN_V_BYTES else INVALID_RAW
    )


def _sent(services: RpcServices, index: int, found: Transaction | str) -> dict[str, object]:
    refusal = _refusal(services, found)
    if refusal is None:
        return {"index": index, "success": True}
    return {"index": index, "success": False, "errorMessage": refusal}


def _refusal(services: RpcServices, found: Transaction | str) -> str | None:
    """Submit the transaction. Return why it was refused, None if it was taken."""
    if isinstance(found, str):
        return found
    try:
        services.submission.submit(found, TransactionSource.RPC)
    except TransactionRejectedError as rejection:
        return rejection.reason.name
    return None


def debug_metrics(services: RpcServices, params: Params) -> object:
    """Return the values of all series of this node, by category, name and the values of the labels, one inside the
    other. `params` are ignored. Empty if there are no metrics."""
    found: dict[str, dict[str, object]] = {}
    values = (value for read in services.node.metric_readers for value in read())
    for category, name, labels, value in values:
        _put(found.setdefault(category, {}), (name, *labels), value)
    return found


def _put(values: dict[str, object], path: tuple[str, ...], value: float) -> None:
    *outer, last = path
    for name in outer:
        inner = values.setdefault(name, {})
        assert isinstance(inner, dict)
        values = inner
    values[last] = value


def debug_setHead(services: RpcServices, params: Params) -> object:
    """RpcError always, and the head stays: BFT blocks are final, and a validator that goes back could sign a second
    block of a height."""
    try:
        header_by_number_or_hash(services, required(params, 0, "block"))
    except RpcError as error:
        raise unknown_block() if error.code == SERVER_ERROR else error from None
    raise RpcError(SERVER_ERROR, "Blocks of a BFT network are final: the head cannot be set back")


def debug_resyncWorldState(services: RpcServices, params: Params) -> object:
    """Return False and do nothing: this node executes every block, and has no other way to a state."""
    return False


def debug_getBadBlocks(services: RpcServices, params: Params) -> object:
    """Return an empty list always: a block that is refused is not kept."""
    return []


def debug_standardTraceBadBlockToFile(services: RpcServices, params: Params) -> object:
    """RpcError always, "Block not found" for a block's hash: a block that is refused is not kept."""
    parse_hash32(required(params, 0, "block hash"), "block hash")
    raise block_not_found()


DEBUG_NODE_METHODS = tuple(
    Method(handler.__name__, "DEBUG", handler)
    for handler in (
        debug_batchSendRawTransaction,
        debug_metrics,
        debug_setHead,
        debug_resyncWorldState,
        debug_getBadBlocks,
        debug_standardTraceBadBlockToFile,
    )
)
