"""The machine among others like it, with immediate delivery; and the bench on which the other consensus tests put one
machine alone."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import coincurve

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import (
    BuildBlock,
    CheckProposal,
    Effect,
    ImportBlock,
    RecordDraft,
    RecordPrepared,
    RedeliverMessage,
    SendMessage,
    SignPayload,
    StartBlockTimer,
    StartRoundTimer,
    WriteLogLine,
)
from lacnode.consensus.bft.events import (
    BlockBuilt,
    BlockTimerExpired,
    Event,
    HeadChanged,
    MessageReceived,
    PayloadSigned,
    ProposalChecked,
    RoundTimerExpired,
    SigningRefused,
)
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.header_rules import MIX_HASH, HeaderContext, check_sealed_header_rules
from lacnode.consensus.bft.journal import ContradictionError, Journal
from lacnode.consensus.bft.message_buffers import MessageLimits
from lacnode.consensus.bft.messages import Commit, Justification, Message, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    Payload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.ibft2.messages import decode_message, encode_message
from lacnode.consensus.ibft2.payloads import prepared_certificate, signature_hash
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import CURVE_ORDER, is_low_s
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT
from tests.support.ibft2_blocks import IBFT2_ONLY, sign_payload

E = TypeVar("E", bound=Effect)
M = TypeVar("M", Proposal, Prepare, Commit, RoundChange)
P = TypeVar("P", ProposalPayload, PreparePayload, CommitPayload, RoundChangePayload)

KEYS = sorted((NodeKey.from_private_key(number.to_bytes(32)) for number in range(1, 11)), key=lambda key: key.address)
A, B, C, D = FOUR = sorted(
    (NodeKey.from_private_key(number.to_bytes(32)) for number in range(1, 5)), key=lambda key: key.address
)
SEVEN = [*FOUR, *(key for key in KEYS if key not in FOUR)][:7]
STRANGER = NodeKey.from_private_key((99).to_bytes(32))
GENESIS_TIME = 1_600_000_000
PERIOD_MS, TIMEOUT_MS = 2000, 4000


def addresses(keys: Iterable[NodeKey]) -> tuple[bytes, ...]:
    return tuple(sorted(key.address for key in keys))


def make_block(
    parent: BlockHeader | None,
    creator: bytes,
    validators: tuple[bytes, ...],
    round_: int = 0,
    *,
    timestamp: int | None = None,
    vanity: bytes = bytes(32),
) -> Block:
    """An empty block on `parent`, or a genesis."""
    header = BlockHeader(
        parent_hash=bytes(32) if parent is None else on_chain_hash(parent),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=creator,
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=1,
        number=0 if parent is None else parent.number + 1,
        gas_limit=10_000_000,
        gas_used=0,
        timestamp=timestamp or (GENESIS_TIME if parent is None else parent.timestamp + PERIOD_MS // 1000),
        extra_data=encode_extra_data(ExtraData(vanity, validators, None, round_)),
        mix_hash=MIX_HASH,
        nonce=bytes(8),
    )
    return Block(header, BlockBody())


def signed(payload: P, key: NodeKey) -> SignedPayload[P]:
    result = sign_payload(payload, key)
    assert isinstance(result.payload, type(payload))
    return SignedPayload(result.payload, result.signature, result.author)


def signed_again(message: M) -> M:
    """The message with another valid signature of its author."""
    key = next(number for number in range(1, 11) if _is_key_of(number, message.signed.author))
    nonce = 77
    point = coincurve.PublicKey.from_secret(nonce.to_bytes(32)).format(compressed=False)
    r, v = int.from_bytes(point[1:33]), point[-1] % 2
    digest = int.from_bytes(signature_hash(message.signed.payload))
    s = pow(nonce, -1, CURVE_ORDER) * (digest + r * key) % CURVE_ORDER
    signature = r.to_bytes(32) + s.to_bytes(32) + bytes([v])
    if not is_low_s(signature):
        signature = r.to_bytes(32) + (CURVE_ORDER - s).to_bytes(32) + bytes([1 - v])
    return replace(message, signed=replace(message.signed, signature=signature))


def _is_key_of(number: int, address: bytes) -> bool:
    return NodeKey.from_private_key(number.to_bytes(32)).address == address


def propose(key: NodeKey, block: Block, certificate: Iterable[RoundChange] | None = None) -> Proposal:
    """`block` proposed by `key` for the round in its extra data."""
    round_ = decode_extra_data(block.header.extra_data).round
    payload = ProposalPayload(RoundId(block.number, round_), committed_seal_hash(block.header))
    round_changes = None if certificate is None else tuple(message.signed for message in certificate)
    return Proposal(signed(payload, key), block, Justification(round_changes))


def prepare(key: NodeKey, proposal: Proposal) -> Prepare:
    payload = proposal.signed.payload
    return Prepare(signed(PreparePayload(payload.round_id, payload.digest), key))


def commit(key: NodeKey, proposal: Proposal) -> Commit:
    payload = proposal.signed.payload
    return Commit(signed(CommitPayload(payload.round_id, payload.digest), key))


def prepared_by(proposal: Proposal, *keys: NodeKey) -> PreparedBlock:
    """`proposal` with the prepares of `keys`."""
    prepares = tuple(prepare(key, proposal).signed for key in keys)
    return PreparedBlock(prepared_certificate(proposal.signed, prepares), proposal.block)


def round_change(key: NodeKey, target: int, prepared: PreparedBlock | None = None, height: int = 1) -> RoundChange:
    certificate = None if prepared is None else prepared.certificate
    payload = RoundChangePayload(RoundId(height, target), certificate)
    return RoundChange(signed(payload, key), None if prepared is None else prepared.block)


class Bench:
    """One machine with its journal, told what happens and asked what it did.

    Signing, checking and building are answered at once. `judge` says what is wrong with a block, None if nothing;
    `signs` whether the signer answers; with `checks_wait` checks are left to the test.
    """

    def __init__(
        self,
        key: NodeKey,
        keys: Iterable[NodeKey] = FOUR,
        *,
        records: Iterable[bytes] = (),
        head: BlockHeader | None = None,
        period_ms: int = PERIOD_MS,
        timeout_ms: int = TIMEOUT_MS,
        limits: MessageLimits | None = None,
    ) -> None:
        self.key = key
        self.validators = addresses(keys)
        self.genesis = make_block(None, bytes(20), self.validators).header
        self.head = head or self.genesis
        self.period_ms, self.timeout_ms = period_ms, timeout_ms
        self.now_ms = self.head.timestamp * 1000
        self.records = list(records)
        self.journal = Journal.restore(self.records, IBFT2_ONLY)
        self.machine = BftController(key.address, self.journal, IBFT2_ONLY, limits)
        self.effects: list[Effect] = []
        self.judge: Callable[[Block], str | None] = lambda block: None
        self.signs = True
        self.checks_wait = False

    def start(self) -> "Bench":
        self.new_head(self.head)
        return self

    def new_head(self, header: BlockHeader) -> list[Effect]:
        self.head = header
        self.records = self.journal.forget_final_blocks(header.number)
        return self.give(HeadChanged(header, self.validators, self.period_ms, self.timeout_ms))

    def restarted(self) -> "Bench":
        """The same validator after the power went: only the records are left."""
        again = Bench(self.key, KEYS, records=self.records, head=self.head)
        again.validators, again.period_ms, again.timeout_ms = self.validators, self.period_ms, self.timeout_ms
        return again.start()

    def give(self, event: Event) -> list[Effect]:
        """The effects of `event` and of the answers to them."""
        events, seen = deque([event]), []
        while events:
            for effect in self.machine.handle(events.popleft(), self.now_ms):
                seen.append(effect)
                events.extend(self._answer(effect))
        self.effects += seen
        return seen

    def hear(self, *messages: Message, via: bytes | None = None) -> list[Effect]:
        """Messages from their authors, or brought by the peer `via`."""
        effects: list[Effect] = []
        for message in messages:
            sender = message.signed.author if via is None else via
            effects += self.give(MessageReceived(message.kind, encode_message(message), sender))
        return effects

    def expire_round(self) -> list[Effect]:
        """The round timer fires, as often as the current round's slices need."""
        before = self.machine.status.round
        effects: list[Effect] = []
        while self.machine.status.round == before and len(effects) < 1000:
            effects += self.give(RoundTimerExpired(self.head.number + 1, before))
            if not effects:
                break
        return effects

    def make_block(self, round_: int = 0, vanity: bytes = bytes(32)) -> Block:
        """A valid block on the head by the proposer of `round_`."""
        place = (round_ + self._first_proposer()) % len(self.validators)
        return make_block(self.head, self.validators[place], self.validators, round_, vanity=vanity)

    def _first_proposer(self) -> int:
        creator = self.head.coinbase
        return self.validators.index(creator) + 1 if creator in self.validators else 0

    def _answer(self, effect: Effect) -> list[Event]:
        match effect:
            case SignPayload():
                return [self._sign(effect.payload)]
            case RecordDraft():
                self.records.append(self.journal.record_draft(effect.round_id, effect.draft))
            case RecordPrepared():
                self.records.append(self.journal.record_prepared(effect.prepared))
            case CheckProposal() if not self.checks_wait:
                return [ProposalChecked(effect.round, effect.digest, self.judge(effect.block))]
            case RedeliverMessage():
                return [effect.message]
            case BuildBlock():
                block = make_block(
                    self.head, self.key.address, self.validators, effect.round, timestamp=effect.timestamp
                )
                return [BlockBuilt(effect.height, effect.round, block)]
        return []

    def _sign(self, payload: Payload) -> Event:
        try:
            self.records.append(self.journal.check_and_record(payload))
        except ContradictionError as refusal:
            return SigningRefused(payload, str(refusal))
        if not self.signs:
            return SigningRefused(payload, "the signer does not answer")
        return PayloadSigned(sign_payload(payload, self.key))


def only(kind: type[E], effects: Iterable[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(kind: type[M], effects: Iterable[Effect], author: bytes | None = None) -> list[M]:
    """The messages of this kind that were sent (by `author`, if given), decoded."""
    messages = [decode_message(send.code, send.data) for send in only(SendMessage, effects)]
    return [message for message in messages if isinstance(message, kind) and author in (None, message.signed.author)]


def topics(effects: Iterable[Effect]) -> list[str]:
    return [note.topic for note in only(WriteLogLine, effects)]


class Network:
    """Validators that hear each other at once; time passes only in `next_block` and `wait_round`."""

    def __init__(self, keys: list[NodeKey], period_ms: int = PERIOD_MS) -> None:
        self.benches = {key.address: Bench(key, keys, period_ms=period_ms) for key in keys}
        self.silent: set[bytes] = set()
        self.chain = [next(iter(self.benches.values())).genesis]
        self._mail: deque[tuple[bytes, SendMessage]] = deque()

    def start(self) -> None:
        for address, bench in self.benches.items():
            self.post(address, bench.start().effects)

    def post(self, author: bytes, effects: Iterable[Effect]) -> None:
        """Take what `author` did: post its messages, import its block."""
        for effect in list(effects):
            if author in self.silent:
                return
            if isinstance(effect, SendMessage):
                self._mail.append((author, effect))
            elif isinstance(effect, ImportBlock):
                self._import(author, effect.block)

    def _import(self, address: bytes, block: Block) -> None:
        bench = self.benches[address]
        context = HeaderContext(
            bench.head, on_chain_hash(bench.head), bench.validators, bench.now_ms / 1000, bench.period_ms
        )
        check_sealed_header_rules(IBFT2, block.header, context)
        if block.number == len(self.chain):
            self.chain.append(block.header)
        assert on_chain_hash(self.chain[block.number]) == on_chain_hash(block.header)
        self.post(address, bench.new_head(block.header))

    def settle(self) -> None:
        """Deliver until nobody has anything to say."""
        for _ in range(100_000):
            if not self._mail:
                return
            author, send = self._mail.popleft()
            for address in send.recipients - self.silent:
                bench = self.benches[address]
                self.post(address, bench.give(MessageReceived(send.code, send.data, author)))
        raise AssertionError("the validators never stop talking")

    def next_block(self) -> BlockHeader:
        """The block timer of whoever has one fires."""
        height = len(self.chain)
        for address, bench in self.benches.items():
            timers = [timer for timer in only(StartBlockTimer, bench.effects) if timer.height == height]
            if timers:
                bench.now_ms = max(bench.now_ms, timers[-1].due_ms)
                for other in self.benches.values():
                    other.now_ms = max(other.now_ms, bench.now_ms)
                self.post(address, bench.give(BlockTimerExpired(height, timers[-1].round)))
        self.settle()
        return self.chain[-1]

    def wait_round(self) -> None:
        """Everybody's round timer fires."""
        for address, bench in self.benches.items():
            if address not in self.silent:
                bench.now_ms += only(StartRoundTimer, bench.effects)[-1].delay_ms
                self.post(address, bench.expire_round())
        self.settle()


def test_four_validators_make_blocks_in_turn() -> None:
    network = Network(FOUR)
    network.start()
    for number in range(1, 9):
        header = network.next_block()
        assert header.number == number
        assert header.coinbase == FOUR[(number - 1) % 4].address
        assert decode_extra_data(header.extra_data).round == 0


def test_networks_of_every_small_size_make_blocks() -> None:
    for size in (1, 2, 3, 5, 7, 10):
        network = Network(KEYS[:size])
        network.start()
        assert [network.next_block().number for _ in range(3)] == [1, 2, 3]


def test_one_silent_proposer_of_four_costs_one_round() -> None:
    network = Network(FOUR)
    network.silent = {A.address}
    network.start()
    network.wait_round()
    assert network.chain[-1].number == 1
    assert decode_extra_data(network.chain[-1].extra_data).round == 1
    assert network.chain[-1].coinbase == B.address


def test_a_period_below_one_second_makes_blocks_with_equal_timestamps() -> None:
    network = Network(FOUR, period_ms=200)
    network.start()
    times = [network.next_block().timestamp for _ in range(12)]
    assert times == sorted(times)
    assert len(set(times)) < len(times)


def test_a_lone_validator_finalises_without_waiting_for_anybody() -> None:
    network = Network([A])
    network.start()
    assert network.next_block().number == 1
    bench = network.benches[A.address]
    again = bench.restarted()
    timer = only(StartBlockTimer, again.effects)[-1]
    again.now_ms = timer.due_ms
    effects = again.give(BlockTimerExpired(timer.height, 0))
    assert [effect.block.number for effect in only(ImportBlock, effects)] == [2]
    assert not only(SendMessage, effects)
