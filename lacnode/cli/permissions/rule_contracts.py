"""The rules contracts that can be listed and changed: lacnode's own, Besu's standard ones, LACChain's.

Calls of a contract show which one a network has. Must not send anything: calls that change a contract are returned as
bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from lacnode.cli.errors import UsageError
from lacnode.cli.permissions.node_client import NodeClient
from lacnode.p2p.wire.enode import Enode, url_host
from lacnode.permissioning.abi import (
    ADMIN_NAME,
    RULES_NAME,
    UnexpectedAnswerError,
    decode_ip,
    decode_registered_address,
    encode_ip,
    encode_registered_call,
)
from lacnode.permissioning.topology import GROUPS, NodeType
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

MAX_LISTED_ENTRIES = 10_000
ENODE_TYPES = "bytes32,bytes32,bytes16,uint16"
"""An enode in ABI types: node id in halves, IP address, TCP port."""

ENTRY_TYPES = f"{ENODE_TYPES},uint8,bytes6,string,string,string,bytes32"
"""LACChain's list: the enode, node type, geohash, name, organization, DID, group."""


class RulesContractFamily(Enum):
    """Whose rules contract a network has: lacnode's own, the standard one of Besu's interface 1 or 2, or LACChain's.

    The calls that list and change its entries differ.
    """

    OWN = "lacnode"
    STANDARD_1 = "standard, interface 1"
    STANDARD_2 = "standard, interface 2"
    LACCHAIN = "LACChain"


@dataclass(frozen=True, slots=True)
class ListedNode:
    """An entry of a node list. `id` has 64 bytes. `host` has the form that it has in a URL. `role` and `name` are
    None where the contract has none."""

    id: bytes
    host: str
    port: int
    role: str | None = None
    name: str | None = None

    @property
    def enode(self) -> str:
        """The enode URL."""
        return f"enode://{self.id.hex()}@{self.host}:{self.port}"

    def __str__(self) -> str:
        return "  ".join(text for text in (self.enode, self.role, self.name) if text)


def _function_selector(signature: str) -> bytes:
    """Return the first four bytes of the hash (Keccak-256) of a function's signature, such as `addAccount(address)`."""
    return keccak256(signature.encode("ascii"))[:4]


def call_data(signature: str, *values: object) -> bytes:
    """Return the call data of a contract function: its selector (4 bytes) and the ABI-encoded `values`. `signature` is
    such as `addAccount(address)`. It must have no tuples. EncodingError of `eth_abi` if a value does not fit its type.
    """
    types = signature[signature.index("(") + 1 : -1]
    return _function_selector(signature) + encode(types.split(",") if types else [], values)


def _read_registered_contract(client: NodeClient, ingress: bytes, name: bytes) -> bytes:
    """Return the 20-byte address of the contract registered in the contract at `ingress` (20 bytes) under `name` (32
    bytes). UsageError if there is none.
    """
    output = client.read_contract(ingress, encode_registered_call(name))
    try:
        found = None if output is None else decode_registered_address(output)
    except UnexpectedAnswerError:
        found = None
    if found is None:
        raise UsageError(
            f"the contract at {to_hex(ingress)} is no ingress, or no {name.rstrip(bytes(1)).decode()} are registered in it"
        )
    return found


class NodeRules:
    """The node rules behind an ingress (20-byte address). `address` is the address of the rules contract, which
    receives the encoded calls. `family` is found by calls of this contract. A contract with the functions of no other
    family counts as LACChain's. UsageError if the ingress has no rules contract, or the node does not answer."""

    def __init__(self, client: NodeClient, ingress: bytes) -> None:
        self._client = client
        self.address = _read_registered_contract(client, ingress, RULES_NAME)
        self.family = self._family()

    def _family(self) -> RulesContractFamily:
        # A contract without the function reverts, or gives nothing. LACChain's is the family that is left when none of
        # these functions is there.
        questions = (
            (RulesContractFamily.OWN, call_data("nodeDenied(bytes32,bytes32)", bytes(32), bytes(32))),
            (RulesContractFamily.STANDARD_2, call_data("enodePermitted(string,string,uint16)", "", "", 0)),
            (
                RulesContractFamily.STANDARD_1,
                call_data("enodeInWhitelist(bytes32,bytes32,bytes16,uint16)", bytes(32), bytes(32), bytes(16), 0),
            ),
        )
        for family, question in questions:
            if self._client.read_contract(self.address, question):
                return family
        return RulesContractFamily.LACCHAIN

    def listed_nodes(self) -> Iterator[ListedNode]:
        """Yield the nodes of the list in the order of the contract, at most `MAX_LISTED_ENTRIES`. Nothing if the
        contract does not give the length of the list. It ends at the first entry that the contract does not give.
        UsageError if an entry does not describe a node, or the node of `client` does not answer."""
        # A missing or strange answer counts as an empty list or a huge one. The bound below keeps both harmless.
        size = int.from_bytes(self._client.read_contract(self.address, call_data("getSize()")) or b"")
        for index in range(min(size, MAX_LISTED_ENTRIES)):
            entry = self._client.read_contract(self.address, call_data("getByIndex(uint256)", index))
            if entry is None:
                return
            yield self._entry(entry)

    def _entry(self, entry: bytes) -> ListedNode:
        try:
            if self.family is RulesContractFamily.STANDARD_2:
                id_, host, port = decode(["string", "string", "uint16"], entry)
                return ListedNode(bytes.fromhex(id_), host, port)
            if self.family is RulesContractFamily.STANDARD_1:
                high, low, ip, port = decode(ENODE_TYPES.split(","), entry)
                return ListedNode(high + low, url_host(decode_ip(ip)), port)
            # lacnode's own contract has LACChain's entries, so one decoder reads both.
            high, low, ip, port, kind, _, name, _, _, _ = decode(
                ["bytes32", "bytes32", "bytes16", "uint16", "uint8", "bytes6", "string", "string", "string", "bytes32"],
                entry,
            )
            return ListedNode(high + low, url_host(decode_ip(ip)), port, _type(kind).lower_name, name)
        except (DecodingError, OverflowError, ValueError) as error:
            raise UsageError(
                f"the contract at {to_hex(self.address)} lists something that is no node: {error}"
            ) from None

    def encode_addition(self, enode: Enode, role: NodeType, name: str, organization: str) -> bytes:
        """Return the call data that puts `enode` on the list of the contract at `address`. Nothing is sent. For Besu's
        standard contracts `role`, `name` and `organization` are ignored. UnsupportedNodeError if the contract takes IP
        addresses only and the host is a name."""
        if self.family is RulesContractFamily.STANDARD_2:
            return call_data("addEnode(string,string,uint16)", enode.id.hex(), url_host(enode.host), enode.tcp)
        if self.family is RulesContractFamily.STANDARD_1:
            return call_data(f"addEnode({ENODE_TYPES})", *_split(enode))
        return call_data(
            f"addEnode({ENTRY_TYPES})",
            *_split(enode), role.value, bytes(6), name, organization, "", GROUPS[role],
        )  # fmt: skip

    def encode_removal(self, enode: Enode) -> bytes:
        """Return the call data that takes `enode` off the list of the contract at `address`. Nothing is sent.
        UnsupportedNodeError if the contract takes IP addresses only and the host is a name.
        """
        if self.family is RulesContractFamily.STANDARD_2:
            return call_data("removeEnode(string,string,uint16)", enode.id.hex(), url_host(enode.host), enode.tcp)
        return call_data(f"removeEnode({ENODE_TYPES})", *_split(enode))


class AccountRules:
    """The account rules behind an ingress (20-byte address). `address` is the address of the rules contract, which
    receives the encoded calls. UsageError if the ingress has no rules contract, or the node does not answer."""

    def __init__(self, client: NodeClient, ingress: bytes) -> None:
        self._client = client
        self.address = _read_registered_contract(client, ingress, RULES_NAME)
        # Any address will do: the answer shows only whether the contract has the function.
        somebody = bytes(20)
        if client.read_contract(self.address, call_data("mayDeploy(address)", somebody)):
            self.family = RulesContractFamily.OWN
        elif client.read_contract(self.address, call_data("destinationPermitted(address)", somebody)):
            self.family = RulesContractFamily.LACCHAIN
        else:
            self.family = RulesContractFamily.STANDARD_2

    def listed_accounts(self) -> list[tuple[bytes, bool | None]]:
        """Return every account (20 bytes) on the list, with True if it may create contracts and False if it may not.
        The second value is None if the contract does not distinguish them. UsageError if the contract's answer is no
        list."""
        accounts = _addresses(self._client.read_contract(self.address, call_data("getAccounts()")))
        if self.family is not RulesContractFamily.OWN:
            return [(account, None) for account in accounts]
        return [(account, self._may_deploy(account)) for account in accounts]

    def _may_deploy(self, account: bytes) -> bool:
        output = self._client.read_contract(self.address, call_data("mayDeploy(address)", account))
        return bool(output and any(output))

    def encode_addition(self, account: bytes) -> bytes:
        """Return the call data that puts `account` (20 bytes) on the list of the contract at `address`. In LACChain's
        contract the account gets the type of a writer. Nothing is sent."""
        if self.family is RulesContractFamily.LACCHAIN:
            return call_data("addAccount(address,uint8)", account, NodeType.WRITER.value)
        return call_data("addAccount(address)", account)

    def encode_removal(self, account: bytes) -> bytes:
        """Return the call data that takes `account` (20 bytes) off the list of the contract at `address`. Nothing is
        sent.
        """
        return call_data("removeAccount(address)", account)

    def encode_deploy_right(self, account: bytes, allowed: bool) -> bytes:
        """Return the call data that gives `account` (20 bytes) the right to create contracts (`allowed`), or takes it.
        Nothing is sent. UsageError if the contract does not know this right.
        """
        if self.family is not RulesContractFamily.OWN:
            raise UsageError(f"the account rules at {to_hex(self.address)} know no right to deploy of their own")
        return call_data("setDeployRight(address,bool)", account, allowed)


class AdminList:
    """The admin contract behind an ingress (20-byte address). `address` is the address of the admin contract, which
    receives the encoded calls. UsageError if the ingress has no admin contract, or the node does not answer."""

    def __init__(self, client: NodeClient, ingress: bytes) -> None:
        self._client = client
        self.address = _read_registered_contract(client, ingress, ADMIN_NAME)

    def listed_admins(self) -> list[bytes]:
        """Return the address (20 bytes) of every admin. LACChain calls them owners. UsageError if the contract's answer
        is no list.
        """
        output = self._client.read_contract(self.address, call_data("getAdmins()"))
        return _addresses(output or self._client.read_contract(self.address, call_data("getOwners()")))

    def encode_addition(self, account: bytes) -> bytes:
        """Return the call data that makes `account` (20 bytes) an admin. Nothing is sent."""
        return call_data("addAdmin(address)", account)

    def encode_removal(self, account: bytes) -> bytes:
        """Return the call data after which `account` (20 bytes) is no admin. Nothing is sent."""
        return call_data("removeAdmin(address)", account)


def _type(number: int) -> NodeType:
    try:
        # LACChain's contract takes any number as a type.
        return NodeType(number)
    except ValueError:
        return NodeType.OTHER


def _split(enode: Enode) -> tuple[bytes, bytes, bytes, int]:
    return enode.id[:32], enode.id[32:], encode_ip(enode.host), enode.tcp


def _addresses(output: bytes | None) -> list[bytes]:
    if output is None:
        raise UsageError("the contract does not list what it holds")
    try:
        (found,) = decode(["address[]"], output)
    except (DecodingError, OverflowError, ValueError) as error:
        raise UsageError(f"the contract lists something that is no account: {error}") from None
    # `eth_abi` gives addresses as text with `0x`.
    return [bytes.fromhex(text[2:]) for text in found]
