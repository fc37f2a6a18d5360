"""ETH: accounts, code, storage, proofs."""

from collections.abc import Sequence
from dataclasses import replace

from lacnode.evm.engine import AccountProof
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import (
    header_by_number_or_hash,
    parse_address,
    parse_storage_slot,
    required,
    wrong_parameter,
)
from lacnode.rpc.read_calls import HasChain, ReadContext, check_time, run_in_reader
from lacnode.rpc.services import RpcServices

MAX_PROOF_SLOTS = 1_024
"""Number of slots in one call for a proof. geth has the same bound, and Besu has none."""

PROOF_STEP_SLOTS = 16
"""Number of slots that are proven between two checks of the deadline."""


def eth_getBalance(services: RpcServices, params: Params) -> object:
    """Return the balance in wei of an address after a block, as a 0x quantity. 0 for an unknown account. `params` are
    the address and the block (number, tag or hash).

    RpcError if a parameter does not fit or there is no such block. MissingNodeError if the state is not kept.
    """
    header = header_by_number_or_hash(services, required(params, 1, "block"))
    account = parse_address(required(params, 0, "address"))
    return results.quantity(services.chain.state_at(header).balance(account))


def eth_getCode(services: RpcServices, params: Params) -> object:
    """Return the code of an address after a block, as 0x-hexadecimal. "0x" if it has none. `params` are the address and
    the block (number, tag or hash).

    RpcError if a parameter does not fit or there is no such block. MissingNodeError if the state is not kept.
    """
    header = header_by_number_or_hash(services, required(params, 1, "block"))
    account = parse_address(required(params, 0, "address"))
    return to_hex(services.chain.state_at(header).code(account))


def eth_getStorageAt(services: RpcServices, params: Params) -> object:
    """Return the 32 bytes of a slot of an address after a block, as 0x-hexadecimal. Zeros if it is not set. `params`
    are the address, the slot and the block (number, tag or hash).

    RpcError if a parameter does not fit or there is no such block. MissingNodeError if the state is not kept.
    """
    header = header_by_number_or_hash(services, required(params, 2, "block"))
    account, place = parse_address(required(params, 0, "address")), parse_storage_slot(required(params, 1, "slot"))
    return to_hex(services.chain.state_at(header).storage(account, place).to_bytes(32))


def eth_getTransactionCount(services: RpcServices, params: Params) -> object:
    """Return the nonce of an address after a block, as a 0x quantity. For `pending` it is the first nonce, from that of
    the head on, that no transaction of the pool has. `params` are the address and the block (number, tag or hash).

    RpcError if a parameter does not fit or there is no such block. MissingNodeError if the state is not kept.
    """
    block, account = required(params, 1, "block"), parse_address(required(params, 0, "address"))
    pending = isinstance(block, str) and block.lower() == "pending"
    # The pool is asked first. A transaction that leaves it for a block in between is then counted in the state. In the
    # other order it would be counted nowhere, and a wallet would use its nonce twice.
    pooled = (services.pool.next_nonce(account) or 0) if pending else 0
    header = header_by_number_or_hash(services, block)
    return results.quantity(max(pooled, services.chain.state_at(header).nonce(account)))


def eth_getProof(reading: ReadContext, params: Params) -> object:
    """Return the proof of an account and of some of its slots after a block (EIP-1186). `params` are the address, an
    array of at most `MAX_PROOF_SLOTS` slots, and the block (number, tag or hash).

    RpcError if a parameter does not fit, or there is no such block or account. CallTimeoutError if it takes too long.
    MissingNodeError if the state is not kept.
    """
    header, account, slots = _proof_question(reading, params)
    return _shown_proof(account, _proof(reading, header, account, slots))


def _proof_question(context: HasChain, params: Params) -> tuple[BlockHeader, bytes, Sequence[int]]:
    """Parse the parameters of `eth_getProof`: the header, the account and the slots. RpcError if one does not fit."""
    # Also used as the check before a reader gets the call (`run_in_reader`).
    header = header_by_number_or_hash(context, required(params, 2, "block"))
    account, wanted = parse_address(required(params, 0, "address")), required(params, 1, "slots")
    if not isinstance(wanted, list):
        raise wrong_parameter("slots", "an array was expected")
    if len(wanted) > MAX_PROOF_SLOTS:
        raise RpcError(LIMIT_EXCEEDED, f"Number of slots exceeds maximum of {MAX_PROOF_SLOTS}")
    return header, account, [parse_storage_slot(item) for item in wanted]


def _proof(reading: ReadContext, header: BlockHeader, account: bytes, slots: Sequence[int]) -> AccountProof:
    """Make the proof in steps, with a check of the deadline between them. RpcError if there is no such account."""
    state = reading.chain.state_at(header)
    proof = state.proof(account, ())
    if proof is None:
        raise RpcError(SERVER_ERROR, "Account not found")
    # The nodes of a thousand proofs take megabytes and seconds. Each step alone is short.
    storage: list[tuple[int, int, tuple[bytes, ...]]] = []
    for start in range(0, len(slots), PROOF_STEP_SLOTS):
        check_time(reading)
        step = state.proof(account, slots[start : start + PROOF_STEP_SLOTS])
        storage += () if step is None else step.storage
    return replace(proof, storage=tuple(storage))


def _shown_proof(account: bytes, proof: AccountProof) -> results.Json:
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
    Method("eth_getProof", "ETH", run_in_reader(eth_getProof, _proof_question)),
)
