"""The type of a node by the node contract. lacnode's own rules give it. LACChain's rules list it. Other rules do not."""

from lacnode.permissioning.abi import (
    RULES_NAME,
    UnexpectedAnswerError,
    decode_registered_address,
    encode_registered_call,
)
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.permissioning.listed_nodes import read_node_entries
from lacnode.permissioning.time_limited_reader import TimeLimitedReader
from lacnode.permissioning.topology import NodeType
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

NODE_TYPE_SECONDS, ALL_CALLS_SECONDS = 2.0, 5.0
"""The time limits of one call and of all calls for one type."""

NODE_OF = keccak256(b"nodeOf(bytes32,bytes32)")[:4]
LACCHAIN_ENTRY = 10 * 32
"""The least size of an entry in LACChain's list. Its fifth word is the node type."""


def read_node_type(reader: ContractReader, ingress: bytes, node_id: bytes, header: BlockHeader) -> NodeType | None:
    """Return the type that the rules behind `ingress` (20-byte address) list the node `node_id` (64 bytes) with.

    None if the node is not listed, if the rules have no types, if the type is unknown, or if a contract gives no valid
    answer. The state after the block of `header` counts. Each call has `NODE_TYPE_SECONDS`, and all together have
    `ALL_CALLS_SECONDS`. A list of LACChain takes one call for each entry.
    """
    reader = TimeLimitedReader(reader, ALL_CALLS_SECONDS)
    # lacnode's own rules answer in one call. The list is read entry by entry, and only if that call fails.
    try:
        rules = decode_registered_address(_read(reader, ingress, encode_registered_call(RULES_NAME), header)) or ingress
        # A contract that is not an ingress fails at `getContractAddress`. An ingress without rules is read itself.
        own = _read_or_none(reader, rules, NODE_OF + node_id, header)
        if own is not None and len(own) == 5 * 32:
            return _decode_type(own[32:64]) if any(own[:32]) else None
        return _find_in_list(reader, rules, node_id, header)
    except (ContractUnreadableError, UnexpectedAnswerError):
        return None


def _find_in_list(reader: ContractReader, rules: bytes, node_id: bytes, header: BlockHeader) -> NodeType | None:
    for entry in read_node_entries(lambda data: _read_or_none(reader, rules, data, header)):
        if len(entry) < LACCHAIN_ENTRY:
            # A shorter entry belongs to Besu's rules, which have no types. All other entries are then short too.
            return None
        if entry[:64] == node_id:
            return _decode_type(entry[128:160])
    return None


def _decode_type(word: bytes) -> NodeType | None:
    # The contract may hold any number. An unknown type is no type, and no error: the node still has to start.
    number = int.from_bytes(word)
    return NodeType(number) if number <= NodeType.OTHER.value else None


def _read_or_none(reader: ContractReader, contract: bytes, data: bytes, header: BlockHeader) -> bytes | None:
    try:
        return _read(reader, contract, data, header)
    except ContractUnreadableError:
        return None


def _read(reader: ContractReader, contract: bytes, data: bytes, header: BlockHeader) -> bytes:
    return reader.read(contract, data, header, NODE_TYPE_SECONDS).output
