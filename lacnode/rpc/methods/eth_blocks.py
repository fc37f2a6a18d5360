"""ETH: blocks, the counts of their parts, and facts about the chain and the node."""

from lacnode.primitives.block import BlockOutline
from lacnode.rpc import results
from lacnode.rpc.block_answers import answer_about_block, block_hash_parameter, is_large_undecoded_block
from lacnode.rpc.errors import INVALID_BLOCK_NUMBER, block_not_found, with_error_message
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import (
    header_by_number,
    header_by_number_or_hash,
    parse_block_number,
    parse_boolean,
    parse_hash32,
    parse_quantity,
    parse_signed_block_number,
    required,
)
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.services import RpcServices


def _hash_by_number(services: RpcServices, params: Params) -> bytes | None:
    return services.chain.hash_at(parse_block_number(services, required(params, 0, "block")))


def _hash(params: Params) -> bytes:
    return parse_hash32(required(params, 0, "block hash"), "block hash")


def _outline(services: RpcServices, hash_: bytes) -> BlockOutline | None:
    """Return the block with a hash, without its transactions. None if there is none."""
    # The hashes of a large block are read from its outline. To decode it takes a second.
    if is_large_undecoded_block(services, hash_):
        return services.caches.blocks.load_outline(hash_)
    found = services.caches.blocks.load_block(hash_)
    return None if found is None else BlockOutline.from_block(found)


def eth_blockNumber(services: RpcServices, params: Params) -> object:
    """Return the number of the head as a 0x quantity."""
    return results.quantity(services.chain.head.header.number)


def eth_getBlockByNumber(services: RpcServices, params: Params) -> object:
    """Return the block with a number or a tag in Besu's form, None above the head. `params` are the block, and whether
    transactions are shown whole (true) or by their hashes.

    If the block is large, not decoded yet and shown whole, return the `ReadCall` that a reader process answers.
    RpcError if a parameter does not fit, or the answer is too large.
    """
    with with_error_message(INVALID_BLOCK_NUMBER):
        hash_ = _hash_by_number(services, params)
    full = parse_boolean(required(params, 1, "full transactions"), "full transactions")
    return None if hash_ is None else _shown(services, hash_, full)


def eth_getBlockByHash(services: RpcServices, params: Params) -> object:
    """Return the block with a hash in Besu's form, None if the hash is unknown. `params` are the hash, and whether
    transactions are shown whole (true) or by their hashes.

    If the block is large, not decoded yet and shown whole, return the `ReadCall` that a reader process answers.
    RpcError if a parameter does not fit, or the answer is too large.
    """
    hash_ = _hash(params)
    return _shown(services, hash_, parse_boolean(required(params, 1, "full transactions"), "full transactions"))


def _shown(services: RpcServices, hash_: bytes, full: bool) -> object:
    if full:
        return answer_about_block(services, hash_, full_block)
    found = _outline(services, hash_)
    return None if found is None else results.block_from_outline(services.chain, found, hash_)


def full_block(reading: ReadContext, params: Params) -> object:
    """Return a block with its transactions in Besu's form, by the hash (32 bytes) in `params`. None for an unknown
    hash. RpcError if it is too large. It is the handler of `answer_about_block`, not a method."""
    hash_ = block_hash_parameter(params)
    found = reading.block_of(hash_)
    return None if found is None else results.block(reading, found, hash_, full=True)


def eth_getBlockTransactionCountByNumber(services: RpcServices, params: Params) -> object:
    """Return the number of transactions of a block as a 0x quantity, by its number or a tag. None above the head, and
    for a negative number. RpcError if the parameter does not fit."""
    number = parse_signed_block_number(services, required(params, 0, "block"))
    hash_ = services.chain.hash_at(number) if 0 <= number < 2**63 else None
    return None if hash_ is None else _transaction_count(services, hash_)


def eth_getBlockTransactionCountByHash(services: RpcServices, params: Params) -> object:
    """Return the number of transactions of a block as a 0x quantity, by the block's hash (32 bytes). None for an unknown
    hash. RpcError if the parameter does not fit."""
    return _transaction_count(services, _hash(params))


def _transaction_count(services: RpcServices, hash_: bytes) -> object:
    found = _outline(services, hash_)
    return None if found is None else results.quantity(len(found.transaction_hashes))


def eth_getUncleCountByBlockNumber(services: RpcServices, params: Params) -> object:
    """Return "0x0", because BFT blocks have no ommers. None above the head. RpcError if the parameter is no number or
    tag, and also for a negative number."""
    return None if header_by_number(services, required(params, 0, "block")) is None else "0x0"


def eth_getUncleCountByBlockHash(services: RpcServices, params: Params) -> object:
    """Return "0x0", because BFT blocks have no ommers. None if there is no such block. RpcError if the
    parameter is no hash."""
    return None if services.chain.header_of(_hash(params)) is None else "0x0"


def eth_getUncle(services: RpcServices, params: Params) -> object:
    """Return None, because BFT blocks have no ommers. RpcError if the parameter for the block is missing, or the index
    is no quantity. The block is not looked up: it need not exist."""
    required(params, 0, "block")
    parse_quantity(required(params, 1, "index"), "index")
    return None


def eth_getBlockReceipts(services: RpcServices, params: Params) -> object:
    """Return the receipts of a block in Besu's form, in order, by its number, hash or a tag. If the block is large and
    not decoded yet, return the `ReadCall` that a reader process answers. RpcError if there is no such block, the
    parameter does not fit, or the answer is too large."""
    header = header_by_number_or_hash(services, required(params, 0, "block"))
    # The hash of an IBFT 2.0 block leaves out some of its fields, so the stored hash is used and not the header's own.
    hash_ = services.chain.hash_at(header.number)
    if hash_ is None:
        raise block_not_found()
    return answer_about_block(services, hash_, block_receipts)


def block_receipts(reading: ReadContext, params: Params) -> object:
    """Return the receipts of a block in Besu's form, in order, by the hash (32 bytes) in `params`. RpcError if there is
    no such block or the receipts are too large. It is the handler of `answer_about_block`, not a method."""
    hash_ = block_hash_parameter(params)
    found, receipt_records = reading.block_of(hash_), reading.receipt_records_of(hash_)
    if found is None or receipt_records is None:
        raise block_not_found()
    return results.receipts(found, hash_, receipt_records)


def eth_syncing(services: RpcServices, params: Params) -> object:
    """Return False if the node is not syncing, else an object with the numbers of three blocks as 0x quantities: the
    head when the synchronisation began, the head now, and the highest block that the followed peer claims, whose
    headers were verified last. Its claim may be wrong. Claims of other peers do not count."""
    status = services.status.synchronisation()
    if status is None:
        return False
    return {
        "startingBlock": results.quantity(status.starting_block),
        "currentBlock": results.quantity(status.current_block),
        "highestBlock": results.quantity(status.highest_block),
    }


def eth_chainId(services: RpcServices, params: Params) -> object:
    """Return the chain id of the genesis as a 0x quantity."""
    return results.quantity(services.chain.spec.chain_id)


def eth_accounts(services: RpcServices, params: Params) -> object:
    """Return an empty list always: the node has no keys of accounts."""
    return []


def eth_protocolVersion(services: RpcServices, params: Params) -> object:
    """Return the highest version of the protocol `eth` that this node speaks, as a 0x quantity."""
    return results.quantity(68)


QUICK_METHODS = frozenset(("eth_blockNumber", "eth_chainId", "eth_accounts", "eth_protocolVersion"))

BLOCK_METHODS = tuple(
    Method(name, "ETH", handler, is_quick=name in QUICK_METHODS)
    for name, handler in {
        "eth_blockNumber": eth_blockNumber,
        "eth_getBlockByNumber": eth_getBlockByNumber,
        "eth_getBlockByHash": eth_getBlockByHash,
        "eth_getBlockTransactionCountByNumber": eth_getBlockTransactionCountByNumber,
        "eth_getBlockTransactionCountByHash": eth_getBlockTransactionCountByHash,
        "eth_getUncleCountByBlockNumber": eth_getUncleCountByBlockNumber,
        "eth_getUncleCountByBlockHash": eth_getUncleCountByBlockHash,
        "eth_getUncleByBlockNumberAndIndex": eth_getUncle,
        "eth_getUncleByBlockHashAndIndex": eth_getUncle,
        "eth_getBlockReceipts": eth_getBlockReceipts,
        "eth_syncing": eth_syncing,
        "eth_chainId": eth_chainId,
        "eth_accounts": eth_accounts,
        "eth_protocolVersion": eth_protocolVersion,
    }.items()
)
