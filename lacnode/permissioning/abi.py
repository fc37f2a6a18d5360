"""What permissioning contracts are asked and what they answer, byte for byte as Besu writes and reads it.

Follows Besu's `NodeSmartContractPermissioningController`, its version 2, and
`TransactionSmartContractPermissioningController`. Must not call anything.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

from eth_abi.abi import encode

from lacnode.p2p.wire.enode import Enode, url_host
from lacnode.permissioning.transaction_call import TransactionCall

CONNECTION_ALLOWED_V1 = bytes.fromhex("3620b1df")
CONNECTION_ALLOWED_V2 = bytes.fromhex("45a59e5b")
TRANSACTION_ALLOWED = bytes.fromhex("936421d5")
GET_CONTRACT_ADDRESS = bytes.fromhex("0d2020dd")
"""`getContractAddress(bytes32)` of an ingress."""

IS_AUTHORIZED = bytes.fromhex("fe9fbb80")
"""`isAuthorized(address)` of an admin contract, and of an ingress."""

RULES_NAME = b"rules".ljust(32, b"\0")
ADMIN_NAME = b"administration".ljust(32, b"\0")
"""Names under which contracts are registered in an ingress."""

NODE_INGRESS_NAME = b"node-ingress".ljust(32, b"\0")
NODE_RULES_NAME = b"node-rules".ljust(32, b"\0")
"""Names under which lacnode's account ingress knows the contracts about nodes, so that admins may always call them."""

PERMITTED, REFUSED = b"\xff" * 32, b"\x7f" + b"\xff" * 31
"""Interface 1's answers: its top bit decides, all others are ones."""


class UnexpectedAnswerError(Exception):
    """Bytes that are no answer of this interface. The text is Besu's."""


class UnsupportedNodeError(Exception):
    """A node that the interface cannot express."""


def encode_connection_call(source: Enode, destination: Enode) -> bytes:
    """Interface 1: may `source` connect to `destination`? UnsupportedNodeError for a host that is no IP address."""
    return CONNECTION_ALLOWED_V1 + split_enode(source) + split_enode(destination)


def split_enode(enode: Enode) -> bytes:
    """Four words: the two halves of the node id, the IP address as left-aligned bytes16, the TCP port."""
    return enode.id + ip_bytes(enode.host).ljust(32, b"\0") + enode.tcp.to_bytes(32, "big")


def ip_bytes(host: str) -> bytes:
    """16 bytes; an IPv4 address in its mapped form."""
    try:
        address = ip_address(host)
    except ValueError:
        raise UnsupportedNodeError(f"{host!r} is no IP address, and interface 1 knows nothing else") from None
    if isinstance(address, IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def ip_text(packed: bytes) -> str:
    """The address of `ip_bytes` in canonical text."""
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def decode_connection_answer(output: bytes) -> bool:
    """Interface 1's answer."""
    if len(output) != 32:
        raise UnexpectedAnswerError(f"Unexpected result size: {len(output)} bytes instead of 32")
    if output not in (PERMITTED, REFUSED):
        raise UnexpectedAnswerError(f"Unexpected result form: 0x{output.hex()}")
    return output == PERMITTED


def encode_node_call(enode: Enode) -> bytes:
    """Interface 2: is this one node permitted? Besu gives the host as it stands in the URL (`EnodeURLImpl.getHost`)."""
    arguments = encode(["string", "string", "uint16"], [enode.id.hex(), url_host(enode.host), enode.tcp])
    return CONNECTION_ALLOWED_V2 + arguments


def decode_node_answer(output: bytes) -> bool:
    """Interface 2's answer."""
    if len(output) != 32 or output[:31] != bytes(31) or output[31] > 1:
        raise UnexpectedAnswerError(
            f"Unexpected result from node permissioning smart contract: 0x{output[:64].hex()} ({len(output)} bytes)"
        )
    return output[31] == 1


def encode_transaction_call(transaction: TransactionCall, sender: bytes) -> bytes:
    """May `sender` send this? The payload is padded as Besu does, by a whole word where it needs none."""
    words = (
        int.from_bytes(sender, "big"),
        int.from_bytes(transaction.to or b"", "big"),
        transaction.value,
        transaction.gas_price or 0,
        transaction.gas_limit,
        6 * 32,
        len(transaction.data),
    )
    padding = bytes(32 - len(transaction.data) % 32)
    return TRANSACTION_ALLOWED + b"".join(word.to_bytes(32, "big") for word in words) + transaction.data + padding


def decode_transaction_answer(output: bytes) -> bool:
    """The account contract's answer."""
    if len(output) != 32:
        raise UnexpectedAnswerError(f"Unexpected result size: {len(output)} bytes instead of 32")
    if output[:31] != bytes(31) or output[31] > 1:
        raise UnexpectedAnswerError(f"Unexpected result form: 0x{output.hex()}")
    return output[31] == 1


def encode_registered_call(name: bytes) -> bytes:
    """Which contract is registered in an ingress under `name` (32 bytes)?"""
    return GET_CONTRACT_ADDRESS + name


def decode_address(output: bytes) -> bytes | None:
    """An address of 20 bytes, None for the zero address."""
    if len(output) != 32 or output[:12] != bytes(12):
        raise UnexpectedAnswerError(f"an address was expected, not 0x{output[:64].hex()} ({len(output)} bytes)")
    return output[12:] if any(output) else None
