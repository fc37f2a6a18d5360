"""What waits to be sent to a peer, and what waits for its answers."""

import pytest
import trio
import trio.testing

from lacnode.p2p.connection_policies import AllowAllPolicy, CombinedPolicy, Connection, DenyListPolicy
from lacnode.p2p.peer_requests import MAX_OPEN_REQUESTS, REQUEST_TIMEOUT_SECONDS, NoAnswerError, PendingRequests
from lacnode.p2p.peer_set import MAX_DENIED_NODES, PeerLimits, PeerSet
from lacnode.p2p.send_queue import MAX_BYTES_BEFORE_NEXT_ANSWER, MAX_QUEUED_BYTES, SendQueue, SendQueueFullError
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.p2p_messages import DisconnectReason

HEADERS, BODIES = 4, 6


class TestOutbox:
    async def test_urgent_messages_overtake_ordinary_ones_and_each_lane_keeps_its_order(self) -> None:
        outbox = SendQueue()
        outbox.put(1, b"a")
        outbox.put(2, b"b")
        outbox.put_urgent(3, b"c")
        outbox.put_urgent(4, b"d")
        assert [await outbox.get() for _ in range(4)] == [(3, b"c"), (4, b"d"), (1, b"a"), (2, b"b")]

    async def test_a_full_lane_drops_gossip_and_refuses_the_rest(self) -> None:
        outbox = SendQueue()
        outbox.put(1, bytes(MAX_QUEUED_BYTES))
        outbox.put(2, b"gossip", droppable=True)
        assert outbox.dropped == 1
        with pytest.raises(SendQueueFullError):
            outbox.put(2, b"block")
        outbox.put_urgent(3, b"consensus")
        assert (await outbox.get())[0] == 3

    async def test_relayed_messages_neither_end_a_session_nor_delay_the_own_ones(self) -> None:
        """Attack: a validator signs blocks of megabytes. This node relays them to a correct validator that reads slowly."""
        outbox = SendQueue()
        outbox.put(1, b"an answer")
        for _ in range(4):
            outbox.put_relayed(2, bytes(2 * MAX_QUEUED_BYTES))
        assert outbox.dropped == 3
        outbox.put_urgent(3, bytes(MAX_QUEUED_BYTES // 2))
        assert [(await outbox.get())[0] for _ in range(3)] == [3, 2, 1]

    async def test_a_single_message_larger_than_a_lane_passes_when_nothing_waits(self) -> None:
        outbox = SendQueue()
        outbox.put(1, bytes(2 * MAX_QUEUED_BYTES))
        assert len((await outbox.get())[1]) == 2 * MAX_QUEUED_BYTES

    async def test_very_many_small_messages_are_too_much_too(self) -> None:
        outbox = SendQueue()
        for _ in range(10_000):
            outbox.put_urgent(2, b"")

        def more() -> None:
            for _ in range(90_000):
                outbox.put_urgent(2, b"")

        with pytest.raises(SendQueueFullError):
            more()

    async def test_answers_are_made_when_the_earlier_ones_are_gone(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        outbox = SendQueue()
        await outbox.wait_for_answer_space()
        outbox.put(1, bytes(MAX_BYTES_BEFORE_NEXT_ANSWER))
        with trio.move_on_after(60) as scope:
            await outbox.wait_for_answer_space()
        assert scope.cancelled_caught
        await outbox.get()
        await outbox.wait_for_answer_space()


class TestRequests:
    async def test_an_answer_finds_its_question_by_id_whatever_the_order(self) -> None:
        requests = PendingRequests(66)
        first, second = requests.open_request(HEADERS), requests.open_request(HEADERS)
        assert requests.deliver(HEADERS, second.id, "second")
        assert requests.deliver(HEADERS, first.id, "first")
        assert not requests.deliver(HEADERS, 99, "nobody's")
        assert (await requests.wait_for_answer(first), await requests.wait_for_answer(second)) == ("first", "second")

    async def test_before_eth_66_two_answers_at_once_go_to_two_questions(self) -> None:
        requests = PendingRequests(65)
        answers: dict[int, str] = {}

        async def ask(number: int) -> None:
            answers[number] = await requests.wait_for_answer(requests.open_request(HEADERS))

        async with trio.open_nursery() as nursery:
            for number in range(2):
                nursery.start_soon(ask, number)
                await trio.testing.wait_all_tasks_blocked()
            assert requests.deliver(HEADERS, 0, "first")
            assert requests.deliver(HEADERS, 0, "second")
            assert not requests.deliver(HEADERS, 0, "third")
        assert answers == {0: "first", 1: "second"}

    async def test_before_eth_66_a_late_answer_is_not_taken_for_the_next(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        requests = PendingRequests(65)
        with pytest.raises(NoAnswerError):
            await requests.wait_for_answer(requests.open_request(HEADERS))
        question = requests.open_request(HEADERS)
        requests.deliver(HEADERS, 0, "late")
        requests.deliver(HEADERS, 0, "in time")
        assert await requests.wait_for_answer(question) == "in time"

    async def test_no_answer_is_a_failure_after_five_seconds(self, autojump_clock: trio.testing.MockClock) -> None:
        requests = PendingRequests(68)
        before = trio.current_time()
        with pytest.raises(NoAnswerError, match="within 5 s"):
            await requests.wait_for_answer(requests.open_request(HEADERS))
        assert trio.current_time() - before == pytest.approx(REQUEST_TIMEOUT_SECONDS)

    async def test_three_timeouts_of_one_kind_in_a_row_are_enough(self, autojump_clock: trio.testing.MockClock) -> None:
        requests = PendingRequests(68)

        async def unanswered(kind: int) -> None:
            with pytest.raises(NoAnswerError):
                await requests.wait_for_answer(requests.open_request(kind))

        await unanswered(HEADERS)
        await unanswered(HEADERS)
        await unanswered(BODIES)
        question = requests.open_request(HEADERS)
        requests.deliver(HEADERS, question.id, "x")
        await requests.wait_for_answer(question)
        await unanswered(HEADERS)
        await unanswered(HEADERS)
        verdicts = [requests.reputation.disconnect_reason]
        await unanswered(HEADERS)
        verdicts.append(requests.reputation.disconnect_reason)
        assert verdicts == [None, DisconnectReason.TIMEOUT]

    def test_five_useless_answers_within_a_minute_are_enough(self) -> None:
        reputation = PendingRequests(68).reputation
        verdicts = []
        for now in (0.0, 20.0, 40.0, 59.0, 61.0, 62.0):
            reputation.record_useless_answer(now)
            verdicts.append(reputation.disconnect_reason)
        assert verdicts == [None] * 5 + [DisconnectReason.USELESS_PEER]

    async def test_at_most_five_questions_are_open(self, autojump_clock: trio.testing.MockClock) -> None:
        requests = PendingRequests(68)
        asked = 0

        async def ask() -> None:
            nonlocal asked
            async with requests.slot_limiter():
                asked += 1
                with pytest.raises(NoAnswerError):
                    await requests.wait_for_answer(requests.open_request(HEADERS))

        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert asked == MAX_OPEN_REQUESTS
            await trio.sleep(REQUEST_TIMEOUT_SECONDS + 1)
            assert asked == 9

    async def test_nobody_waits_for_a_peer_that_left(self) -> None:
        requests = PendingRequests(68)
        question = requests.open_request(HEADERS)
        requests.fail_all()
        with pytest.raises(NoAnswerError, match="left"):
            await requests.wait_for_answer(question)
        with pytest.raises(NoAnswerError, match="left"):
            requests.open_request(HEADERS)


class TestDenylist:
    def test_it_forgets_the_oldest_and_spares_static_nodes(self) -> None:
        peers = PeerSet(bytes(64), PeerLimits())
        ids = [number.to_bytes(64) for number in range(1, MAX_DENIED_NODES + 2)]
        for id_ in ids:
            peers.deny(id_, "lied")
        assert (peers.denial_reason(ids[0]), peers.denial_reason(ids[-1])) == (None, "lied")
        peers.exempt.add(ids[-1])
        assert peers.denial_reason(ids[-1]) is None


class TestPolicies:
    def test_the_first_refusal_is_the_answer(self) -> None:
        one, two = (Enode(bytes([n]) * 64, "10.0.0.1", 1, None) for n in (1, 2))
        policy = CombinedPolicy(
            [AllowAllPolicy(), DenyListPolicy("first", [one.id]), DenyListPolicy("second", [one.id, two.id])]
        )
        own, other = Enode(b"\xff" * 64, "10.0.0.1", 1, None), Enode(bytes(64), "10.0.0.1", 1, None)
        for inbound in (False, True):
            first, second, third = (policy.decide(Connection(enode, inbound, own)) for enode in (one, two, other))
            assert (first.allowed, first.reason) == (False, "first")
            assert (second.allowed, second.reason) == (False, "second")
            assert third.allowed

    def test_a_connection_knows_who_dials(self) -> None:
        own, other = (Enode(bytes([n]) * 64, "10.0.0.1", 1, None) for n in (1, 2))
        inbound, outbound = (Connection(other, is_inbound, own) for is_inbound in (True, False))
        assert (inbound.dialling_node, inbound.dialled_node) == (other, own)
        assert (outbound.dialling_node, outbound.dialled_node) == (own, other)
