"""ETH: accounts, code, storage, proofs."""

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from lacnode.rpc.parameters import address, header_by_number_or_hash, required, slot
from lacnode.rpc.registry import Method, Params
from lacnode.rpc.services import RpcServices


def eth_getBalance(services: RpcServices, params: Params) -> object:
    account = address(required(params, 0, "address"))
    header = header_by_number_or_hash(services, required(params, 1, "block"))
    return results.quantity(services.chain.state_at(header).balance(account))


def eth_getCode(services: RpcServices, params: Params) -> object:
    account = address(required(params, 0, "address"))
    header = header_by_number_or_hash(services, required(params, 1, "block"))
    return to_hex(services.chain.state_at(header).code(account))


def eth_getStorageAt(services: RpcServices, params: Params) -> object:
    account, place = address(required(params, 0, "address")), slot(required(params, 1, "slot"))
    header = header_by_number_or_hash(services, required(params, 2, "block"))
    return to_hex(services.chain.state_at(header).storage(account, place).to_bytes(32))


def eth_getTransactionCount(services: RpcServices, params: Params) -> object:
    account, block = address(required(params, 0, "address")), required(params, 1, "block")
    pending = isinstance(block, str) and block.lower() == "pending"
    # The pool first: what leaves it for a block between the two looks is then counted in the state.
    pooled = (services.pool.next_nonce(account) or 0) if pending else 0
    header = header_by_number_or_hash(services, block)
    return results.quantity(max(pooled, services.chain.state_at(header).nonce(account)))


def eth_getProof(services: RpcServices, params: Params) -> object:
    account, wanted = address(required(params, 0, "address")), required(params, 1, "slots")
    if not isinstance(wanted, list):
        raise invalid_params("slots: an array was expected")
    slots = [slot(item) for item in wanted]
    header = header_by_number_or_hash(services, required(params, 2, "block"))
    proof = services.chain.state_at(header).proof(account, slots)
    if proof is None:
        raise RpcError(SERVER_ERROR, "Account not found")
    return {
        "address": to_hex(account),
        "balance": results.quantity(proof.balance),
        "codeHash": to_hex(proof.code_hash),
        "nonce": results.quantity(proof.nonce),
        "storageHash": to_hex(proof.storage_root),
        "accountProof": [to_hex(node) for node in proof.nodes],
        "storageProof": [
            {
                "key": results.minimal_key(key),
                "value": results.quantity(value),
                "proof": [to_hex(node) for node in nodes],
            }
            for key, value, nodes in proof.storage
        ],
    }


STATE_METHODS = (
    Method("eth_getBalance", "ETH", eth_getBalance),
    Method("eth_getCode", "ETH", eth_getCode),
    Method("eth_getStorageAt", "ETH", eth_getStorageAt),
    Method("eth_getTransactionCount", "ETH", eth_getTransactionCount),
    Method("eth_getProof", "ETH", eth_getProof),
)
