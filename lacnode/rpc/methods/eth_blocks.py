"""ETH: blocks and what is counted in them."""

from lacnode.primitives.block import Block
from lacnode.rpc import results
from lacnode.rpc.errors import INVALID_BLOCK_NUMBER, block_not_found, internal_error, with_error_message
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import (
    block_number,
    boolean,
    hash32,
    header_by_number,
    header_by_number_or_hash,
    quantity,
    required,
)
from lacnode.rpc.services import RpcServices


def _by_number(services: RpcServices, params: Params) -> tuple[Block, bytes] | None:
    number = block_number(services, required(params, 0, "block"))
    hash_ = services.chain.hash_at(number)
    found = None if hash_ is None else services.blocks.block(hash_)
    return None if found is None or hash_ is None else (found, hash_)


def _by_hash(services: RpcServices, params: Params) -> tuple[Block, bytes] | None:
    hash_ = hash32(required(params, 0, "block hash"), "block hash")
    found = services.blocks.block(hash_)
    return None if found is None else (found, hash_)


def eth_blockNumber(services: RpcServices, params: Params) -> object:
    return results.quantity(services.chain.head.header.number)


def eth_getBlockByNumber(services: RpcServices, params: Params) -> object:
    with with_error_message(INVALID_BLOCK_NUMBER):
        found = _by_number(services, params)
    full = boolean(required(params, 1, "full transactions"), "full transactions")
    return None if found is None else results.block(services.chain, *found, full)


def eth_getBlockByHash(services: RpcServices, params: Params) -> object:
    found = _by_hash(services, params)
    full = boolean(required(params, 1, "full transactions"), "full transactions")
    return None if found is None else results.block(services.chain, *found, full)


def eth_getBlockTransactionCountByNumber(services: RpcServices, params: Params) -> object:
    found = _by_number(services, params)
    return None if found is None else results.quantity(len(found[0].transactions))


def eth_getBlockTransactionCountByHash(services: RpcServices, params: Params) -> object:
    found = _by_hash(services, params)
    return None if found is None else results.quantity(len(found[0].transactions))


def eth_getUncleCountByBlockNumber(services: RpcServices, params: Params) -> object:
    return None if header_by_number(services, required(params, 0, "block")) is None else "0x0"


def eth_getUncleCountByBlockHash(services: RpcServices, params: Params) -> object:
    return None if _by_hash(services, params) is None else "0x0"


def eth_getUncle(services: RpcServices, params: Params) -> object:
    """IBFT blocks have no ommers."""
    required(params, 0, "block")
    quantity(required(params, 1, "index"), "index")
    return None


def eth_getBlockReceipts(services: RpcServices, params: Params) -> object:
    header = header_by_number_or_hash(services, required(params, 0, "block"))
    hash_ = services.chain.hash_at(header.number)
    found = None if hash_ is None else services.blocks.block(hash_)
    receipt_records = None if hash_ is None else services.blocks.receipt_records(hash_)
    if found is None or hash_ is None or receipt_records is None:
        raise block_not_found()
    return [results.receipt(found, hash_, receipt_records, index) for index in range(len(found.transactions))]


def eth_syncing(services: RpcServices, params: Params) -> object:
    status = services.sync_status()
    if status is None:
        return False
    return {
        "startingBlock": results.quantity(status.starting_block),
        "currentBlock": results.quantity(status.current_block),
        "highestBlock": results.quantity(status.highest_block),
    }


def eth_chainId(services: RpcServices, params: Params) -> object:
    return results.quantity(services.chain.spec.chain_id)


def eth_coinbase(services: RpcServices, params: Params) -> object:
    return "0x" + services.coinbase.hex()


def eth_accounts(services: RpcServices, params: Params) -> object:
    """Keys of accounts are not kept here."""
    return []


def eth_mining(services: RpcServices, params: Params) -> object:
    return True


def eth_hashrate(services: RpcServices, params: Params) -> object:
    return "0x0"


def eth_protocolVersion(services: RpcServices, params: Params) -> object:
    """The highest version of `eth` that this node speaks."""
    return results.quantity(68)


def no_proof_of_work(services: RpcServices, params: Params) -> object:
    """There is none on a BFT network."""
    raise internal_error()


def eth_submitHashrate(services: RpcServices, params: Params) -> object:
    return False


BLOCK_METHODS = tuple(
    Method(name, "ETH", handler)
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
        "eth_coinbase": eth_coinbase,
        "eth_accounts": eth_accounts,
        "eth_mining": eth_mining,
        "eth_hashrate": eth_hashrate,
        "eth_protocolVersion": eth_protocolVersion,
        "eth_getWork": no_proof_of_work,
        "eth_submitWork": no_proof_of_work,
        "eth_submitHashrate": eth_submitHashrate,
    }.items()
)
