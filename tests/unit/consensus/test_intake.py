"""Which messages are heard, kept and passed on, and what a height begins with."""

from dataclasses import replace

import pytest

from lacnode.consensus.bft import controller, relay_shares
from lacnode.consensus.bft.effects import (
    BlamePeer,
    CheckProposal,
    ImportBlock,
    PeerIsAhead,
    RedeliverMessage,
    SendMessage,
    StartRoundTimer,
    StopTimers,
    WriteLogLine,
)
from lacnode.consensus.bft.events import HeadChanged, MessageReceived, PeerConnected
from lacnode.consensus.bft.message_buffers import (
    MAX_EARLY_ROUNDS,
    MAX_FUTURE_BYTES,
    FutureMessageBuffer,
    LaterRoundVotes,
    MessageLimits,
    MessageTracker,
)
from lacnode.consensus.bft.messages import Commit, Message, Prepare, Proposal, RoundChange, round_id_of
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.consensus.bft.relay_shares import (
    MAX_RELAYED_INDIRECT_MESSAGES,
    MAX_RELAYED_MESSAGES,
    MAX_RELAYED_MESSAGES_IN_ONE_ROUND,
    MAX_RELAYED_ROUNDS,
)
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.ibft2.messages import encode_message
from lacnode.consensus.ibft2.payloads import PREPARE, PROPOSAL, signed_fields
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from tests.support.ibft2_blocks import high_s, with_round
from tests.unit.consensus.test_network import (
    FOUR,
    SEVEN,
    STRANGER,
    A,
    B,
    Bench,
    C,
    D,
    commit,
    make_block,
    only,
    prepare,
    prepared_by,
    propose,
    round_change,
    sent,
    signed,
    topics,
)


def vote(height: int = 1, round_: int = 0, key: object = C, digest: bytes = bytes(32)) -> Prepare:
    return Prepare(signed(PreparePayload(RoundId(height, round_), digest), key))  # type: ignore[arg-type]


# -- passing on ------------------------------------------------------------------------------------------------------


def test_a_message_is_passed_on_once_to_those_who_may_lack_it() -> None:
    """L32: not to the sender, not to the author, bytes unchanged."""
    bench = Bench(B).start()
    message = vote(key=C)
    [relayed] = only(SendMessage, bench.hear(message, via=D.address))
    assert relayed == SendMessage(PREPARE, encode_message(message), frozenset({A.address}), is_relayed=True)
    assert bench.hear(message, via=A.address) == []


def test_messages_of_an_earlier_round_are_passed_on_too() -> None:
    bench = Bench(B).start()
    bench.expire_round()
    assert sent(Prepare, bench.hear(vote(key=C)))


def test_one_author_without_end_is_not_passed_on_without_end() -> None:
    bench = Bench(B).start()
    flood = [vote(digest=number.to_bytes(32)) for number in range(MAX_RELAYED_MESSAGES + 20)]
    assert len(sent(Prepare, bench.hear(*flood))) == MAX_RELAYED_MESSAGES_IN_ONE_ROUND
    bench.expire_round()
    rest = len(sent(Prepare, bench.hear(*flood)))
    assert rest == MAX_RELAYED_MESSAGES - MAX_RELAYED_MESSAGES_IN_ONE_ROUND, "it has as much in the next round"
    bench.expire_round()
    assert not sent(Prepare, bench.hear(vote(digest=bytes([1]) * 32))), "but no more than that at one height"
    assert sent(Prepare, bench.hear(vote(key=D)))


def test_one_author_is_not_passed_on_once_more_by_each_relay() -> None:
    bench = Bench(B, SEVEN).start()
    *relays, author = (key for key in SEVEN if key is not B)
    floods = [
        [vote(key=author, digest=bytes([place]) + number.to_bytes(31)) for number in range(40)] for place in range(5)
    ]
    passed_on = [
        sent(Prepare, bench.hear(*flood, via=relay.address)) for relay, flood in zip(relays, floods, strict=True)
    ]
    assert sum(map(len, passed_on)) == MAX_RELAYED_MESSAGES_IN_ONE_ROUND


def sized(block: Block, size: int, number: int) -> Block:
    """`block` with a vanity of `size` bytes, which `number` makes another."""
    extra = replace(decode_extra_data(block.header.extra_data), vanity=number.to_bytes(size))
    return block.with_header(block.header.with_changes(extra_data=encode_extra_data(extra)))


def test_the_bytes_that_are_passed_on_for_one_author_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_shares, "MAX_RELAYED_BYTES", 100_000)
    monkeypatch.setattr(relay_shares, "MAX_RELAYED_INDIRECT_BYTES", 50_000)
    bench = Bench(B).start()
    large = prepared_by(propose(A, sized(bench.make_block(), 30_000, 1)), B, C, D)
    by_author = [round_change(A, target, large) for target in range(1, 9)]
    assert len(sent(RoundChange, bench.hear(*by_author[:6]))) == 4, "the fourth reaches the bound"
    assert sent(RoundChange, bench.hear(by_author[-1], via=C.address), A.address), "another share"
    assert not sent(Prepare, bench.hear(vote(key=A))), "small messages count, too"


def test_the_bytes_that_a_relay_brings_are_bounded_for_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failed round with a prepared block costs megabytes. The round after it is passed on all the same."""
    monkeypatch.setattr(relay_shares, "MAX_RELAYED_INDIRECT_BYTES", 50_000)
    bench = Bench(B).start()
    large = prepared_by(propose(A, sized(bench.make_block(), 30_000, 1)), B, C, D)

    def relayed(target: int, size: int = 30_000) -> int:
        """How many of three messages of D for `target`, brought by C, are passed on."""
        others = [prepared_by(propose(A, sized(bench.make_block(), size, number)), B, C, D) for number in (1, 2, 3)]
        messages = [round_change(D, target, prepared) for prepared in others]
        return len(sent(RoundChange, bench.hear(*messages, via=C.address), D.address))

    assert [relayed(target) for target in range(1, MAX_RELAYED_ROUNDS)] == [2] * (MAX_RELAYED_ROUNDS - 1)
    assert [relayed(target) for target in (MAX_RELAYED_ROUNDS, 2**30)] == [2, 0], "far rounds share one bound"
    bench.hear(*(round_change(key, 3) for key in (A, C)))
    assert bench.machine.status.round == 3
    assert sent(RoundChange, bench.hear(round_change(D, MAX_RELAYED_ROUNDS + 1, large), via=C.address), D.address)
    assert relayed(2, 100) == 0, "a round that was left has no bound of its own"


def test_a_second_proposal_is_not_passed_on_and_is_the_fault_of_its_author() -> None:
    bench = Bench(B).start()
    first, second = (propose(A, sized(bench.make_block(), 32, number)) for number in (1, 2))
    assert sent(Proposal, bench.hear(first))
    effects = bench.hear(second)
    assert not sent(Proposal, effects)
    assert topics(effects) == ["equivocation"]
    assert [blame.address for blame in only(BlamePeer, effects)] == [A.address]
    third = propose(A, sized(bench.make_block(), 32, 3))
    assert not only(BlamePeer, bench.hear(third, via=C.address)), "the one who brings it may have relayed it"


def test_a_proposer_of_round_zero_is_not_passed_on_again_in_later_rounds() -> None:
    """Attack: it needs no proof for round 0, and signs any number of blocks of megabytes when the others are in round 1."""
    bench = Bench(B).start()
    bench.expire_round()
    first, *others = (propose(A, sized(bench.make_block(), 32, number)) for number in range(1, 21))
    assert sent(Proposal, bench.hear(first)), "a validator that lags may need it"
    assert not sent(Proposal, bench.hear(*others))
    bench.expire_round()
    assert not sent(Proposal, bench.hear(*others))


def variants(proposal: Proposal, count: int) -> list[Proposal]:
    """What a liar makes of a proposal without its author: another block under the author's signature."""
    blocks = [make_block(None, A.address, (A.address,), vanity=number.to_bytes(32)) for number in range(count)]
    return [Proposal(proposal.signed, block) for block in blocks]


def test_a_liar_does_not_use_up_what_an_author_has_to_say() -> None:
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    assert not sent(Proposal, bench.hear(*variants(proposal, 400), via=C.address))
    assert sent(Prepare, bench.hear(vote(key=D), via=C.address)), "another author is passed on"
    assert sent(Prepare, bench.hear(vote(key=A), via=C.address)), "this author is passed on"
    assert sent(Proposal, bench.hear(proposal, via=D.address)), "an honest validator brings the real one"
    assert sent(RoundChange, bench.hear(round_change(A, 1))), "the author itself is heard"


def test_strangers_share_what_is_passed_on() -> None:
    bench = Bench(B).start()
    votes = [vote(key=A, digest=number.to_bytes(32)) for number in range(100)]
    relayed = [effect for number, one in enumerate(votes) for effect in bench.hear(one, via=number.to_bytes(20))]
    assert len(sent(Prepare, relayed)) == MAX_RELAYED_INDIRECT_MESSAGES
    assert sent(Proposal, bench.hear(propose(A, bench.make_block()), via=D.address))


def test_nobody_passes_on_for_heights_before_or_after() -> None:
    bench = Bench(B).start()
    assert not only(SendMessage, bench.hear(vote(height=0), vote(height=2)))


def test_messages_for_the_next_height_wait_and_are_passed_on_then() -> None:
    """L9 and L32."""
    bench = Bench(C).start()
    first = make_block(bench.head, A.address, bench.validators)
    second = propose(B, make_block(first.header, B.address, bench.validators))
    effects = bench.hear(second, prepare(D, second), via=A.address)
    assert effects == [PeerIsAhead(A.address, 1)] * 2
    effects = bench.new_head(first.header)
    assert sent(Proposal, effects, B.address)
    assert only(CheckProposal, effects)
    assert sent(Prepare, effects, C.address)


def test_early_messages_of_one_peer_can_be_dropped() -> None:
    bench = Bench(C).start()
    first = make_block(bench.head, A.address, bench.validators)
    bench.hear(vote(height=2, key=A), vote(height=2, key=D))
    bench.machine.drop_messages_of(A.address)
    effects = bench.new_head(first.header)
    assert [effect.message.sender for effect in only(RedeliverMessage, effects)] == [D.address]


def test_each_early_message_is_an_event_of_its_own() -> None:
    """An error that one of them causes must not end the handling of the new head."""
    bench = Bench(C).start()
    first = make_block(bench.head, A.address, bench.validators)
    bench.hear(vote(height=2, key=A), vote(height=2, key=D))
    head = HeadChanged(first.header, bench.validators, bench.period_ms, bench.timeout_ms)
    effects = bench.machine.handle(head, bench.now_ms)
    assert [effect.message.sender for effect in only(RedeliverMessage, effects)] == [A.address, D.address]
    assert not only(SendMessage, effects), "nothing is done with them yet"


@pytest.mark.parametrize("is_seal", [False, True], ids=["message", "seal"])
def test_a_high_s_is_refused(is_seal: bool) -> None:
    """Besu since 25.11 refuses it. A relaying peer could make a second message of each one otherwise."""
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    good = commit(C, proposal)
    payload = good.signed.payload
    if is_seal:
        assert payload.seal is not None
        bad = Commit(signed(replace(payload, seal=high_s(payload.seal)), C))
    else:
        bad = Commit(replace(good.signed, signature=high_s(good.signed.signature)))
    bench.hear(proposal)
    assert topics(bench.hear(bad)) == ["message-malformed"]
    assert not bench.machine.status.committed_by
    bench.hear(good)
    assert bench.machine.status.committed_by == (C.address,)


def with_high_s(message: RoundChange) -> RoundChange:
    """What any peer can make of `message`."""
    return replace(message, signed=replace(message.signed, signature=high_s(message.signed.signature)))


def test_a_proposal_that_shows_a_high_s_counts_and_is_not_relayed() -> None:
    """Attack: D signs its round change with a high s. Besu before 25.11 accepts it, and shows it in its proposal."""
    bench = Bench(B).start()
    asked = [round_change(key, 2) for key in (A, C, D)]
    assert topics(bench.hear(with_high_s(asked[2]))) == ["message-malformed"], "by itself it does not count"
    effects = bench.hear(propose(C, bench.make_block(2), [*asked[:2], with_high_s(asked[2])]))
    assert only(CheckProposal, effects)
    assert not only(BlamePeer, effects)
    assert not sent(Proposal, effects), "a peer may have made the high s, and Besu since 25.11 refuses it"
    assert sent(Proposal, bench.hear(propose(C, bench.make_block(2), asked))), "the true copy is relayed"


def test_a_certificate_within_a_proposal_may_show_a_high_s() -> None:
    bench = Bench(B).start()
    prepared = prepared_by(propose(A, bench.make_block()), B, C)
    prepares = [replace(one, signature=high_s(one.signature)) for one in prepared.certificate.prepares]
    shown = replace(prepared, certificate=replace(prepared.certificate, prepares=tuple(prepares)))
    assert topics(bench.hear(round_change(D, 2, shown))) == ["message-malformed"]
    again = with_round(bench.make_block(), 2)
    asked = [round_change(A, 2, shown), round_change(C, 2), round_change(D, 2)]
    effects = bench.hear(propose(C, again, asked))
    assert only(CheckProposal, effects)
    assert not sent(Proposal, effects)


def test_the_block_beside_altered_signatures_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: C proposes megabytes, and each copy shows another high s. A is a node of Besu before 25.11. It relays all, and
    would pay for each block."""
    bodies: list[Message] = []
    monkeypatch.setattr(controller, "check_body", bodies.append)
    bench = Bench(B).start()
    asked, block = [round_change(key, 2) for key in (A, C, D)], bench.make_block(2)
    for number in range(3):
        altered = with_high_s(asked[number])
        bench.hear(propose(C, block, [*asked[:number], altered, *asked[number + 1 :]]), via=A.address)
    assert len(only(CheckProposal, bench.effects)) == len(bodies) == 1
    assert sent(Proposal, bench.hear(propose(C, block, asked))), "the true copy is relayed"


def test_a_high_s_blames_no_peer() -> None:
    """Attack: D makes a high s of votes. A is a node of Besu before 25.11. It relays them, and shows them when it asks for a
    round. Its session must not end."""
    bench = Bench(B).start()
    for author in (C, D):
        message = vote(key=author)
        altered = replace(message, signed=replace(message.signed, signature=high_s(message.signed.signature)))
        assert topics(bench.hear(altered, via=A.address)) == ["message-malformed"]
    prepared = prepared_by(propose(A, bench.make_block()), C, D)
    prepares = [replace(one, signature=high_s(one.signature)) for one in prepared.certificate.prepares]
    shown = replace(prepared, certificate=replace(prepared.certificate, prepares=tuple(prepares)))
    assert topics(bench.hear(round_change(A, 2, shown))) == ["message-malformed"]
    assert not only(BlamePeer, bench.effects)


def test_a_stranger_speaking_of_a_later_height_is_only_a_hint() -> None:
    bench = Bench(C).start()
    message = vote(height=500, key=STRANGER)
    assert bench.hear(message) == [PeerIsAhead(STRANGER.address, 499)]


# -- malformed -------------------------------------------------------------------------------------------------------


def test_a_proposal_out_of_turn_is_not_read() -> None:
    """Else any validator makes the others read large blocks; and it is to blame for what it signed itself."""
    bench = Bench(B).start()
    large = Proposal(propose(D, bench.make_block()).signed, make_block(None, A.address, bench.validators))
    effects = bench.hear(large)
    assert topics(effects) == ["proposal-refused"]
    assert [blame.address for blame in only(BlamePeer, effects)] == [D.address]
    assert not only(BlamePeer, bench.hear(large, via=C.address))
    assert not only(SendMessage, bench.effects)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc0", b"\xc2\xc0\xc0", b"\xff" * 100, bytes(1000)])
@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 255])
def test_garbage_is_noted_and_harmless(code: int, data: bytes) -> None:
    """L11."""
    bench = Bench(B).start()
    effects = bench.give(MessageReceived(code, data, C.address))
    assert topics(effects) == ["message-malformed"]
    assert sent(Prepare, bench.hear(propose(A, bench.make_block())), B.address)


def test_who_passes_on_a_malformed_part_is_not_to_blame_for_it() -> None:
    """Besu passes on what it can decode, and reads some things that this node refuses."""
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    data = rlp.encode([signed_fields(proposal.signed), rlp.decode(proposal.block.encode()), b"", b"one item more"])
    effects = bench.give(MessageReceived(PROPOSAL, data, C.address))
    assert topics(effects) == ["message-malformed"]
    assert not only(BlamePeer, effects)
    other = rlp.encode([signed_fields(proposal.signed), rlp.decode(proposal.block.encode()), b"", b"another"])
    assert [blame.address for blame in only(BlamePeer, bench.give(MessageReceived(PROPOSAL, other, A.address)))] == [
        A.address
    ]


def test_a_message_that_is_only_too_large_for_us_blames_no_peer() -> None:
    bench = Bench(B).start()
    many = rlp.encode([[[] for _ in range(rlp.MAX_LISTS + 1)], b"", b""])
    effects = bench.give(MessageReceived(PROPOSAL, many, C.address))
    assert topics(effects) == ["message-malformed"]
    assert not only(BlamePeer, effects)


def test_the_note_about_a_malformed_message_names_the_peer() -> None:
    bench = Bench(B).start()
    [note] = only(WriteLogLine, bench.give(MessageReceived(1, b"\xc0", C.address)))
    assert C.address.hex() in note.text


def test_a_certificate_by_strangers_costs_one_signature() -> None:
    """The first author that is no validator ends the reading."""
    bench = Bench(B).start()
    certificate = [round_change(STRANGER, 2)] + [round_change(key, 2) for key in FOUR]
    effects = bench.hear(propose(C, bench.make_block(2), certificate=certificate))
    assert topics(effects) == ["message-malformed"]


# -- heights ---------------------------------------------------------------------------------------------------------


def test_a_head_heard_twice_or_lower_does_not_restart_the_height() -> None:
    """L31."""
    bench = Bench(B).start()
    bench.expire_round()
    event = HeadChanged(bench.head, bench.validators, 2000, 4000)
    assert bench.give(event) == []
    assert bench.machine.status.round == 1


def test_another_block_at_the_heads_height_is_an_alarm() -> None:
    bench = Bench(B).start()
    other = make_block(None, bytes(20), bench.validators, vanity=b"other".ljust(32)).header
    assert topics(bench.give(HeadChanged(other, bench.validators, 2000, 4000))) == ["fork"]


def test_a_block_by_sync_ends_the_height_in_any_state() -> None:
    bench = Bench(B).start()
    proposal = propose(A, bench.make_block())
    bench.hear(proposal, prepare(C, proposal))
    block = make_block(bench.head, A.address, bench.validators)
    effects = bench.new_head(block.header)
    assert effects[0] == StopTimers()
    assert only(StartRoundTimer, effects) == [StartRoundTimer(2, 0, 4000)]
    assert not only(ImportBlock, bench.hear(commit(A, proposal), commit(C, proposal), commit(D, proposal)))


def test_a_new_height_remembers_nothing_of_the_last() -> None:
    bench = Bench(B).start()
    bench.expire_round()
    bench.new_head(make_block(bench.head, A.address, bench.validators).header)
    status = bench.machine.status
    assert (status.height, status.round, status.locked_round, status.round_changes) == (2, 0, None, {})


def test_a_node_that_is_no_validator_is_passive() -> None:
    bench = Bench(STRANGER).start()
    assert bench.effects == [StopTimers()]
    proposal = propose(A, bench.make_block())
    assert bench.hear(proposal, prepare(B, proposal), prepare(C, proposal), commit(A, proposal)) == []
    assert bench.give(PeerConnected(A.address)) == []
    assert not bench.machine.status.is_validator


def test_a_validator_that_was_voted_out_is_not_heard_at_the_next_height() -> None:
    """L30."""
    bench = Bench(B).start()
    bench.validators = tuple(sorted((A.address, B.address, C.address)))
    bench.new_head(make_block(bench.head, A.address, bench.validators).header)
    assert {type(effect) for effect in bench.hear(vote(height=2, key=D))} == {BlamePeer}
    assert sent(Prepare, bench.hear(vote(height=2, key=C)))


def test_nothing_happens_before_the_first_head() -> None:
    assert Bench(B).hear(vote()) == []


# -- why there is no block -------------------------------------------------------------------------------------------


def test_the_status_says_what_is_missing() -> None:
    bench = Bench(A).start()
    status = bench.machine.status
    assert status.block_due_ms == bench.now_ms + 2000
    assert status.round_ends_ms == bench.now_ms + 4000
    assert "this node" in status.missing
    bench = Bench(B).start()
    assert A.address.hex() in bench.machine.status.missing
    proposal = propose(A, bench.make_block())
    bench.hear(proposal)
    status = bench.machine.status
    assert status.phase == "waiting for prepares"
    assert status.missing == f"1 prepares, missing 0x{C.address.hex()}, 0x{D.address.hex()}"
    bench.hear(prepare(C, proposal))
    status = bench.machine.status
    assert status.locked_round == 0
    assert status.missing.startswith("1 commits, missing 0x")


# -- memory ----------------------------------------------------------------------------------------------------------


def message_of(size: int, number: int = 0, sender: bytes = C.address) -> MessageReceived:
    return MessageReceived(1, number.to_bytes(4) + bytes(size - 4), sender)


def keep(future: FutureMessageBuffer, height: int, message: MessageReceived, current: int = 1) -> None:
    future.add(height, current, keccak256(message.data), message)


def test_later_heights_are_kept_within_the_distance() -> None:
    future = FutureMessageBuffer(MessageLimits(future_distance=2))
    for height in (4, 5, 6, 7, 8):
        keep(future, height, message_of(10, height), current=5)
    assert future.size == 2
    assert future.pop_for_height(6) == [message_of(10, 6)]
    assert future.pop_for_height(7) == [message_of(10, 7)]


def test_too_many_messages_cost_the_newest_of_the_highest_height() -> None:
    future = FutureMessageBuffer(MessageLimits(future_messages=3))
    for number, height in enumerate((2, 2, 3, 4, 2, 2)):
        keep(future, height, message_of(10, number))
    assert future.pop_for_height(2) == [message_of(10, number) for number in (0, 1, 4)]


def test_a_peer_that_floods_later_heights_costs_the_others_nothing() -> None:
    future = FutureMessageBuffer(MessageLimits(future_messages=20))
    honest = [message_of(10, number, D.address) for number in range(5)]
    for message in honest[:3]:
        keep(future, 2, message)
    for number in range(100):
        keep(future, 2 + number % 3, message_of(10, 100 + number))
    for message in honest[3:]:
        keep(future, 2, message)
    assert future.size == 20
    assert [message for message in future.pop_for_height(2) if message.sender == D.address] == honest


def test_a_message_for_a_later_height_is_kept_once_from_each_peer() -> None:
    """Else a flooder brings the true message first, and then makes room at the cost of its own."""
    future = FutureMessageBuffer(MessageLimits())
    for sender in (C.address, C.address, D.address):
        keep(future, 2, message_of(10, 0, sender))
    assert [message.sender for message in future.pop_for_height(2)] == [C.address, D.address]


def test_no_buffer_when_the_limit_is_zero() -> None:
    future = FutureMessageBuffer(MessageLimits(future_messages=0))
    keep(future, 2, message_of(10))
    assert future.size == 0


def test_later_heights_are_bounded_in_bytes() -> None:
    future = FutureMessageBuffer(MessageLimits())
    keep(future, 2, message_of(1000, 0, D.address))
    for number in range(9):
        keep(future, 2, message_of(MAX_FUTURE_BYTES // 8, number))
    assert future.size == 1 + 7
    keep(future, 2, message_of(MAX_FUTURE_BYTES + 1))
    keep(future, 2, message_of(MAX_FUTURE_BYTES // 8, 50, D.address))
    kept = future.pop_for_height(2)
    assert kept[0] == message_of(1000, 0, D.address)
    assert kept[-1].sender == D.address, "the peer that brought the most makes room"
    assert len(kept) == 1 + 6 + 1


def test_seen_messages_forget_the_oldest() -> None:
    seen = MessageTracker(2)
    assert [seen.add(data) for data in (b"a", b"b", b"a", b"c", b"a")] == [True, True, False, True, True]


def test_early_votes_keep_the_highest_rounds_of_each_author() -> None:
    """L15: bounded, and one author takes no room from another."""
    early = LaterRoundVotes()
    early.add(vote(round_=1, key=D))
    for round_ in range(1, 100):
        early.add(vote(round_=round_))
        early.add(vote(round_=round_, digest=b"\x01" * 32))
    assert early.pop_for_round(1) == [vote(round_=1, key=D)]
    kept = [message for round_ in range(2, 100) for message in early.pop_for_round(round_)]
    assert [round_id_of(message).round for message in kept] == list(range(100 - MAX_EARLY_ROUNDS, 100))
    assert all(message == vote(round_=round_id_of(message).round) for message in kept)
