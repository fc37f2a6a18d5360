"""What waits to be sent to a peer, and what waits for its answers."""

import pytest
import trio
import trio.testing

from lacnode.p2p.outbox import LANE_BYTES, READY_BYTES, Outbox, OutboxFull
from lacnode.p2p.peer_set import DENYLIST_SIZE, PeerLimits, PeerSet
from lacnode.p2p.policy import AllOf, AllowAll, DenyNodes
from lacnode.p2p.requests import MAX_OPEN, TIMEOUT, RequestFailed, Requests
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.p2p_messages import DisconnectReason

HEADERS, BODIES = 4, 6


class TestOutbox:
    async def test_urgent_messages_overtake_ordinary_ones_and_each_lane_keeps_its_order(self) -> None:
        outbox = Outbox()
        outbox.put(1, b"a")
        outbox.put(2, b"b")
        outbox.put_urgent(3, b"c")
        outbox.put_urgent(4, b"d")
        assert [await outbox.get() for _ in range(4)] == [(3, b"c"), (4, b"d"), (1, b"a"), (2, b"b")]

    async def test_a_full_lane_drops_gossip_and_refuses_the_rest(self) -> None:
        outbox = Outbox()
        outbox.put(1, bytes(LANE_BYTES))
        outbox.put(2, b"gossip", droppable=True)
        assert outbox.dropped == 1
        with pytest.raises(OutboxFull):
            outbox.put(2, b"block")
        outbox.put_urgent(3, b"consensus")
        assert (await outbox.get())[0] == 3

    async def test_a_single_message_larger_than_a_lane_passes_when_nothing_waits(self) -> None:
        outbox = Outbox()
        outbox.put(1, bytes(2 * LANE_BYTES))
        assert len((await outbox.get())[1]) == 2 * LANE_BYTES

    async def test_very_many_small_messages_are_too_much_too(self) -> None:
        outbox = Outbox()
        for _ in range(10_000):
            outbox.put_urgent(2, b"")

        def more() -> None:
            for _ in range(90_000):
                outbox.put_urgent(2, b"")

        with pytest.raises(OutboxFull):
            more()

    async def test_answers_are_made_when_the_earlier_ones_are_gone(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        outbox = Outbox()
        await outbox.ready()
        outbox.put(1, bytes(READY_BYTES))
        with trio.move_on_after(60) as scope:
            await outbox.ready()
        assert scope.cancelled_caught
        await outbox.get()
        await outbox.ready()


class TestRequests:
    async def test_an_answer_finds_its_question_by_id_whatever_the_order(self) -> None:
        requests = Requests(66)
        first, second = requests.begin(HEADERS), requests.begin(HEADERS)
        assert requests.deliver(HEADERS, second.id, "second")
        assert requests.deliver(HEADERS, first.id, "first")
        assert not requests.deliver(HEADERS, 99, "nobody's")
        assert (await requests.answer(first), await requests.answer(second)) == ("first", "second")

    async def test_before_eth_66_two_answers_at_once_go_to_two_questions(self) -> None:
        requests = Requests(65)
        answers: dict[int, str] = {}

        async def ask(number: int) -> None:
            answers[number] = await requests.answer(requests.begin(HEADERS))

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
        requests = Requests(65)
        with pytest.raises(RequestFailed):
            await requests.answer(requests.begin(HEADERS))
        question = requests.begin(HEADERS)
        requests.deliver(HEADERS, 0, "late")
        requests.deliver(HEADERS, 0, "in time")
        assert await requests.answer(question) == "in time"

    async def test_no_answer_is_a_failure_after_five_seconds(self, autojump_clock: trio.testing.MockClock) -> None:
        requests = Requests(68)
        before = trio.current_time()
        with pytest.raises(RequestFailed, match="within 5 s"):
            await requests.answer(requests.begin(HEADERS))
        assert trio.current_time() - before == pytest.approx(TIMEOUT)

    async def test_three_timeouts_of_one_kind_in_a_row_are_enough(self, autojump_clock: trio.testing.MockClock) -> None:
        requests = Requests(68)

        async def unanswered(kind: int) -> None:
            with pytest.raises(RequestFailed):
                await requests.answer(requests.begin(kind))

        await unanswered(HEADERS)
        await unanswered(HEADERS)
        await unanswered(BODIES)
        question = requests.begin(HEADERS)
        requests.deliver(HEADERS, question.id, "x")
        await requests.answer(question)
        await unanswered(HEADERS)
        await unanswered(HEADERS)
        verdicts = [requests.reputation.verdict]
        await unanswered(HEADERS)
        verdicts.append(requests.reputation.verdict)
        assert verdicts == [None, DisconnectReason.TIMEOUT]
        assert requests.reputation.score == 100 - 5 + 1 - 10

    def test_five_useless_answers_within_a_minute_are_enough(self) -> None:
        reputation = Requests(68).reputation
        verdicts = []
        for now in (0.0, 20.0, 40.0, 59.0, 61.0, 62.0):
            reputation.useless(now)
            verdicts.append(reputation.verdict)
        assert verdicts == [None] * 5 + [DisconnectReason.USELESS_PEER]

    async def test_at_most_five_questions_are_open(self, autojump_clock: trio.testing.MockClock) -> None:
        requests = Requests(68)
        asked = 0

        async def ask() -> None:
            nonlocal asked
            async with requests.room():
                asked += 1
                with pytest.raises(RequestFailed):
                    await requests.answer(requests.begin(HEADERS))

        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert asked == MAX_OPEN
            await trio.sleep(TIMEOUT + 1)
            assert asked == 9

    async def test_nobody_waits_for_a_peer_that_left(self) -> None:
        requests = Requests(68)
        question = requests.begin(HEADERS)
        requests.fail_all()
        with pytest.raises(RequestFailed, match="left"):
            await requests.answer(question)
        with pytest.raises(RequestFailed, match="left"):
            requests.begin(HEADERS)


class TestDenylist:
    def test_it_forgets_the_oldest_and_spares_static_nodes(self) -> None:
        peers = PeerSet(bytes(64), PeerLimits())
        ids = [number.to_bytes(64) for number in range(1, DENYLIST_SIZE + 2)]
        for id_ in ids:
            peers.deny(id_, "lied")
        assert (peers.denial(ids[0]), peers.denial(ids[-1])) == (None, "lied")
        peers.exempt.add(ids[-1])
        assert peers.denial(ids[-1]) is None


class TestPolicies:
    def test_the_first_refusal_is_the_answer(self) -> None:
        one, two = (Enode(bytes([n]) * 64, "10.0.0.1", 1, None) for n in (1, 2))
        policy = AllOf([AllowAll(), DenyNodes("first", [one.id]), DenyNodes("second", [one.id, two.id])])
        for ask in (policy.may_dial, policy.may_accept, lambda enode: policy.may_stay(enode, True)):
            assert (ask(one).allowed, ask(one).reason) == (False, "first")
            assert (ask(two).allowed, ask(two).reason) == (False, "second")
            assert ask(Enode(bytes(64), "10.0.0.1", 1, None)).allowed
