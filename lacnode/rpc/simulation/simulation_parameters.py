"""The first parameter of `eth_simulateV1`, parsed and checked as Besu 25.5.0 does it.

Where Besu answers "Internal error" to a mistake of the caller, the codes are those of the specification (execution-apis).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lacnode.evm.engine import CallRequest
from lacnode.evm.overrides import AccountOverride, Overrides
from lacnode.rpc.call_parameters import (
    MAX_OVERRIDDEN_ACCOUNTS,
    MAX_OVERRIDDEN_CODE_BYTES,
    MAX_OVERRIDDEN_SLOTS,
    check_override_size,
    parse_call_request,
    parse_state_overrides,
)
from lacnode.rpc.errors import INVALID_PARAMS, RpcError, invalid_params
from lacnode.rpc.parameters import parse_address, parse_boolean, parse_bytes, parse_hash32, parse_quantity, parse_wei

MAX_SIMULATED_BLOCKS = 256
"""Blocks of one simulation, those between the numbers that the caller names included."""

TIMESTAMP_STEP_SECONDS = 12
"""Seconds from a block to the next one where the caller names no timestamp, as in Besu."""

MAX_EXTRA_DATA_BYTES = 65_536
"""Bytes of the extra data of a simulated block. Besu has no such bound."""

NUMBERS_NOT_ASCENDING, TIMESTAMPS_NOT_ASCENDING, TOO_MANY_BLOCKS = -38020, -38021, -38026
LAST_UINT64 = 2**64 - 1


@dataclass(frozen=True, slots=True)
class BlockOverrides:
    """The fields of a block's header that the caller sets. A field that is None keeps the value that it has without
    overrides. `extra_data` and `mix_hash` have the same defaults in each block: no bytes, and zeros. `hash`,
    `state_root` and `mix_hash` have 32 bytes, `coinbase` 20. `timestamp` is in Unix seconds, `base_fee` in wei per gas.
    `hash` stands in the place of the block's computed hash, also as the parent hash of the next block.
    """

    number: int | None = None
    timestamp: int | None = None
    hash: bytes | None = None
    gas_limit: int | None = None
    coinbase: bytes | None = None
    base_fee: int | None = None
    state_root: bytes | None = None
    difficulty: int | None = None
    extra_data: bytes = b""
    mix_hash: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class BlockCalls:
    """One block: the overrides of its header, the overrides of the state before its first call, and its calls in
    order."""

    block: BlockOverrides = field(default_factory=BlockOverrides)
    state: Overrides = ()
    calls: tuple[CallRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """The blocks of calls to simulate. `validates`: the calls must be valid as transactions of a real block.
    `traces_transfers`: transfers of ether are shown as logs. `shows_transactions`: blocks show whole transactions
    instead of hashes."""

    blocks: tuple[BlockCalls, ...]
    validates: bool
    traces_transfers: bool
    shows_transactions: bool


def parse_simulation(value: object, check: Callable[[], None]) -> Simulation:
    """Parse the first parameter of `eth_simulateV1`. `check` raises when the time of the call is over. RpcError if a
    member does not fit, if the nonces that a sender names do not ascend, or if there are too many blocks, overridden
    accounts, slots or bytes of code. Numbers and timestamps of blocks are not compared here: see `number_blocks`."""
    if not isinstance(value, Mapping):
        raise invalid_params("an object with blockStateCalls was expected")
    blocks = value.get("blockStateCalls")
    if not isinstance(blocks, list):
        raise invalid_params("blockStateCalls: an array was expected")
    if len(blocks) > MAX_SIMULATED_BLOCKS:
        raise RpcError(TOO_MANY_BLOCKS, "Too many block calls")
    parsed = tuple(_block(block, check) for block in blocks)
    _check_overrides([override for block in parsed for _, override in block.state])
    _check_nonces(parsed)
    return Simulation(
        parsed,
        validates=_flag(value, "validation"),
        traces_transfers=_flag(value, "traceTransfers"),
        shows_transactions=_flag(value, "returnFullTransactions"),
    )


def _flag(value: Mapping[str, object], name: str) -> bool:
    found = value.get(name)
    return found is not None and parse_boolean(found, name)


def _block(value: object, check: Callable[[], None]) -> BlockCalls:
    check()
    if not isinstance(value, Mapping):
        raise invalid_params("blockStateCalls: objects were expected")
    calls = value.get("calls")
    if not isinstance(calls, list | None):
        raise invalid_params("calls: an array was expected")
    return BlockCalls(
        _block_overrides(value.get("blockOverrides")),
        parse_state_overrides(value.get("stateOverrides"), check),
        tuple(parse_call_request(call)[0] for call in calls or ()),
    )


def _block_overrides(value: object) -> BlockOverrides:
    if value is None:
        return BlockOverrides()
    if not isinstance(value, Mapping):
        raise invalid_params("blockOverrides: an object was expected")
    given = {name: found for name, found in value.items() if found is not None}
    extra_data = parse_bytes(given["extraData"], "extraData") if "extraData" in given else b""
    if len(extra_data) > MAX_EXTRA_DATA_BYTES:
        raise invalid_params(f"extraData: at most {MAX_EXTRA_DATA_BYTES} bytes were expected")
    mix_hash = given.get("mixHash", given.get("prevRandao"))
    return BlockOverrides(
        number=_number(given, "number"),
        timestamp=_number(given, "time"),
        hash=_hash(given, "hash"),
        gas_limit=_number(given, "gasLimit"),
        coinbase=parse_address(given["feeRecipient"], "feeRecipient") if "feeRecipient" in given else None,
        base_fee=parse_wei(given["baseFeePerGas"], "baseFeePerGas") if "baseFeePerGas" in given else None,
        state_root=_hash(given, "stateRoot"),
        difficulty=parse_quantity(given["difficulty"], "difficulty") if "difficulty" in given else None,
        extra_data=extra_data,
        mix_hash=bytes(32) if mix_hash is None else parse_hash32(mix_hash, "mixHash"),
    )


def _number(given: Mapping[str, object], name: str) -> int | None:
    return parse_quantity(given[name], name, LAST_UINT64) if name in given else None


def _hash(given: Mapping[str, object], name: str) -> bytes | None:
    return parse_hash32(given[name], name) if name in given else None


def _check_overrides(overrides: Sequence[AccountOverride]) -> None:
    """Check the sums over all blocks: each block alone may be within the bounds."""
    check_override_size("accounts", len(overrides), MAX_OVERRIDDEN_ACCOUNTS)
    check_override_size("slots", sum(len(override.storage) for override in overrides), MAX_OVERRIDDEN_SLOTS)
    code = sum(len(override.code or b"") for override in overrides)
    check_override_size("bytes of code", code, MAX_OVERRIDDEN_CODE_BYTES)


def _check_nonces(blocks: Sequence[BlockCalls]) -> None:
    """RpcError if a sender names nonces that do not ascend."""
    last: dict[bytes, int] = {}
    for call in (call for block in blocks for call in block.calls):
        if call.nonce is None:
            continue
        if call.nonce <= last.get(call.sender, -1):
            raise RpcError(INVALID_PARAMS, "Invalid nonces")
        last[call.sender] = call.nonce


def number_blocks(blocks: Sequence[BlockCalls], number: int, timestamp: int) -> Iterator[BlockCalls]:
    """Yield `blocks` with their numbers and timestamps after the block with `number` and `timestamp` (Unix seconds),
    and empty blocks between numbers that the caller names. A block without a number gets the next one, and one without
    a timestamp that of the block before plus `TIMESTAMP_STEP_SECONDS`.

    RpcError, while it is used, if numbers or timestamps do not ascend, or if all blocks, the empty ones included, are
    more than `MAX_SIMULATED_BLOCKS`.
    """
    first = number
    for block in blocks:
        wanted = number + 1 if block.block.number is None else block.block.number
        if wanted <= number:
            raise RpcError(NUMBERS_NOT_ASCENDING, "Block numbers are not ascending")
        if wanted - first > MAX_SIMULATED_BLOCKS:
            raise RpcError(TOO_MANY_BLOCKS, "Too many block calls")
        while number + 1 < wanted:
            number, timestamp = number + 1, timestamp + TIMESTAMP_STEP_SECONDS
            yield BlockCalls(BlockOverrides(number=number, timestamp=timestamp))
        following = timestamp + TIMESTAMP_STEP_SECONDS if block.block.timestamp is None else block.block.timestamp
        if not timestamp < following <= LAST_UINT64:
            raise RpcError(TIMESTAMPS_NOT_ASCENDING, "Timestamps are not ascending")
        number, timestamp = wanted, following
        yield replace(block, block=replace(block.block, number=number, timestamp=timestamp))
