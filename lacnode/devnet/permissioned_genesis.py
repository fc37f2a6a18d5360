"""The genesis accounts of a permissioned network: lacnode's contracts, registered in each other, with their first contents.

It assumes nothing about the storage layout of the contracts: it executes their constructors and set-up calls, and reads back
the storage that they wrote. Must not be used on a chain that exists.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from lacnode.chainspec.genesis import parse_genesis
from lacnode.evm.engine import CallRequest
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import ADMIN_NAME, NODE_INGRESS_NAME, NODE_RULES_NAME, RULES_NAME, encode_ip
from lacnode.permissioning.artifacts import load_artifact
from lacnode.permissioning.topology import CONNECTIONS, GROUPS, NodeType
from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction

ACCOUNT_INGRESS = bytes.fromhex("8888".rjust(40, "0"))
NODE_INGRESS = bytes.fromhex("9999".rjust(40, "0"))
ACCOUNT_RULES = bytes.fromhex("8889".rjust(40, "0"))
NODE_RULES = bytes.fromhex("9998".rjust(40, "0"))
ADMIN = bytes.fromhex("9997".rjust(40, "0"))
"""The ingresses have the addresses of every LACChain network. The other contracts have addresses next to them."""

SETUP_GAS = 20_000_000


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node that the node contract permits from the beginning. The host of `enode` must be an IP address."""

    enode: Enode
    type: NodeType
    name: str = ""
    organization: str = ""


def permissioning_alloc(
    admins: Sequence[bytes], nodes: Iterable[NodeEntry], senders: Iterable[bytes]
) -> dict[str, dict[str, object]]:
    """Return the entries of a genesis' `alloc` for the contracts of permissioning, by address (text with 0x). `admins`
    (at least one) may change the rules. `senders` may send transactions and create contracts. Nodes may connect by
    their types, by the rules of LACChain's topology. Addresses have 20 bytes. UnsupportedNodeError if the host of a
    node is a name. AssertionError if a node (by its id) or a sender is given twice, or for the zero address."""
    workshop = _Workshop()
    # The admin contract is placed and not registered yet: the calls of the set-up are not checked before it is.
    workshop.place(ADMIN, "Admin", encode(["address[]"], [admins]))
    for address, name, argument in (
        (NODE_INGRESS, "NodeIngress", b""),
        (ACCOUNT_INGRESS, "AccountIngress", b""),
        (NODE_RULES, "NodeRules", encode(["address"], [NODE_INGRESS])),
        (ACCOUNT_RULES, "AccountRules", encode(["address"], [ACCOUNT_INGRESS])),
    ):
        workshop.place(address, name, argument)
    for contract, signature, values in _set_up(admins[0], nodes, senders):
        workshop.call(contract, signature, values, admins[0])
    return workshop.alloc()


def devnet_permissioning_alloc(
    accounts: Sequence[bytes], nodes: Iterable[tuple[str, str, str]]
) -> dict[str, dict[str, object]]:
    """Return the entries of `alloc` for the contracts of a permissioned devnet, by address (text with 0x). `accounts`
    (20 bytes each, at least one) may send transactions and create contracts. The first of them is the only admin.
    `nodes` are (enode URL, role, name). EnodeError if a URL is malformed, KeyError for an unknown role."""
    entries = [NodeEntry(Enode.parse(enode), NodeType[role.upper()], name) for enode, role, name in nodes]
    return permissioning_alloc(accounts[:1], entries, accounts)


def _set_up(
    admin: bytes, nodes: Iterable[NodeEntry], senders: Iterable[bytes]
) -> Iterable[tuple[bytes, str, tuple[object, ...]]]:
    """Yield the calls that fill the contracts. The admin contract is registered last: from then on the contracts ask it
    about each call."""
    for one, other in CONNECTIONS:
        yield NODE_RULES, "addConnection(bytes32,bytes32)", (GROUPS[one], GROUPS[other])
    for node in nodes:
        id_, place = node.enode.id, (encode_ip(node.enode.host), node.enode.tcp)
        yield (
            NODE_RULES,
            "addEnode(bytes32,bytes32,bytes16,uint16,uint8,bytes6,string,string,string,bytes32)",
            (
                id_[:32],
                id_[32:],
                *place,
                node.type.value,
                bytes(6),
                node.name,
                node.organization,
                "",
                GROUPS[node.type],
            ),
        )
    for sender in senders:
        yield ACCOUNT_RULES, "addAccount(address)", (sender,)
        yield ACCOUNT_RULES, "setDeployRight(address,bool)", (sender, True)
    # Admins may always call the contracts that the account ingress knows. The contracts about nodes must be among them.
    for name, contract in ((NODE_INGRESS_NAME, NODE_INGRESS), (NODE_RULES_NAME, NODE_RULES)):
        yield ACCOUNT_INGRESS, "setContractAddress(bytes32,address)", (name, contract)
    for ingress, rules in ((NODE_INGRESS, NODE_RULES), (ACCOUNT_INGRESS, ACCOUNT_RULES)):
        yield ingress, "setContractAddress(bytes32,address)", (RULES_NAME, rules)
        yield ingress, "setContractAddress(bytes32,address)", (ADMIN_NAME, ADMIN)


class _Workshop:
    """Contracts at chosen addresses, with their storage after each call."""

    def __init__(self) -> None:
        self._code: dict[bytes, bytes] = {}
        self._storage: dict[bytes, dict[int, int]] = {}

    def place(self, address: bytes, name: str, argument: bytes) -> None:
        """Put a contract at `address`. Its creation code is called as if it were the code of that account: it runs the
        constructor on the account's storage, and returns the code of the contract."""
        self._code[address] = load_artifact(name).bytecode + argument
        self._storage[address] = {}
        self._code[address] = self._execute(address, b"", ANY_ADDRESS)

    def call(self, contract: bytes, signature: str, values: tuple[object, ...], sender: bytes) -> None:
        """Call the function with `signature` of `contract` as `sender`, and keep the changes. AssertionError if it fails."""
        types = signature[signature.index("(") + 1 : -1].split(",")
        self._execute(contract, keccak256(signature.encode("ascii"))[:4] + encode(types, values), sender)

    def alloc(self) -> dict[str, dict[str, object]]:
        """Return the contracts as the `alloc` of a genesis."""
        return {
            to_hex(address): {
                "balance": "0x0",
                "nonce": "0x1",
                "code": to_hex(code),
                "storage": {
                    to_hex(slot.to_bytes(32)): to_hex(value.to_bytes(32))
                    for slot, value in sorted(self._storage[address].items())
                },
            }
            for address, code in sorted(self._code.items())
        }

    def _execute(self, contract: bytes, data: bytes, sender: bytes) -> bytes:
        nodes: dict[bytes, bytes] = {}
        # Each call runs on the state of a fresh genesis with the contracts so far. The set-up calls are few, and
        # nothing but the contracts is carried over.
        spec = parse_genesis(_genesis(self.alloc()))
        engine = PyEvmEngine(spec, nodes)
        root, made = engine.genesis_state()
        nodes.update(made)
        header = spec.genesis.header(root)
        # The call comes first: it returns the output and the slots that were touched. The block then gives the state
        # with the changes.
        result = engine.call(
            root, header, CallRequest(sender=sender, to=contract, gas=SETUP_GAS, data=data), _no_ancestor
        )
        if not result.success:
            raise AssertionError(f"set-up of {to_hex(contract)} failed: {result.halt}, 0x{result.output.hex()}")
        block = engine.open_block(root, header, _no_ancestor)
        block.add(_transaction(contract, data), sender)
        executed = block.close()
        nodes.update(executed.nodes)
        self._keep(engine, executed.state_root, result.touched)
        return result.output

    def _keep(self, engine: PyEvmEngine, root: bytes, touched: Iterable[tuple[bytes, Sequence[bytes]]]) -> None:
        state = engine.accounts(root)
        for address, slots in touched:
            for slot in (int.from_bytes(slot) for slot in slots):
                value = state.storage(address, slot)
                # A zero is an empty slot. A genesis lists only slots with a value.
                if value:
                    self._storage[address][slot] = value
                else:
                    self._storage[address].pop(slot, None)


ANY_ADDRESS = bytes(19) + b"\x01"
"""The sender of the constructors. They do not read it."""


def _genesis(alloc: Mapping[str, object]) -> dict[str, object]:
    return {
        "config": {"chainId": 1, "berlinBlock": 0, "contractSizeLimit": 1_000_000, "ibft2": {}},
        "difficulty": "0x1",
        "gasLimit": hex(SETUP_GAS),
        "alloc": alloc,
    }


def _transaction(contract: bytes, data: bytes) -> Transaction:
    """Return a free transaction with a made-up signature. The caller gives the sender when it executes the transaction."""
    fields: list[rlp.RlpValue] = [b"", b"", rlp.encode_scalar(SETUP_GAS), contract, b"", data]
    return Transaction.decode(encode_signed_transaction(LEGACY, fields, 27, 1, 1))


def _no_ancestor(number: int) -> None:
    """Return no hash: the genesis block has no ancestor."""
