"""DEBUG: accounts and slots in the middle of a block or in the order of their hashes, and stored values as bytes.

Methods that execute or walk through a trie run in a reader process.
"""

from collections.abc import Iterator
from itertools import islice

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.trie_range import trie_entries_from
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT, keccak256
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.errors import (
    INVALID_PARAMS,
    SERVER_ERROR,
    RpcError,
    block_not_found,
    with_error_message,
)
from lacnode.rpc.method_registry import Method
from lacnode.rpc.parameters import header_by_number_or_hash, parse_address, parse_hash32, parse_padded_bytes, required
from lacnode.rpc.read_calls import Params, ReadContext, check_time, run_in_reader
from lacnode.rpc.trace_execution import block_by_number, block_to_trace, tracing_executor_of, with_trace_errors
from lacnode.rpc.traces.trace_options import parse_trace_index

MAX_RANGE_ENTRIES = 10_000
"""Accounts or slots that one answer shows. Besu has no such bound."""

KNOWN_SLOTS = 1_024
"""Slots from 0 on whose numbers are shown with their hashes. The trie has the hashes alone."""

KNOWN_BLOCKS = 256
"""Blocks whose addresses are shown with their hashes."""

ENTRY_BYTES = 250
"""Estimated bytes of JSON text for an account or a slot."""

Json = dict[str, object]


def _block_of(reading: ReadContext, value: object) -> tuple[Block, bytes] | None:
    """Return the block that a "number or hash" parameter means, with its hash. None if there is none."""
    try:
        header = header_by_number_or_hash(reading, value)
    except RpcError as error:
        if error.code != SERVER_ERROR:
            raise
        return None
    hash_ = reading.chain.hash_at(header.number)
    block = None if hash_ is None else reading.block_of(hash_)
    return None if block is None or hash_ is None else (block, hash_)


@with_trace_errors
def debug_accountAt(reading: ReadContext, params: Params) -> object:
    """Return an account after a transaction: code, nonce, balance and hash of the code, each 0x-hexadecimal. `params`
    are the block (number, tag or hash), the index of the transaction and the address.

    RpcError if a parameter does not fit, there is no such block, transaction or account, or the state is not kept.
    CallTimeoutError if it takes too long.
    """
    with with_error_message("Invalid transaction index params"):
        index = parse_trace_index(required(params, 1, "transaction index"), "transaction index")
    who = parse_address(required(params, 2, "address"))
    found = _block_of(reading, required(params, 0, "block"))
    if found is None:
        raise block_not_found()
    if not 0 <= index < len(found[0].transactions):
        raise RpcError(INVALID_PARAMS, "Invalid transaction params (missing or incorrect)", "no such transaction")
    accounts = _accounts_after(reading, found[0], index + 1)
    account = accounts._read(who)
    if account is None:
        raise RpcError(SERVER_ERROR, "Account not found")
    code = b"" if account.code_hash == EMPTY_KECCAK else accounts.get(account.code_hash) or b""
    return {
        "code": to_hex(code) if code else "0x0",
        "nonce": hex(account.nonce),
        "balance": hex(account.balance),
        "codehash": to_hex(account.code_hash),
    }


def _accounts_after(reading: ReadContext, block: Block, count: int) -> Accounts:
    """Return the accounts after the first `count` transactions of `block`."""
    traceable = block_to_trace(reading, block)
    if traceable is None:
        raise block_not_found()
    return tracing_executor_of(reading).accounts_after(traceable, count)


@with_trace_errors
def debug_storageRangeAt(reading: ReadContext, params: Params) -> object:
    """Return slots of an account in the order of their hashes, on the state after a transaction of a block. If the
    block has no transaction with this index, the state before the block is shown, as in Besu. `params` are the block
    (number, tag or hash), the index of the transaction, the address, the first hash, and the number of slots (at most
    `MAX_RANGE_ENTRIES` are shown). Empty for an unknown block, the genesis or an unknown account. RpcError if a
    parameter does not fit, or if the state is not kept. CallTimeoutError if it takes too long."""
    with with_error_message("Invalid transaction index params"):
        index = parse_trace_index(required(params, 1, "transaction index"), "transaction index")
    who = parse_address(required(params, 2, "address"))
    with with_error_message("Invalid data start hash params"):
        start = parse_padded_bytes(required(params, 3, "start"), "start", 32)
    limit = _limit(required(params, 4, "limit"), "Invalid transaction limit params")
    found = _block_of(reading, required(params, 0, "block"))
    if found is None or found[0].number == 0:
        return _range([], None, reading.chain.spec, who)
    block = found[0]
    count = index + 1 if 0 <= index < len(block.transactions) else 0
    accounts = _accounts_after(reading, block, count)
    # The tries have the account only after its changes are written to them.
    accounts.make_state_root()
    account = accounts._read(who)
    root = EMPTY_TRIE_ROOT if account is None else account.storage_root
    slots = list(islice(_checked(reading, trie_entries_from(root, start, accounts.get)), limit + 1))
    following = slots[limit][0] if len(slots) > limit else None
    return _range(slots[:limit], following, reading.chain.spec, who)


def _checked(reading: ReadContext, entries: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    size = AnswerSize()
    for entry in entries:
        check_time(reading)
        size.add(ENTRY_BYTES)
        yield entry


def _limit(value: object, message: str) -> int:
    with with_error_message(message):
        limit = parse_trace_index(value, "limit")
    if limit < 0:
        raise RpcError(INVALID_PARAMS, message, "limit: a number that is not negative was expected")
    return min(limit, MAX_RANGE_ENTRIES)


def _range(slots: list[tuple[bytes, bytes]], following: bytes | None, spec: ChainSpec, who: bytes) -> Json:
    names = _slot_names(spec, who) if slots else {}
    shown: Json = {}
    for hash_, encoded in slots:
        value = rlp.as_bytes(rlp.decode(encoded), "slot")
        name = names.get(hash_)
        shown[to_hex(hash_)] = {
            "key": None if name is None else to_hex(name.to_bytes(32)),
            "value": to_hex(value.rjust(32, b"\0")),
        }
    # Besu leaves `nextKey` out at the end.
    end: Json = {"complete": True} if following is None else {"nextKey": to_hex(following), "complete": False}
    return {"storage": shown, **end}


def _slot_names(spec: ChainSpec, who: bytes) -> dict[bytes, int]:
    """Return the slots whose numbers this node can know, by their hashes: the first ones, and those of the genesis."""
    known = set(range(KNOWN_SLOTS))
    for account in spec.genesis.alloc:
        if account.address == who:
            known.update(slot for slot, _ in account.storage)
    return {keccak256(slot.to_bytes(32)): slot for slot in known}


@with_trace_errors
def debug_accountRange(reading: ReadContext, params: Params) -> object:
    """Return accounts in the order of the hashes of their addresses, after a block: from hash to address, and the first
    hash after them, zeros if there is none. An address that this node cannot know is zero.

    `params` are the block (number, tag or hash), an unused index, the first hash, and the number of accounts (at most
    `MAX_RANGE_ENTRIES` are shown). Empty for an unknown block. RpcError if a parameter does not fit, or if the state is
    not kept. CallTimeoutError if it takes too long.
    """
    with with_error_message("Invalid address hash params"):
        start = parse_padded_bytes(required(params, 2, "address hash"), "address hash", 32)
    limit = _limit(required(params, 3, "limit"), "Invalid max results params")
    found = _block_of(reading, required(params, 0, "block"))
    if found is None:
        return {"addressMap": {}}
    accounts = tracing_executor_of(reading).state_entries(found[0].header.state_root, start)
    entries = list(islice(_checked(reading, accounts), limit + 1))
    following = entries[limit][0] if len(entries) > limit else bytes(32)
    names = _address_names(reading, found[0].header)
    shown = {to_hex(hash_): to_hex(names.get(hash_, bytes(20))) for hash_, _ in entries[:limit]}
    return {"addressMap": shown, "nextKey": to_hex(following)}


def _address_names(reading: ReadContext, header: BlockHeader) -> dict[bytes, bytes]:
    """Return the addresses that this node can know, by their hashes: those of the genesis, and those that the last
    blocks name."""
    known = {account.address for account in reading.chain.spec.genesis.alloc}
    for number in range(header.number, max(-1, header.number - KNOWN_BLOCKS), -1):
        check_time(reading)
        known |= _addresses_of_block(reading, number)
    return {keccak256(each): each for each in known}


def _addresses_of_block(reading: ReadContext, number: int) -> set[bytes]:
    """Return the addresses that a block and its transactions name."""
    hash_ = reading.chain.hash_at(number) or b""
    block, records = reading.block_of(hash_), reading.receipt_records_of(hash_) or ()
    if block is None:
        return set()
    named = {block.header.coinbase, *(transaction.to for transaction in block.transactions)}
    named |= {record.sender for record in records} | {record.created for record in records}
    return {each for each in named if each is not None}


# -- stored values as bytes ------------------------------------------------------------------------------------------


def debug_getRawHeader(reading: ReadContext, params: Params) -> object:
    """Return the header of a block in RLP, as 0x-hexadecimal, by its number or a tag. RpcError if there is no such
    block."""
    found = _numbered(reading, params)
    return to_hex(found.header.encode())


def debug_getRawBlock(reading: ReadContext, params: Params) -> object:
    """Return a block in RLP, as 0x-hexadecimal, by its number or a tag. RpcError if there is no such block or it is too
    large."""
    block = _numbered(reading, params)
    encoded = block.encode()
    AnswerSize().add(2 * len(encoded))
    return to_hex(encoded)


def _numbered(reading: ReadContext, params: Params) -> Block:
    found = block_by_number(reading, required(params, 0, "block"))
    if found is None:
        raise block_not_found()
    return found[0]


def debug_getRawReceipts(reading: ReadContext, params: Params) -> object:
    """Return the encoded receipts (EIP-2718) of a block, as 0x-hexadecimal, in order, by its number, hash or a tag.
    RpcError if there is no such block or the receipts are too large."""
    header = header_by_number_or_hash(reading, required(params, 0, "block"))
    hash_ = reading.chain.hash_at(header.number)
    records = None if hash_ is None else reading.receipt_records_of(hash_)
    size, shown = AnswerSize(), []
    for record in records or ():
        encoded = record.receipt.encode()
        size.add(2 * len(encoded))
        shown.append(to_hex(encoded))
    return shown


def debug_getRawTransaction(reading: ReadContext, params: Params) -> object:
    """Return a transaction as it was signed (EIP-2718), in 0x-hexadecimal, by its hash (32 bytes). None if no block has
    it. RpcError if the parameter is no hash."""
    transaction_hash = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    location = reading.chain.transaction_location(transaction_hash)
    block = None if location is None else reading.block_of(location.block_hash)
    return None if location is None or block is None else to_hex(block.transactions[location.index].raw)


DEBUG_STATE_METHODS = tuple(
    Method(handler.__name__, "DEBUG", run_in_reader(handler, is_long=True))
    for handler in (
        debug_accountAt,
        debug_storageRangeAt,
        debug_accountRange,
        debug_getRawHeader,
        debug_getRawBlock,
        debug_getRawReceipts,
        debug_getRawTransaction,
    )
)
