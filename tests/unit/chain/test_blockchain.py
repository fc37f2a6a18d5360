"""The chain as validators and synchronisers use it: propose, check, seal, import; on a real engine, in memory."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lacnode.chain import chain_store, proposal_sizes
from lacnode.chain.block_errors import BlockRefusedError, UnknownParentError, WrongGenesisError
from lacnode.chain.blockchain import Blockchain, ChainSettings, NewHead
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chain.log_filter import LogFilter
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import recover_address, recover_sender, sign
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import AncestorHash, ExecutedBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.rejection import RejectionReason
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.ordered_root import ordered_root
from lacnode.primitives.receipt import Log
from lacnode.primitives.transaction import Transaction, encode_signed_transaction
from lacnode.storage.database import Batch, Database
from lacnode.storage.environment import Environment
from lacnode.storage.layers import Layer
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.storage.storage_errors import StorageFullError
from tests.support.ibft2_blocks import with_round, with_seals

KEYS = sorted((NodeKey.from_private_key(bytes([n]) * 32) for n in range(1, 5)), key=lambda key: key.address)
ADDRESSES = tuple(key.address for key in KEYS)
STRANGER = NodeKey.from_private_key(b"\x77" * 32)
PAYER = NodeKey.from_private_key(b"\x33" * 32)
GENESIS_TIME = 1_600_000_000
NOW = float(GENESIS_TIME + 1_000_000)

LOGGER = bytes.fromhex("6000356000527f" + "11" * 32 + "60206000a100")
"""Emits LOG1 of its first input word under the topic 0x11..11."""
LOGGER_ADDRESS = b"\x99" * 20
REVERTER = bytes.fromhex("60aa60005260206000fd")
REVERTER_ADDRESS = b"\x98" * 20
TOPIC = b"\x11" * 32


def genesis(validators: Sequence[NodeKey] = KEYS, **ibft: object) -> dict[str, object]:
    transitions = ibft.pop("transitions", [])
    return {
        "config": {
            "chainId": 1337,
            "berlinBlock": 0,
            "ibft2": {"blockperiodseconds": 1, "epochlength": 30_000, "requesttimeoutseconds": 2, **ibft},
            "transitions": {"ibft2": transitions},
        },
        "nonce": "0x0",
        "timestamp": hex(GENESIS_TIME),
        "extraData": to_hex(encode_extra_data(ExtraData(bytes(32), tuple(key.address for key in validators)))),
        "gasLimit": "0x989680",
        "difficulty": "0x1",
        "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
        "coinbase": "0x0000000000000000000000000000000000000000",
        "alloc": {
            to_hex(PAYER.address): {"balance": "1000000000000000000000"},
            to_hex(LOGGER_ADDRESS): {"balance": "0", "code": to_hex(LOGGER)},
            to_hex(REVERTER_ADDRESS): {"balance": "0", "code": to_hex(REVERTER)},
        },
    }


class CountingEngine(PyEvmEngine):
    """Counts executions of whole blocks."""

    executions = 0

    def execute(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        self.executions += 1
        return super().execute(parent_state_root, header, transactions, ancestor_hash, budget)


@dataclass
class Offer:
    """A candidate that remembers its verdict."""

    transaction: Transaction
    sender: bytes = PAYER.address
    verdict: str | RejectionReason | None = None
    is_expected_slow: bool = False

    def included(self) -> None:
        self.verdict = "included"

    def skipped(self) -> None:
        self.verdict = "skipped"

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        self.verdict = "held up" if was_held_up else "interrupted"

    def dropped(self, reason: RejectionReason) -> None:
        self.verdict = reason


def transaction(nonce: int, to: bytes | None = b"\x01" * 20, gas: int = 100_000, data: bytes = b"") -> Transaction:
    payload = [
        rlp.encode_scalar(nonce),
        rlp.encode_scalar(1_000),
        rlp.encode_scalar(gas),
        to or b"",
        rlp.encode_scalar(0),
        data,
    ]
    digest = keccak256(rlp.encode([*payload, rlp.encode_scalar(1337), b"", b""]))
    signature = sign(digest, PAYER.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return Transaction.decode(encode_signed_transaction(0, payload, 1337 * 2 + 35 + signature[64], r, s))


@dataclass
class Network:
    """One chain and the keys to seal its blocks."""

    chain: Blockchain
    engine: CountingEngine
    database: Database
    heads: list[NewHead] = field(default_factory=list)

    def build(
        self, offers: Sequence[Offer] = (), *, vote: Vote | None = None, coinbase: bytes | None = None, step: int = 1
    ) -> Block:
        head = self.chain.head.header
        validators = self.chain.validators_after(head)
        extra = encode_extra_data(ExtraData(bytes(32), validators, vote))
        return self.chain.build_block(
            head.timestamp + step, coinbase or validators[0], extra, offers, time.monotonic() + 30
        )

    def grow(self, offers: Sequence[Offer] = (), *, vote: Vote | None = None, coinbase: bytes | None = None) -> Block:
        block = sealed(self.build(offers, vote=vote, coinbase=coinbase), self.chain)
        assert self.chain.import_block(block)
        return block


def sealed(block: Block, chain: Blockchain, keys: Sequence[NodeKey] = (*KEYS, STRANGER)) -> Block:
    validators = chain.validators_after(chain.head.header)
    digest = committed_seal_hash(block.header)
    return with_seals(block, tuple(sign(digest, key.private_key) for key in keys if key.address in validators))


def network(
    document: dict[str, object] | None = None, database: Database | None = None, settings: ChainSettings | None = None
) -> Network:
    spec = parse_genesis(document or genesis())
    database = database or MemoryDatabase()
    engine = CountingEngine(spec, DatabaseNodeStore(database))
    made = Network(Blockchain(spec, database, engine, settings=settings, now=lambda: NOW), engine, database)
    made.chain.on_head(made.heads.append)
    return made


class TestOpening:
    def test_stores_the_genesis_once(self) -> None:
        database = MemoryDatabase()
        first, again = network(database=database), network(database=database)
        assert first.chain.genesis_hash == again.chain.genesis_hash == first.chain.head.hash
        assert again.chain.block_at(0) == first.chain.genesis
        assert again.chain.state_at(again.chain.head.header).balance(PAYER.address) == 10**21

    def test_goes_on_where_it_was(self) -> None:
        database = MemoryDatabase()
        network(database=database).grow()
        assert network(database=database).chain.head.header.number == 1

    def test_refuses_another_networks_data(self) -> None:
        database = MemoryDatabase()
        network(database=database)
        with pytest.raises(WrongGenesisError, match="another network"):
            network(genesis(KEYS[:1]), database)


class TestImport:
    def test_a_sender_is_recovered_once_from_the_pool_to_the_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        recovered = list[bytes]()

        def counted(digest: bytes, signature: bytes) -> bytes:
            recovered.append(digest)
            return recover_address(digest, signature)

        monkeypatch.setattr("lacnode.crypto.secp256k1.recover_address", counted)
        sent = [transaction(nonce, data=b"recovered once") for nonce in range(3)]
        assert [recover_sender(each) for each in sent] == [PAYER.address] * 3
        assert recovered == [each.signing_hash() for each in sent]
        net = network()
        block = Block.decode(net.build([Offer(each) for each in sent]).encode())
        net.chain.check_proposal(block)
        assert net.chain.import_block(sealed(block, net.chain))
        late = network()
        assert late.chain.import_block(sealed(block, late.chain))
        assert len(recovered) == 3

    @pytest.mark.parametrize("bound", ["MAX_PROPOSAL_LOG_BYTES", "MAX_PROPOSAL_MEMORY_BYTES"])
    def test_a_proposal_has_bounds_on_memory_and_logs_until_a_quorum_has_prepared_it(
        self, bound: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        block = network().build([Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))])
        checking, importing = network(), network()
        checking.chain.check_proposal(block)
        monkeypatch.setattr(proposal_sizes, bound, 20)
        checking = network()
        with pytest.raises(BlockRefusedError, match="more than 20 bytes") as refused:
            checking.chain.check_proposal(block)
        assert refused.value.rule == "proposal-size"
        checking.chain.check_proposal(block, is_prepared=True)
        for each in (checking, importing):
            assert each.chain.import_block(sealed(block, each.chain))

    def test_the_bounds_on_proposals_end_when_more_proposers_than_may_be_faulty_are_beyond_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in a network with validators of Besu, which has no such bounds: their pools keep the transaction."""
        offers = [Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))]
        blocks = [network().build(offers, coinbase=each) for each in ADDRESSES]
        monkeypatch.setattr(proposal_sizes, "MAX_PROPOSAL_LOG_BYTES", 20)
        checking = network()
        # One of four may be faulty, as often as it likes.
        for proposed in (blocks[0], blocks[0], blocks[0], blocks[1]):
            with pytest.raises(BlockRefusedError, match="more than 20 bytes"):
                checking.chain.check_proposal(proposed)
        for proposed in blocks:
            checking.chain.check_proposal(proposed)

    def test_encoded_receipts_are_read_without_decoding_their_logs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Peers ask for them. A block may have a million logs."""
        net = network()
        net.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=bytes(32))) for nonce in range(2)])
        hash_ = net.chain.head.hash
        records = net.chain.receipt_records_of(hash_)
        assert records is not None
        monkeypatch.delattr(Log, "from_item")
        assert net.chain.encoded_receipts_of(hash_) == tuple(record.receipt.encode() for record in records)
        assert net.chain.encoded_receipts_of(bytes(32)) is None

    def test_a_proposal_is_executed_once_until_it_is_imported(self) -> None:
        proposer, other = network(), network()
        block = proposer.build([Offer(transaction(0))])
        other.chain.check_proposal(block)
        other.chain.check_proposal(with_round(block, 3))
        assert other.chain.head.header.number == 0
        assert other.chain.block_of(on_chain_hash(block.header)) is None
        final = sealed(with_round(block, 3), other.chain)
        assert other.chain.import_block(final)
        assert other.engine.executions == 1
        assert proposer.chain.import_block(final)
        assert proposer.engine.executions == 0
        assert other.chain.head == proposer.chain.head

    def test_a_kept_execution_serves_only_the_same_transactions(self) -> None:
        net = network()
        block = net.build([Offer(transaction(0))])
        swapped = Block(sealed(block, net.chain).header, BlockBody((transaction(0, b"\x05" * 20),)))
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.import_block(swapped)
        assert refused.value.rule == "transactions-root"

    def test_a_known_block_is_no_news(self) -> None:
        net = network()
        block = net.grow()
        assert not net.chain.import_block(block)
        assert not net.chain.import_block(with_seals(block, ()))
        assert len(net.heads) == 1

    def test_an_unknown_parent_is_named(self) -> None:
        ahead, behind = network(), network()
        ahead.grow()
        second = ahead.grow()
        with pytest.raises(UnknownParentError) as refused:
            behind.chain.import_block(second)
        assert refused.value.parent_hash == second.header.parent_hash

    def test_a_final_block_has_no_rival(self) -> None:
        net = network()
        rival = sealed(net.build(step=2), net.chain)
        net.grow()
        for action in (net.chain.import_block, net.chain.check_proposal):
            with pytest.raises(BlockRefusedError) as refused:
                action(rival)
            assert refused.value.rule == "finality"

    def test_seals_are_for_imports_alone(self) -> None:
        net = network()
        block = net.build()
        net.chain.check_proposal(block)
        for keys in ((), KEYS[:2], (*KEYS[:3], STRANGER)):
            digest = committed_seal_hash(block.header)
            wrong = with_seals(block, tuple(sign(digest, key.private_key) for key in keys))
            with pytest.raises(BlockRefusedError) as refused:
                net.chain.import_block(wrong)
            assert refused.value.rule == "commit-seals"
        assert net.chain.import_block(sealed(block, net.chain, KEYS[:3]))

    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            ("state-root", {"state_root": bytes(32)}),
            ("receipts-root", {"receipts_root": bytes(32)}),
            ("transactions-root", {"transactions_root": bytes(32)}),
            ("logs-bloom", {"logs_bloom": b"\1" * 256}),
            ("gas-used", {"gas_used": 1}),
            ("gas-limit-delta", {"gas_limit": 11_000_000}),
            ("timestamp-spacing", {"timestamp": GENESIS_TIME}),
            ("timestamp-future", {"timestamp": int(NOW) + 2}),
            ("difficulty", {"difficulty": 2}),
            ("coinbase", {"coinbase": STRANGER.address}),
            ("extra-data", {"extra_data": b"\xc0"}),
            ("base-fee-presence", {"base_fee": 7}),
            ("withdrawals", {"base_fee": None, "withdrawals_root": bytes(32)}),
        ],
    )
    def test_each_broken_rule_has_its_name_and_leaves_nothing(self, rule: str, changes: dict[str, object]) -> None:
        net = network()
        block = net.build([Offer(transaction(0))])
        bad = block.with_header(block.header.with_changes(**changes))
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.check_proposal(bad)
        assert refused.value.rule == rule
        with pytest.raises(BlockRefusedError):
            net.chain.import_block(bad)
        assert net.chain.head.header.number == 0
        assert net.chain.hash_at(1) is None

    def test_ommers_and_withdrawals_in_a_body(self) -> None:
        net = network()
        block = net.build()
        for rule, body in (
            ("ommers", BlockBody(ommers=(block.header,))),
            ("withdrawals", BlockBody(withdrawals=())),
        ):
            with pytest.raises(BlockRefusedError) as refused:
                net.chain.check_proposal(Block(block.header, body))
            assert refused.value.rule == rule

    def test_an_invalid_transaction_spoils_the_block(self) -> None:
        net = network()
        block = net.build([Offer(transaction(0))])
        bad = transaction(5)
        header = block.header.with_changes(transactions_root=ordered_root([bad.raw]))
        with pytest.raises(BlockRefusedError, match="NONCE_TOO_HIGH") as refused:
            net.chain.check_proposal(Block(header, BlockBody((bad,))))
        assert refused.value.rule == "transaction"


class TestListeners:
    def test_hear_of_a_head_they_can_read(self) -> None:
        net = network()
        seen = []

        def listener(news: NewHead) -> None:
            seen.append((news.hash, net.chain.head.hash, net.chain.block_of(news.hash) == news.block))

        def failing(news: NewHead) -> None:
            raise RuntimeError("a listener's own trouble")

        net.chain.on_head(failing)
        net.chain.on_head(listener)
        net.grow([Offer(transaction(0, LOGGER_ADDRESS, data=b"\x07" * 32))])
        assert seen == [(net.chain.head.hash, net.chain.head.hash, True)]
        assert [log.log.topics for log in net.heads[0].logs] == [(TOPIC,)]
        assert net.heads[0].receipt_records[0].sender == PAYER.address


class FullDatabase(MemoryDatabase):
    """Has no room for a batch when told so."""

    full = False

    @contextmanager
    def write(self) -> Iterator[Batch]:
        with super().write() as batch:
            yield batch
            if self.full:
                raise StorageFullError("no space left")


def test_a_full_disk_leaves_the_head_where_it_was_and_the_block_can_come_again() -> None:
    database = FullDatabase()
    net = network(database=database)
    block = sealed(net.build([Offer(transaction(0))]), net.chain)
    database.full = True
    with pytest.raises(StorageFullError):
        net.chain.import_block(block)
    assert net.chain.head.header.number == 0
    assert not net.heads
    assert net.chain.hash_at(1) is None
    database.full = False
    assert net.chain.import_block(block)
    assert net.chain.transaction_location(block.transactions[0].hash) is not None


class TestBuilding:
    def test_says_what_became_of_every_candidate(self) -> None:
        net = network()
        offers = [
            Offer(transaction(0)),
            Offer(transaction(2)),
            Offer(transaction(0, b"\x02" * 20)),
            Offer(transaction(1)),
        ]
        block = net.grow(offers)
        assert [offer.verdict for offer in offers] == [
            "included",
            "skipped",
            RejectionReason.NONCE_TOO_LOW,
            "included",
        ]
        assert block.transactions == (offers[0].transaction, offers[3].transaction)

    def test_skips_what_does_not_fit_until_the_block_is_full_enough(self) -> None:
        net = network()
        offers = [
            Offer(transaction(0, gas=9_990_000)),
            Offer(transaction(1, gas=9_990_000)),
            Offer(transaction(1, gas=21_000)),
        ]
        block = net.build(offers)
        assert [offer.verdict for offer in offers] == ["included", "skipped", "included"]
        assert len(block.transactions) == 2

    def test_stops_when_nothing_fits_and_the_block_is_full_enough(self) -> None:
        net = network(settings=ChainSettings(min_occupancy_ratio=0.002))
        offers = [Offer(transaction(0)), Offer(transaction(1, gas=9_990_000)), Offer(transaction(1))]
        net.build(offers)
        assert [offer.verdict for offer in offers] == ["included", None, None]

    def test_stops_at_its_deadline(self) -> None:
        net = network()
        head = net.chain.head.header
        extra = encode_extra_data(ExtraData(bytes(32), ADDRESSES))
        offer = Offer(transaction(0))
        block = net.chain.build_block(head.timestamp + 1, ADDRESSES[0], extra, [offer], time.monotonic() - 1)
        assert not block.transactions
        assert offer.verdict is None

    def test_moves_the_gas_limit_towards_its_target(self) -> None:
        net = network(settings=ChainSettings(gas_limit_target=20_000_000))
        net.grow()
        assert net.chain.head.header.gas_limit == 10_000_000 + 10_000_000 // 1024 - 1

    def test_pays_the_base_fee_it_announced(self) -> None:
        assert network().chain.next_base_fee(GENESIS_TIME + 1) is None
        document = genesis()
        document["config"] = {**document["config"], "londonBlock": 1}  # type: ignore[dict-item]
        net = network(document)
        fee = net.chain.next_base_fee(GENESIS_TIME + 1)
        block = net.grow()
        assert block.header.base_fee == fee == 1_000_000_000
        assert block.header.gas_limit == 2 * 10_000_000
        assert net.grow().header.base_fee == fee - fee // 8

    def test_keeps_reasons_of_reverts_only_when_asked(self) -> None:
        for keep in (False, True):
            net = network(settings=ChainSettings(keep_revert_reasons=keep))
            net.grow([Offer(transaction(0, REVERTER_ADDRESS))])
            receipt_records = net.chain.receipt_records_of(net.chain.head.hash)
            assert receipt_records is not None
            assert receipt_records[0].receipt.status == 0
            assert receipt_records[0].revert_reason == (b"\0" * 31 + b"\xaa" if keep else None)


class TestLogs:
    def test_are_found_by_range_address_and_topic(self) -> None:
        net = network()
        for nonce in range(3):
            net.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=bytes([nonce]) * 32))])
            net.grow()
        wanted = LogFilter((LOGGER_ADDRESS,), ((TOPIC,),))
        found = list(net.chain.logs(0, 100, wanted))
        assert [(log.block_number, log.log.data[:1], log.log_index) for log in found] == [
            (1, b"\0", 0),
            (3, b"\1", 0),
            (5, b"\2", 0),
        ]
        assert [log.block_number for log in net.chain.logs(2, 4, LogFilter())] == [3]
        assert list(net.chain.logs(0, 100, LogFilter((STRANGER.address,)))) == []
        assert net.chain.logs_of_block(net.chain.hash_at(3) or b"", wanted) == (found[1],)
        assert net.chain.logs_of_block(bytes(32), wanted) == ()

    def test_are_decoded_only_of_a_block_whose_bloom_may_match(self, monkeypatch: pytest.MonkeyPatch) -> None:
        net, decoded = network(), list[bytes]()
        net.grow([Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))])
        hash_ = net.chain.head.hash
        for strange in (LogFilter((STRANGER.address,)), LogFilter((), ((b"\x77" * 32,),))):
            assert net.chain.logs_of_block(hash_, strange, decoded.append) == ()
            assert list(net.chain.logs(0, 100, strange, check_block=decoded.append)) == []
        with monkeypatch.context() as patched:
            patched.setattr(chain_store, "decode_receipt_records", None)
            assert net.chain.logs_of_block(hash_, LogFilter((STRANGER.address,))) == ()
        assert decoded == []
        assert len(net.chain.logs_of_block(hash_, LogFilter(), decoded.append)) == 1
        assert len(list(net.chain.logs(0, 100, LogFilter(), check_block=decoded.append))) == 1
        assert decoded == [hash_] * 2


class TestValidators:
    def test_votes_change_the_set_when_most_agree(self) -> None:
        net = network()
        vote = Vote(STRANGER.address, VoteType.ADD)
        for address in ADDRESSES[:2]:
            net.grow(vote=vote, coinbase=address)
        assert net.chain.validators_after(net.chain.head.header) == ADDRESSES
        net.grow(vote=vote, coinbase=ADDRESSES[2])
        assert STRANGER.address in net.chain.validators_after(net.chain.head.header)
        net.grow()
        reopened = network(database=net.database)
        assert reopened.chain.validators_after(reopened.chain.head.header) == tuple(
            sorted((*ADDRESSES, STRANGER.address))
        )

    def test_an_epoch_forgets_votes_and_keeps_the_set(self) -> None:
        net = network(genesis(epochlength=3))
        vote = Vote(STRANGER.address, VoteType.ADD)
        for address in ADDRESSES[:3]:
            net.grow(vote=vote, coinbase=address)  # the third is in block 3, an epoch block
        assert net.chain.validators_after(net.chain.head.header) == ADDRESSES
        assert network(genesis(epochlength=3), net.database).chain.tally_after(net.chain.head.header).additions == {}

    def test_a_transition_replaces_the_set(self) -> None:
        validators = [to_hex(address) for address in ADDRESSES[:2]]
        document = genesis(transitions=[{"block": 3, "validators": validators}])
        net = network(document)
        net.grow()
        net.grow(vote=Vote(STRANGER.address, VoteType.ADD))
        tally = net.chain.tally_after(net.chain.head.header)
        assert tally.validators == ADDRESSES[:2]
        assert tally.additions[STRANGER.address] == frozenset({ADDRESSES[0]})
        net.grow()
        assert network(document, net.database).chain.tally_after(net.chain.head.header) == tally


def test_bulk_import_shows_each_block_at_once() -> None:
    ahead, behind = network(), network()
    blocks = [ahead.grow() for _ in range(5)]
    with behind.chain.bulk_import():
        for block in blocks:
            behind.chain.import_block(block)
            assert behind.chain.block_at(block.number) == block
    assert behind.chain.head == ahead.chain.head


def test_a_bulk_import_that_cannot_be_written_takes_its_blocks_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = LmdbDatabase(tmp_path, durable=False)
    ahead, behind = network(), network(database=database)
    blocks = [ahead.grow() for _ in range(3)]

    def failing(environment: Environment, layers: Sequence[Layer]) -> None:
        raise StorageFullError("no space left")

    def import_all() -> None:
        with behind.chain.bulk_import():
            for block in blocks:
                behind.chain.import_block(block)

    with monkeypatch.context() as patch:
        patch.setattr(Environment, "write", failing)
        with pytest.raises(StorageFullError):
            import_all()
    assert behind.chain.head.header.number == 0
    assert behind.chain.hash_at(1) is None
    import_all()
    assert behind.chain.head == ahead.chain.head
    database.close()


def test_readers_in_other_threads_see_whole_blocks_while_the_database_grows(tmp_path: Path) -> None:
    database = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 18)
    ahead, behind = network(), network(database=database)
    blocks = [ahead.grow([Offer(transaction(nonce, LOGGER_ADDRESS, data=b"\7" * 32))]) for nonce in range(60)]
    done, troubles = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            head = behind.chain.head
            block = behind.chain.block_of(head.hash)
            logs = list(behind.chain.logs(0, head.header.number, LogFilter()))
            balance = behind.chain.state_at(head.header).balance(PAYER.address)
            if block is None or len(logs) != head.header.number or not balance:
                troubles.append(f"at block {head.header.number}: {len(logs)} logs, balance {balance}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for block in blocks:
        behind.chain.import_block(block)
    done.set()
    for reader in readers:
        reader.join(30)
    database.close()
    assert not troubles
    assert behind.chain.head == ahead.chain.head
