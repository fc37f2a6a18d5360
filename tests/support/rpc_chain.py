"""A real chain in memory with a pool and the methods of the API on it, and accounts to send from."""

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from lacnode.chain.blockchain import Blockchain, ChainSettings
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.bft.controller import ConsensusStatus
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.primitives import rlp
from lacnode.primitives.access_list import AccessListEntry
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import Transaction, encode_signed_transaction
from lacnode.rpc.dispatch import Reply, Steps
from lacnode.rpc.errors import RpcError
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import GROUPS, MethodRegistry
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.services import ChainCaches, NetworkView, NodeFacts, NodeStatusReaders, RoleView, RpcServices, SyncView
from lacnode.rpc.settings import ApiSettings
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.txpool.admission import HeadState, TransactionAdmission
from lacnode.txpool.pool_settings import PoolSettings
from lacnode.txpool.transaction_pool import TransactionPool
from lacnode.txpool.transaction_submission import TransactionSubmission
from lacnode.workers.event_loop import EventLoop
from tests.support.ibft2_blocks import with_seals
from tests.support.permission_queries import queries_without_rules

CHAIN_ID = 648_540
GENESIS_TIME = 1_600_000_000
VALIDATOR = NodeKey.from_private_key(b"\x01" * 32)
RICH = NodeKey.from_private_key(b"\x33" * 32)
POOR = NodeKey.from_private_key(b"\x44" * 32)
CONTRACT_OWNER = NodeKey.from_private_key(b"\x55" * 32)
"""An account that has code and a key: EIP-3607."""

ETHER = 10**18
GAS_LIMIT = 10_000_000
RECIPIENT = b"\x01" * 20
LONDON = {"berlinBlock": 0, "londonBlock": 0}
BERLIN = {"berlinBlock": 0}

LOGGER_ADDRESS = b"\x99" * 20
LOGGER = bytes.fromhex("6000356000527f" + "11" * 32 + "60206000a100")
"""Emits LOG1 of its first input word under the topic 0x11..11."""

REVERTER_ADDRESS = b"\x98" * 20
REVERTER = bytes.fromhex("366000600037366000fd")
"""Reverts with its input."""

STORER_ADDRESS = b"\x97" * 20
STORER = bytes.fromhex("60003560005500")
"""Stores its first input word in slot 0."""

INVALID_ADDRESS = b"\x96" * 20
GAS_ADDRESS = b"\x95" * 20
GAS_TELLER = bytes.fromhex("5a60005260206000f3")
"""Returns the gas it has left."""

CALLER_ADDRESS = b"\x94" * 20
CALLER = bytes.fromhex("60006000602060006000" + "73" + STORER_ADDRESS.hex() + "5af1600114602b57600080fd5b00")
"""Has the storer store a zero, and reverts if that fails."""


def genesis_document(
    forks: Mapping[str, object], gas_limit: int = GAS_LIMIT, ibft: Mapping[str, object] | None = None
) -> dict[str, object]:
    code = {
        LOGGER_ADDRESS: LOGGER,
        REVERTER_ADDRESS: REVERTER,
        STORER_ADDRESS: STORER,
        INVALID_ADDRESS: b"\xfe",
        GAS_ADDRESS: GAS_TELLER,
        CALLER_ADDRESS: CALLER,
    }
    return {
        "config": {
            "chainId": CHAIN_ID,
            **forks,
            "ibft2": {"blockperiodseconds": 1, "epochlength": 30_000, "requesttimeoutseconds": 2, **(ibft or {})},
        },
        "nonce": "0x0",
        "timestamp": hex(GENESIS_TIME),
        "extraData": to_hex(encode_extra_data(ExtraData(bytes(32), (VALIDATOR.address,)))),
        "gasLimit": hex(gas_limit),
        "difficulty": "0x1",
        "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
        "coinbase": "0x0000000000000000000000000000000000000000",
        "alloc": {
            to_hex(RICH.address): {"balance": str(1000 * ETHER)},
            to_hex(CONTRACT_OWNER.address): {"balance": str(ETHER), "code": "0x00"},
            **{to_hex(address): {"balance": "0", "code": to_hex(data)} for address, data in code.items()},
        },
    }


def signed(
    key: NodeKey = RICH,
    nonce: int = 0,
    *,
    price: int = 0,
    gas: int = 100_000,
    to: bytes | None = RECIPIENT,
    value: int = 0,
    data: bytes = b"",
    chain_id: int | None = CHAIN_ID,
) -> Transaction:
    """A legacy transaction; without `chain_id` one from before EIP-155."""
    payload: list[RlpValue] = [
        rlp.encode_scalar(nonce), rlp.encode_scalar(price), rlp.encode_scalar(gas),
        to or b"", rlp.encode_scalar(value), data,
    ]  # fmt: skip
    protected = [] if chain_id is None else [rlp.encode_scalar(chain_id), b"", b""]
    signature = sign(keccak256(rlp.encode([*payload, *protected])), key.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    v = signature[64] + (27 if chain_id is None else 35 + 2 * chain_id)
    return Transaction.decode(encode_signed_transaction(0, payload, v, r, s))


def typed(
    key: NodeKey = RICH,
    nonce: int = 0,
    *,
    price: int = 0,
    fees: tuple[int, int] | None = None,
    gas: int = 100_000,
    to: bytes | None = RECIPIENT,
    data: bytes = b"",
    access_list: Sequence[AccessListEntry] = (),
) -> Transaction:
    """A transaction of type 2 with `fees` (tip, maximum), of type 1 without."""
    type_ = 1 if fees is None else 2
    prices = (price,) if fees is None else fees
    payload: list[RlpValue] = [
        rlp.encode_scalar(CHAIN_ID), rlp.encode_scalar(nonce), *map(rlp.encode_scalar, prices), rlp.encode_scalar(gas),
        to or b"", b"", data,
        [[address, list(keys)] for address, keys in access_list],
    ]  # fmt: skip
    signature = sign(keccak256(bytes([type_]) + rlp.encode(payload)), key.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return Transaction.decode(encode_signed_transaction(type_, payload, signature[64], r, s))


def high_s(transaction: Transaction) -> Transaction:
    """The same transaction under the other of its two signatures, which EIP-2 forbids."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    fields = list(rlp.decode_list(transaction.raw, "transaction"))
    flipped = transaction.v + 1 if transaction.y_parity == 0 else transaction.v - 1
    return Transaction.decode(encode_signed_transaction(0, fields[:6], flipped, transaction.r, order - transaction.s))


def answered(result: object, services: RpcServices) -> object:
    """What a method's handler gave, and where it left the rest to a reader, what that gives."""
    if isinstance(result, ReadCall):
        sent: ReadCall = pickle.loads(pickle.dumps(result))  # as it goes to a reader process
        return sent.answer(services.read_context(services.settings.call_seconds))
    return result


def finished(steps: Steps, services: RpcServices | None = None) -> Reply:
    """The reply that `steps` end with. A call that is left to a reader is answered with `services`. Without them no call
    may be left. On a busy machine any call that reads state may be: its trial of 20 ms ends before it."""
    go_on: Callable[[], object] = partial(next, steps)
    while True:
        try:
            wanted = go_on()
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply
        go_on = partial(next, steps)
        if isinstance(wanted, ReadCall):
            assert services is not None, "a call was left to a reader"
            go_on = _after_reading(steps, wanted, services)


def _after_reading(steps: Steps, call: ReadCall, services: RpcServices) -> Callable[[], object]:
    try:
        return partial(steps.send, answered(call, services))
    except Exception as error:
        return partial(steps.throw, error)


@dataclass
class RpcTestNode:
    """One node without a network."""

    chain: Blockchain
    pool: TransactionPool
    services: RpcServices
    registry: MethodRegistry
    added: list[Transaction] = field(default_factory=list)
    dropped: list[Transaction] = field(default_factory=list)

    def call(self, method: str, *params: object) -> object:
        """The result of `method`."""
        return answered(self.registry.find(method).handler(self.services, params), self.services)

    def fails(self, method: str, *params: object) -> tuple[int, str]:
        """Code and message of the error that `method` answers."""
        error = self.error(method, *params)
        return error.code, error.message

    def error(self, method: str, *params: object) -> RpcError:
        try:
            result = self.call(method, *params)
        except RpcError as error:
            return error
        raise AssertionError(f"{method} answered {result!r}")

    def send(self, *transactions: Transaction, local: bool = True, now: float = 0.0) -> None:
        for transaction in transactions:
            self.pool.add(transaction, local=local, now=now)

    def refusal(self, transaction: Transaction, *, local: bool = True) -> RejectionReason | None:
        """Why the pool refuses `transaction`, None if it took it."""
        try:
            self.pool.add(transaction, local=local, now=0.0)
        except TransactionRejectedError as rejected:
            return rejected.reason
        return None

    def build(self) -> Block:
        """A block of what the pool offers."""
        head = self.chain.head.header
        extra = encode_extra_data(ExtraData(bytes(32), (VALIDATOR.address,)))
        timestamp = head.timestamp + 1
        candidates = self.pool.candidates(self.chain.next_base_fee(timestamp), timestamp)
        return self.chain.build_block(timestamp, VALIDATOR.address, extra, candidates, time.monotonic() + 30)

    def grow(self, blocks: int = 1) -> Block:
        """Import `blocks` blocks of what the pool offers; the last one."""
        for _ in range(blocks):
            draft = self.build()
            block = with_seals(draft, (sign(committed_seal_hash(draft.header), VALIDATOR.private_key),))
            assert self.chain.import_block(block)
        return block

    @property
    def pooled(self) -> list[Transaction]:
        return [pooled.transaction for pooled in self.pool.all()]


FREE = PoolSettings(sender_share=1.0, min_gas_price=0, block_min_gas_price=0, price_bump=0)


def node(
    pool: PoolSettings = FREE,
    *,
    forks: Mapping[str, object] | None = None,
    chain: ChainSettings | None = None,
    api: ApiSettings | None = None,
    groups: Sequence[str] = GROUPS,
    permissions: AccountPermissions = ALLOW_ALL_ACCOUNTS,
    network: NetworkView | None = None,
    sync_status: Callable[[], SyncView | None] = lambda: None,
    gas_limit: int = GAS_LIMIT,
    ibft: Mapping[str, object] | None = None,
    genesis: Mapping[str, object] | None = None,
    evm: EngineKind = EngineKind.PYTHON,
) -> RpcTestNode:
    """A node whose genesis is Berlin's, without a base fee, unless `forks` or `genesis` says otherwise."""
    document = genesis or genesis_document(BERLIN if forks is None else forks, gas_limit, ibft)
    spec, database = parse_genesis(document), MemoryDatabase()
    engine = make_engine(spec, DatabaseNodeStore(database), kind=evm)
    blockchain = Blockchain(spec, database, engine, settings=chain, now=lambda: GENESIS_TIME + 1e6)

    def head() -> HeadState:
        header = blockchain.head.header
        return HeadState(header, blockchain.state_at(header))

    transactions = TransactionPool(pool, TransactionAdmission(spec, pool, head, permissions), head)
    blockchain.on_head(
        lambda new: transactions.block_imported(new.block.transactions, [o.sender for o in new.receipt_records])
    )
    queries = queries_without_rules(blockchain)
    prices = RecentPrices(blockchain, (api or ApiSettings()).gas_price_blocks)
    blockchain.on_head(prices.block_imported)
    services = RpcServices(
        chain=blockchain,
        pool=transactions,
        submission=TransactionSubmission(transactions, queries.explain_transaction),
        network=network,
        vote_proposer=VoteProposer(),
        permissions=queries,
        node=NodeFacts(648_529, "lacnode/v0.0.0/linux-x86_64/python-3.11", VALIDATOR.address),
        status=NodeStatusReaders(lambda: RoleView(None, False, None, ()), sync_status, _no_consensus),
        settings=api or ApiSettings(),
        event_loop=EventLoop(),
        caches=ChainCaches(RecentBlocks(blockchain), prices),
    )
    registry = MethodRegistry(all_methods(protocols=[name for _, name in spec.protocols]), groups)
    made = RpcTestNode(blockchain, transactions, services.for_port(registry.groups), registry)
    transactions.on_added(lambda pooled: made.added.append(pooled.transaction))
    transactions.on_dropped(lambda pooled: made.dropped.append(pooled.transaction))
    return made


def _no_consensus() -> ConsensusStatus:
    raise AssertionError("nobody takes part in consensus here")


def small_pool(size: int) -> PoolSettings:
    """A free-gas pool of `size` transactions."""
    return replace(FREE, max_size=size)
