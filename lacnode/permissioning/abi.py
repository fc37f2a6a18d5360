"""The calls of permissioning contracts and their answers, byte for byte as Besu writes and reads them.

Follows Besu's `NodeSmartContractPermissioningController`, its version 2, and
`TransactionSmartContractPermissioningController`. This module must not call anything.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

from eth_abi.abi import encode

from lacnode.p2p.wire.enode import Enode, url_host
from lacnode.permissioning.transaction_call import TransactionCall

# The words below are the ABI's: 32 bytes, big-endian. A selector is the first 4 bytes of the Keccak-256 of a signature.
# Interface 1 asks about a pair of nodes (`connectionAllowed` with eight words). Interface 2 asks about each node alone
# (`connectionAllowed(string,string,uint16)`). A network configures one of them, and contracts implement one of them.
CONNECTION_ALLOWED_V1 = bytes.fromhex("3620b1df")
CONNECTION_ALLOWED_V2 = bytes.fromhex("45a59e5b")
TRANSACTION_ALLOWED = bytes.fromhex("936421d5")
GET_CONTRACT_ADDRESS = bytes.fromhex("0d2020dd")
"""`getContractAddress(bytes32)` of an ingress contract."""

IS_AUTHORIZED = bytes.fromhex("fe9fbb80")
"""`isAuthorized(address)` of an admin contract and of an ingress contract."""

RULES_NAME = b"rules".ljust(32, b"\0")
ADMIN_NAME = b"administration".ljust(32, b"\0")
"""The names under which contracts are registered in an ingress contract."""

NODE_INGRESS_NAME = b"node-ingress".ljust(32, b"\0")
NODE_RULES_NAME = b"node-rules".ljust(32, b"\0")
"""The names of the node contracts in lacnode's account ingress. Administrators may always call these contracts."""

PERMITTED, REFUSED = b"\xff" * 32, b"\x7f" + b"\xff" * 31
"""The two answers of interface 1. The highest bit decides. All other bits are 1."""


class UnexpectedAnswerError(Exception):
    """The output of a contract does not fit the interface. The text is Besu's where Besu has one."""


class UnsupportedNodeError(Exception):
    """Interface 1 cannot name a node: its host is not an IP address."""


def encode_connection_call(source: Enode, destination: Enode) -> bytes:
    """Encode the question of interface 1: may `source` connect to `destination`? Return the call data (260 bytes).

    UnsupportedNodeError if a host is not an IP address.
    """
    return CONNECTION_ALLOWED_V1 + encode_enode_words(source) + encode_enode_words(destination)


def encode_enode_words(enode: Enode) -> bytes:
    """Encode a node in four words (128 bytes): the node id in two, the IP address as left-aligned bytes16, the TCP
    port.

    UnsupportedNodeError if the host is not an IP address.
    """
    return enode.id + encode_ip(enode.host).ljust(32, b"\0") + enode.tcp.to_bytes(32, "big")


def encode_ip(host: str) -> bytes:
    """Encode an IP address in 16 bytes. An IPv4 address takes its mapped form (RFC 4291, section 2.5.5.2).

    UnsupportedNodeError if `host` is not an IP address.
    """
    try:
        address = ip_address(host)
    except ValueError:
        raise UnsupportedNodeError(f"{host!r} is no IP address, and interface 1 knows nothing else") from None
    # Both families take 16 bytes, so that a contract compares addresses without a look at their family.
    if isinstance(address, IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def decode_ip(packed: bytes) -> str:
    """Return the canonical text of the 16 bytes that `encode_ip` made. A mapped IPv4 address becomes IPv4 text again.
    ValueError for another number of bytes."""
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def decode_connection_answer(output: bytes) -> bool:
    """Decode an answer of interface 1: True for `PERMITTED` (32 bytes, all bits 1), False for `REFUSED` (the same
    without the highest bit). UnexpectedAnswerError for any other bytes."""
    # A contract without this function may answer with any bytes. Only the two exact forms count, as in Besu. If any
    # set bit counted as a permission, a wrong contract address would open the network.
    if len(output) != 32:
        raise UnexpectedAnswerError(f"Unexpected result size: {len(output)} bytes instead of 32")
    if output not in (PERMITTED, REFUSED):
        raise UnexpectedAnswerError(f"Unexpected result form: 0x{output.hex()}")
    return output == PERMITTED


def encode_node_call(enode: Enode) -> bytes:
    """Encode the question of interface 2 of the node contract: is this node permitted? Return the call data.

    The host is a name or an address, an IPv6 address in brackets, as in an enode URL (Besu's `EnodeURLImpl.getHost`).
    """
    arguments = encode(["string", "string", "uint16"], [enode.id.hex(), url_host(enode.host), enode.tcp])
    return CONNECTION_ALLOWED_V2 + arguments


def decode_node_answer(output: bytes) -> bool:
    """Decode an answer of interface 2 (a word of 32 bytes that is 0 or 1): True if the node is permitted.
    UnexpectedAnswerError for any other bytes."""
    if len(output) != 32 or output[:31] != bytes(31) or output[31] > 1:
        raise UnexpectedAnswerError(
            f"Unexpected result from node permissioning smart contract: 0x{output[:64].hex()} ({len(output)} bytes)"
        )
    return output[31] == 1


def encode_transaction_call(transaction: TransactionCall, sender: bytes) -> bytes:
    """Encode the question of the account contract: may `sender` (20 bytes) send this transaction? Return the call data.

    The gas price is 0 if the transaction gives its fees in another way. The address 0 stands for a contract creation.
    OverflowError if a value has more than 256 bits.
    """
    # A question before signing has no gas price, and a contract creation has no target. Besu encodes both as 0, so the
    # contract cannot tell a contract creation from a call of the address 0.
    words = (
        int.from_bytes(sender, "big"),
        int.from_bytes(transaction.to or b"", "big"),
        transaction.value,
        transaction.gas_price or 0,
        transaction.gas_limit,
        6 * 32,
        len(transaction.data),
    )
    # Besu adds a whole word of zeros to a payload whose length is a multiple of 32. The ABI does not ask for it. A
    # contract that looks at the length of its call data would otherwise answer differently here and on Besu nodes.
    padding = bytes(32 - len(transaction.data) % 32)
    return TRANSACTION_ALLOWED + b"".join(word.to_bytes(32, "big") for word in words) + transaction.data + padding


def decode_transaction_answer(output: bytes) -> bool:
    """Decode an answer of the account contract (a word of 32 bytes that is 0 or 1): True if the transaction is
    permitted. UnexpectedAnswerError for any other bytes."""
    if len(output) != 32:
        raise UnexpectedAnswerError(f"Unexpected result size: {len(output)} bytes instead of 32")
    if output[:31] != bytes(31) or output[31] > 1:
        raise UnexpectedAnswerError(f"Unexpected result form: 0x{output.hex()}")
    return output[31] == 1


def encode_registered_call(name: bytes) -> bytes:
    """Encode the question to an ingress contract: which contract is registered as `name` (32 bytes)? Return the call
    data. `decode_registered_address` reads the answer."""
    return GET_CONTRACT_ADDRESS + name


def encode_is_authorized_call(account: bytes) -> bytes:
    """Encode the question to an admin contract: is `account` (20 bytes) an administrator? Return the call data.
    `decode_node_answer` reads the answer."""
    return IS_AUTHORIZED + account.rjust(32, b"\0")


def decode_registered_address(output: bytes) -> bytes | None:
    """Decode the answer of an ingress contract to `encode_registered_call`, a word of 32 bytes with an address. Return
    the 20 bytes of the address, None for the zero address: no contract is registered. UnexpectedAnswerError for any
    other bytes."""
    # An address takes the lower 20 bytes of the word. Any other upper byte means that this is no ingress contract.
    if len(output) != 32 or output[:12] != bytes(12):
        raise UnexpectedAnswerError(f"an address was expected, not 0x{output[:64].hex()} ({len(output)} bytes)")
    return output[12:] if any(output) else None
