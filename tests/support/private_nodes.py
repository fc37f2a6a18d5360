"""Nodes with private rooms on one chain, and managers that share one post office in memory: any of them can be off,
forgetful or broken."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.group_ids import group_id as new_group_id
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_controller import PrivacyController
from lacnode.privacy.state.privacy_marker import GroupMode, MarkerSigner, RandomKeySigner
from lacnode.privacy.state.private_sending import MarkerSubmitter
from lacnode.privacy.state.private_store import ROOTS, PrivateNodeStore
from lacnode.privacy.state.private_transaction import PrivateTransaction, legacy_group_id
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.privacy.transaction_manager import (
    EnclaveError,
    EnclaveUnreachableError,
    GroupType,
    PrivacyGroup,
    ReceivedPayload,
)
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import GROUPS, MethodRegistry
from lacnode.rpc.private_filters import PrivateFilters
from tests.support import qbft_chain
from tests.support.ibft2_blocks import with_seals
from tests.support.qbft_chain import qbft_node
from tests.support.qbft_messages import FOUR
from tests.support.rpc_chain import CHAIN_ID, GAS_LIMIT, VALIDATOR, RpcTestNode, node

ALICE, BOB = NodeKey.from_private_key(keccak256(b"alice")), NodeKey.from_private_key(keccak256(b"bob"))


def manager_key(name: str) -> bytes:
    """The public key of somebody's manager."""
    return keccak256(name.encode())


KEY_A, KEY_B, KEY_C = manager_key("A"), manager_key("B"), manager_key("C")


@dataclass
class MemoryManager:
    """One manager with one key, or with several where `others` has it under them. `is_off` answers nobody, `failing` names
    payload keys that it cannot give, `readers` who may read what was sent."""

    key: bytes
    others: "dict[bytes, MemoryManager]"
    payloads: dict[bytes, ReceivedPayload] = field(default_factory=dict)
    groups: dict[bytes, PrivacyGroup] = field(default_factory=dict)
    deleted: dict[bytes, PrivacyGroup] = field(default_factory=dict)
    is_off: bool = False
    failing: set[bytes] = field(default_factory=set)
    asked: list[bytes] = field(default_factory=list)
    readers: dict[bytes, frozenset[bytes]] = field(default_factory=dict)

    def is_up(self) -> bool:
        return not self.is_off

    def _check_on(self) -> None:
        if self.is_off:
            raise EnclaveUnreachableError("off")

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        self._check_on()
        by = sender or self.key
        members = tuple(dict.fromkeys([*recipients, by]))
        group_id = legacy_group_id(by, members)
        return self._send(payload, by, PrivacyGroup(group_id, "legacy", "", GroupType.LEGACY, members))

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        return self._send(payload, sender, self.retrieve_group(group_id))

    def _send(self, payload: bytes, sender: bytes, group: PrivacyGroup) -> bytes:
        if any(member not in self.others for member in group.members):
            raise EnclaveError("NodeMissingPeerUrl")
        key = hashlib.new("sha512_256", payload + bytes(len(self.payloads))).digest()
        received = ReceivedPayload(payload, sender, group.id)
        self.payloads[key] = received
        self.groups.setdefault(group.id, group)
        reached = [self.others[member] for member in group.members]
        if any(manager.is_off for manager in reached):
            raise EnclaveError("NodePropagatingToAllPeers")
        for manager in reached:
            manager.payloads[key] = received
            manager.readers[key] = frozenset(group.members)
            manager.groups.setdefault(group.id, group)
        return key

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        self._check_on()
        self.asked.append(key)
        if key in self.failing:
            raise EnclaveError("EnclaveStorageDecrypt")
        if to is not None and to not in self.others:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        may_read = to is None or to in self.readers.get(key, (to,))
        if key not in self.payloads or not may_read:
            raise EnclaveError("EnclavePayloadNotFound")
        return self.payloads[key]

    def create_group(
        self, members: Sequence[bytes], sender: bytes, name: str = "", description: str = "", seed: bytes | None = None
    ) -> PrivacyGroup:
        self._check_on()
        if sender not in members:
            raise EnclaveError("CreatePrivacyGroupShouldIncludeSelf")
        seed = len(self.groups).to_bytes(20) if seed is None else seed
        group = PrivacyGroup(
            new_group_id(members, seed), name, description, GroupType.PANTHEON, tuple(dict.fromkeys(members))
        )
        for member in members:
            self.others[member].groups[group.id] = group
        return group

    def delete_group(self, group_id: bytes, sender: bytes) -> bytes:
        self._check_on()
        deleted = self.groups.pop(group_id, None)
        if deleted is None:
            raise EnclaveError("PrivacyGroupNotDeleted")
        self.deleted[group_id] = deleted
        return group_id

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        self._check_on()
        return [group for group in self.groups.values() if set(group.members) == set(members)]

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        self._check_on()
        if group_id not in self.groups:
            raise EnclaveError("PrivacyGroupNotFound")
        return self.groups[group_id]

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        self._check_on()
        group = self.groups.get(group_id) or self.deleted.get(group_id)
        return None if group is None else group.members if group.type is GroupType.PANTHEON else ()

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        self._check_on()
        group = self.groups.get(group_id)
        return None if group is None or group.type is not GroupType.LEGACY else group.members


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Member:
    """A node with its manager and its private room."""

    node: RpcTestNode
    manager: MemoryManager
    privacy_controller: PrivacyController
    reopen: Callable[[], PrivacyController]
    noted: list[tuple[bytes, bytes, bool]]
    """The missing payloads, the signers of their markers and whether they were known, as the manager was told."""

    def work(self) -> None:
        """Execute privately as far as it goes."""
        while (
            self.privacy_controller.execution.processor.step()
            or self.privacy_controller.execution.repair.step()
            or self.privacy_controller.execution.long_execution.step()
        ):
            pass

    def root(self, group_id: bytes, number: int | None = None) -> bytes:
        return self.privacy_controller.states.root_at(
            group_id, self.node.chain.head.header.number if number is None else number
        )

    def send(self, private: PrivateTransaction) -> bytes:
        """As `eea_sendRawTransaction` does; the marker's hash."""
        return self.privacy_controller.sender.submit_marker(
            private, self.privacy_controller.sender.distribute(private, self.privacy_controller.public_key)
        )


class PrivateTestNetwork:
    """Members A, B and C on one chain. Blocks are made of A's pool unless told otherwise."""

    def __init__(
        self,
        signer: MarkerSigner | None = None,
        keys: tuple[bytes, bytes, bytes] = (KEY_A, KEY_B, KEY_C),
        forks: Mapping[str, object] | None = None,
        mode: GroupMode = GroupMode.OFFCHAIN,
        genesis: PrivateGenesis | None = None,
        tenants: tuple[bytes, ...] = (),
        manager: "Callable[[bytes, dict[bytes, MemoryManager]], MemoryManager]" = MemoryManager,
        gas_limit: int = GAS_LIMIT,
        qbft: bool = False,
        knows_own_keys: bool = False,
    ) -> None:
        """With `tenants` the first node is theirs: its manager has their keys, and they say whose they use.

        With `qbft` the blocks are those of QBFT, and not of IBFT 2.0. With `knows_own_keys` each node knows the key of its
        manager as its own, as it does with a manager in its process.
        """
        self._knows_own_keys = knows_own_keys
        self._qbft = qbft
        self.mode = mode
        self._genesis = genesis or PrivateGenesis()
        self.clock = Clock()
        self.managers: dict[bytes, MemoryManager] = {}
        self._forks = forks
        self._tenants = tenants
        self._manager = manager
        self._gas_limit = gas_limit
        self.members = [self._member(key, signer or RandomKeySigner()) for key in keys]
        self.a, self.b, self.c = self.members
        self.managers.update(dict.fromkeys(tenants, self.a.manager))

    def _member(self, key: bytes, signer: MarkerSigner) -> Member:
        peerless = qbft_node() if self._qbft else node(forks=self._forks, gas_limit=self._gas_limit)
        manager = self.managers[key] = self._manager(key, self.managers)
        chain, pool = peerless.chain, peerless.pool
        database = chain._database
        engine = PyEvmEngine(chain.spec, DatabaseNodeStore(database))
        private_engine = PyEvmEngine(chain.spec, PrivateNodeStore(database))

        def next_nonce(address: bytes) -> int:
            pending = pool.next_nonce(address)
            return chain.state_at(chain.head.header).nonce(address) if pending is None else pending

        noted: list[tuple[bytes, bytes, bool]] = []

        def open_room() -> PrivacyController:
            return PrivacyController(
                PrivacyContext(
                    chain,
                    lambda: chain.head.header.number,
                    engine,
                    database,
                    manager,
                    chain.spec.chain_id,
                    self.clock,
                    self.mode,
                    self._genesis,
                    record_missing_payload_signer=lambda key, signer, known: noted.append((key, signer, known)),
                    own_keys=frozenset((key,) if self._knows_own_keys else ()),
                ),
                public_key=None if key in self._tenants else key,
                signer=signer,
                public=MarkerSubmitter(next_nonce, lambda transaction: pool.add(transaction, local=True, now=0.0)),
                accounts=private_engine.accounts,
            )

        member = Member(peerless, manager, open_room(), open_room, noted)
        peerless.services = replace(peerless.services, privacy=member.privacy_controller)
        filters = PrivateFilters()

        def add_to_filters(private_block: PrivateBlock) -> None:
            for _ in filters.add_private_block_in_steps(private_block):
                pass

        member.privacy_controller.execution.processor.on_private_logs(add_to_filters)
        peerless.registry = MethodRegistry((*all_methods(private=self.mode), *filters.methods()), GROUPS)
        return member

    def mine(self, *transactions: Transaction, work: bool = True) -> Block:
        """A block of what waits in every pool, after `transactions`, at every member; privately executed if `work`."""
        leader = self.a.node
        leader.send(*transactions)
        for member in self.members[1:]:
            for pooled in member.node.pool.all():
                if leader.refusal(pooled.transaction) is not None:
                    raise AssertionError("the leader's pool refuses what another took")
        block = self._sealed_block(leader)
        for member in self.members:
            assert member.node.chain.import_block(block)
            if work:
                member.work()
        return block

    def _sealed_block(self, leader: RpcTestNode) -> Block:
        if self._qbft:
            return qbft_chain.sealed(qbft_chain.draft(leader), FOUR)
        draft = leader.build()
        return with_seals(draft, (sign(committed_seal_hash(draft.header), VALIDATOR.private_key),))


def private(
    key: NodeKey = ALICE,
    nonce: int = 0,
    *,
    to: bytes | None = None,
    data: bytes = b"",
    group: bytes | None = None,
    private_from: bytes = KEY_A,
    private_for: Sequence[bytes] = (KEY_B,),
    value: int = 0,
    gas: int = 3_000_000,
    price: int = 0,
    chain_id: int | None = CHAIN_ID,
    restriction: bytes = b"restricted",
) -> PrivateTransaction:
    """A signed private transaction, for `group` or else from and for keys."""
    head: list[RlpValue] = [
        rlp.encode_scalar(nonce), rlp.encode_scalar(price), rlp.encode_scalar(gas),
        to or b"", rlp.encode_scalar(value), data,
    ]  # fmt: skip
    tail: list[RlpValue] = [private_from, list(private_for) if group is None else group, restriction]
    protected: list[RlpValue] = [] if chain_id is None else [rlp.encode_scalar(chain_id), b"", b""]
    signature = sign(keccak256(rlp.encode([*head, *protected, *tail])), key.private_key)
    v = signature[64] + (27 if chain_id is None else 35 + 2 * chain_id)
    r, s = signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")
    return PrivateTransaction.decode(rlp.encode([*head, rlp.encode_scalar(v), r, s, *tail]))


def root_replaced(member: Member, group_id: bytes, root: bytes) -> None:
    """Put another root in the place of a group's last one, as a damaged disk or an intruder would."""
    with member.privacy_controller._context.database.write() as batch:
        key, _ = next(iter(batch.items(ROOTS, group_id)))
        batch.put(ROOTS, key, root)


def word(value: int | bytes) -> bytes:
    """32 bytes of a number or of an address."""
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\0")


# -- contracts -----------------------------------------------------------------------------------------------------


def deploying(code: bytes) -> bytes:
    """Init code that makes a contract with `code`."""
    return b"\x61" + len(code).to_bytes(2) + bytes.fromhex("80600c6000396000f3") + code


TOPIC = b"\x11" * 32
KEEPER = bytes.fromhex(
    "36600f5760005460005260206000f35b" + "600035600055" + "600035600052" + "7f" + TOPIC.hex() + "60206000a100"
)
"""Without input it returns its slot 0; otherwise it stores its first word there and logs it."""

REVERTER = bytes.fromhex("7f08c379a0" + "00" * 28 + "600052" + "60046000fd")
"""Reverts with four bytes."""

READER = bytes.fromhex("60206000600060006000" + "600035" + "5af150" + "600051600055" + "00")
"""Calls the address in its input and stores what comes back."""

WRITER = bytes.fromhex("602035600052" + "60006000602060006000" + "600035" + "5af1" + "600055" + "00")
"""Calls the address in its input with the second word of it, and stores whether that succeeded."""

LOOP = bytes.fromhex("5b600056")
"""Never ends."""


def storing_around(callee: bytes) -> bytes:
    """Stores 1 in slot 0, calls `callee`, and stores 2 in slot 1."""
    call = "60006000600060006000" + "73" + callee.hex() + "5af150"
    return bytes.fromhex("6001600055" + call + "6002600155" + "00")


def creating() -> bytes:
    """Creates an empty contract and stores its address in slot 0."""
    return bytes.fromhex("600060006000f0" + "600055" + "00")


def destroying(heir: bytes) -> bytes:
    """Self-destructs in favour of `heir`."""
    return bytes.fromhex("73" + heir.hex() + "ff")
