"""TXPOOL: the methods of the pool that Besu has."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.errors import invalid_params
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import optional, parse_address, parse_quantity
from lacnode.rpc.services import RpcServices
from lacnode.txpool.pooled_transaction import PooledTransaction

Test = Callable[[PooledTransaction], bool]


def txpool_besuStatistics(services: RpcServices, params: Params) -> object:
    """Return the number of transactions that the pool may have at most (-1 for a layered pool), and how many local and
    how many remote ones it has now."""
    statistics = services.pool.statistics
    return {"maxSize": statistics.max_size, "localCount": statistics.local, "remoteCount": statistics.remote}


def txpool_besuTransactions(services: RpcServices, params: Params) -> object:
    """Return the hash of each pooled transaction, whether it came by RPC, and its time of arrival (ISO 8601, UTC), in
    the order of arrival."""
    return [
        {
            "hash": to_hex(pooled.transaction.hash),
            "isReceivedFromLocalSource": pooled.local,
            "addedToPoolAt": datetime.fromtimestamp(pooled.added_at, UTC).isoformat().replace("+00:00", "Z"),
        }
        for pooled in services.pool.all()
    ]


def txpool_besuPendingTransactions(services: RpcServices, params: Params) -> object:
    """Return the pooled transactions in Besu's form, in the order of arrival. `params` are, if wanted, the largest
    number of them and an object of conditions by field. RpcError if a parameter does not fit, or the answer is too
    large."""
    given = optional(params, 0)
    limit = None if given is None else parse_quantity(given, "limit")
    tests = _tests(optional(params, 1))
    found, size = list[results.Json](), AnswerSize()
    for pooled in services.pool.all():
        if limit is not None and len(found) >= limit:
            break
        if all(test(pooled) for test in tests):
            # A full pool has more bytes than one answer may have.
            size.add_transaction(pooled.transaction, with_raw=True)
            found.append(results.pending_transaction(pooled))
    return found


def _tests(value: object) -> list[Test]:
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise invalid_params("filter: an object was expected")
    return [_test(name, condition) for name, condition in value.items()]


def _test(name: str, condition: object) -> Test:
    # Besu accepts exactly one operator for each field. Several fields are joined by "and".
    if not isinstance(condition, Mapping) or len(condition) != 1:
        raise invalid_params(f"{name}: an object with one operator was expected")
    ((operator, operand),) = condition.items()
    if name == "from" and operator == "eq":
        sender = parse_address(operand, "from")
        return lambda pooled: pooled.sender == sender
    if name == "to":
        return _recipient_test(operator, operand)
    numbers = {"gas": "gas_limit", "gasPrice": "max_gas_price", "value": "value", "nonce": "nonce"}
    if name not in numbers or operator not in ("eq", "gt", "lt"):
        raise invalid_params(f"{name}: {operator} cannot be asked")
    attribute, wanted = numbers[name], parse_quantity(operand, name)
    # The operand is parsed once here. The returned function runs for every transaction of the pool.
    compare: dict[str, Callable[[int], bool]] = {
        "eq": lambda found: found == wanted,
        "gt": lambda found: found > wanted,
        "lt": lambda found: found < wanted,
    }
    return lambda pooled: compare[operator](getattr(pooled.transaction, attribute))


def _recipient_test(operator: str, operand: object) -> Test:
    if operator == "eq":
        recipient = parse_address(operand, "to")
        return lambda pooled: pooled.transaction.to == recipient
    if operator == "action" and operand == "contract_creation":
        return lambda pooled: pooled.transaction.is_creation
    raise invalid_params("to: eq with an address, or action with contract_creation, was expected")


TXPOOL_METHODS = (
    Method("txpool_besuStatistics", "TXPOOL", txpool_besuStatistics),
    Method("txpool_besuTransactions", "TXPOOL", txpool_besuTransactions),
    Method("txpool_besuPendingTransactions", "TXPOOL", txpool_besuPendingTransactions),
)
