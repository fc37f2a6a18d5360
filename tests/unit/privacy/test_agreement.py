"""State roots that members hold against each other's: who differs is named, and nobody is for being silent or behind."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.privacy.keys import to_base64
from lacnode.privacy.state.comparison_plans import (
    DIVERGED_COMPARE_INTERVAL_SECONDS,
    GROUP_COMPARE_INTERVAL_SECONDS,
    MIN_COMPARE_INTERVAL_SECONDS,
)
from lacnode.privacy.state.execution_progress import BLOCKS_AWAITED
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.private_transaction import encode_payload_text, legacy_group_id, private_contract_address
from lacnode.privacy.state.state_root_comparison import MEMBERS_ASKED_AT_ONCE
from lacnode.privacy.state_root_queries import GroupState, StateRootQuery
from lacnode.privacy.transaction_manager import GroupType, PrivacyGroup, ReceivedPayload
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    PrivateTestNetwork,
    deploying,
    private,
    root_replaced,
    word,
)
from tests.support.root_comparison import AGREES, FOREVER, Comparison

GROUP = legacy_group_id(KEY_A, (KEY_B, KEY_C))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)
LIE = keccak256(b"a lie")


class Table(Comparison):
    """A, B and C, who are in one group."""

    def __init__(self) -> None:
        super().__init__(PrivateTestNetwork())

    def send(self, nonce: int = 0, *, mine: bool = True) -> None:
        """Alice deploys her keeper, or sets it to `nonce`, for A, B and C."""
        to, data = (None, deploying(KEEPER)) if nonce == 0 else (KEEPER_ADDRESS, word(nonce))
        self.stage.a.send(private(ALICE, nonce, to=to, data=data, private_for=(KEY_B, KEY_C)))
        if mine:
            self.stage.mine()


CURRENT, DIVERGED = GroupCondition.CURRENT, GroupCondition.DIVERGED


@pytest.fixture
def table() -> Table:
    return Table()


class TestAgreeing:
    def test_everybody_is_asked_once_and_again_after_a_while(self, table: Table) -> None:
        table.send()
        assert table.step() == []
        assert table.conditions() == [CURRENT, CURRENT, CURRENT]
        assert table.whom(KEY_A) == sorted([KEY_B, KEY_C])
        table.step(after=GROUP_COMPARE_INTERVAL_SECONDS - 1)
        assert table.whom(KEY_A) == []
        table.step(after=1)
        assert table.whom(KEY_A) == sorted([KEY_B, KEY_C])

    def test_a_group_that_changed_is_compared_soon_and_not_all_the_time(self, table: Table) -> None:
        table.send()
        table.step()
        table.whom(KEY_A)
        table.send(1)
        table.step(after=MIN_COMPARE_INTERVAL_SECONDS - 1)
        assert table.whom(KEY_A) == []
        table.step(after=1)
        assert table.whom(KEY_A) == sorted([KEY_B, KEY_C])

    def test_nothing_is_asked_while_there_is_much_to_catch_up_with(self, table: Table) -> None:
        table.send()
        for _ in range(BLOCKS_AWAITED + 1):
            table.stage.mine(work=False)
        table.step()
        assert table.asked == []
        table.stage.a.work()
        table.step(KEY_A)
        assert table.whom(KEY_A) == sorted([KEY_B, KEY_C])

    def test_a_large_groups_members_are_asked_in_turn(self, table: Table) -> None:
        others = tuple(keccak256(bytes([number])) for number in range(3 * MEMBERS_ASKED_AT_ONCE))
        table.send()
        members = (KEY_A, KEY_B, KEY_C, *others)
        table.stage.a.manager.groups[GROUP] = PrivacyGroup(GROUP, "", "", GroupType.LEGACY, members)
        table.silent.update(others)
        seen = set()
        for _ in range(50):
            table.step(KEY_A, after=GROUP_COMPARE_INTERVAL_SECONDS)
            asked = table.whom(KEY_A)
            assert len(asked) == MEMBERS_ASKED_AT_ONCE
            seen.update(asked)
        assert len(seen) > 2 * MEMBERS_ASKED_AT_ONCE

    def test_tenants_do_not_ask_each_other_and_ask_others_by_a_members_key(self) -> None:
        tenant = keccak256(b"a tenant")
        stage = PrivateTestNetwork(tenants=(KEY_A, tenant))
        comparison = Comparison(stage)
        for nonce, (sender, recipient) in enumerate([(KEY_A, tenant), (tenant, KEY_B)]):
            account = (ALICE, BOB)[nonce]
            sent = private(account, 0, data=deploying(KEEPER), private_from=sender, private_for=(recipient,))
            stage.a.send(sent)
        stage.mine()
        comparison.step(KEY_A)
        assert [(own, key) for own, key, _ in comparison.asked] == [(tenant, KEY_B)]
        assert comparison.conditions() == [CURRENT] * 3


class TestDiffering:
    def test_every_member_sees_it_and_names_whom_it_knows(self, table: Table) -> None:
        table.send()
        before = table.stage.a.root(GROUP)
        root_replaced(table.stage.b, GROUP, LIE)
        logs = table.step()
        assert table.conditions() == [DIVERGED, DIVERGED, DIVERGED]
        named = [table.blamed(member) for member in table.stage.members]
        assert named == [[KEY_B], sorted([KEY_A, KEY_C]), [KEY_B]]
        assert len(logs) == 4
        assert {key: value for key, value in logs[0].items() if key != "event"} == {
            "log_level": "warning",
            "group": to_base64(GROUP),
            "block": 1,
            "ours": "0x" + before.hex(),
            "theirs": "0x" + LIE.hex(),
            "member": to_base64(KEY_B),
        }

    def test_a_sender_that_gives_two_texts_under_one_marker_divides_its_recipients_and_they_see_it(
        self, table: Table
    ) -> None:
        """NaCl's secret box does not bind its key, so one cipher text may open to two texts."""
        table.send()
        key, texts = keccak256(b"the cipher text"), {KEY_A: 5, KEY_B: 5, KEY_C: 6}
        for member in table.stage.members:
            value = word(texts[member.manager.key])
            sent = private(ALICE, 1, to=KEEPER_ADDRESS, data=value, private_for=(KEY_B, KEY_C))
            member.manager.payloads[key] = ReceivedPayload(encode_payload_text(sent), KEY_A, GROUP)
        table.stage.a.privacy_controller.sender.submit_marker(sent, key)
        table.stage.mine()
        table.step()
        assert table.conditions() == [DIVERGED, DIVERGED, DIVERGED]
        assert [table.blamed(member) for member in table.stage.members] == [[KEY_C], [KEY_C], sorted([KEY_A, KEY_B])]

    def test_it_is_said_once(self, table: Table) -> None:
        table.send()
        root_replaced(table.stage.b, GROUP, LIE)
        table.step()
        table.whom(KEY_A)
        assert table.step(after=DIVERGED_COMPARE_INTERVAL_SECONDS) == []
        assert KEY_B in table.whom(KEY_A)
        assert table.conditions() == [DIVERGED, DIVERGED, DIVERGED]

    def test_a_minute_has_a_bounded_number_of_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stranger has any number of groups with this node, and another root each time."""
        monkeypatch.setattr("lacnode.privacy.state.state_root_comparison.MAX_LINES_A_MINUTE", 1)
        table = Table()
        table.send()
        root_replaced(table.stage.b, GROUP, LIE)
        assert len(table.step()) == 3, "B differs from A and from C"
        assert table.conditions() == [DIVERGED, DIVERGED, DIVERGED]

    def test_who_is_asked_looks_for_itself(self, table: Table) -> None:
        table.send()
        table.step()
        root_replaced(table.stage.b, GROUP, LIE)
        table.agreements[KEY_B] = table.agreement(table.stage.b)
        table.step(KEY_B)
        assert table.conditions() == [CURRENT, DIVERGED, CURRENT]
        table.step(KEY_A, KEY_C, after=0)
        assert table.conditions() == [DIVERGED, DIVERGED, DIVERGED]

    def test_it_is_over_when_the_roots_agree(self, table: Table) -> None:
        table.send()
        true = table.stage.a.root(GROUP)
        root_replaced(table.stage.b, GROUP, LIE)
        table.step()
        root_replaced(table.stage.b, GROUP, true)
        logs = table.step(after=DIVERGED_COMPARE_INTERVAL_SECONDS)
        assert [entry["event"] for entry in logs] == [AGREES] * 4
        assert table.conditions() == [CURRENT, CURRENT, CURRENT]

    def test_it_is_over_for_a_node_too_that_was_restarted_and_asks_about_an_earlier_block(self, table: Table) -> None:
        table.send()
        true = table.stage.a.root(GROUP)
        for _ in range(5):
            table.stage.mine()
        root_replaced(table.stage.b, GROUP, LIE)
        table.step(KEY_A)
        assert table.blamed(table.stage.a) == [KEY_B]
        root_replaced(table.stage.b, GROUP, true)
        executed = 1
        table.agreements[KEY_A] = table.agreement(table.stage.a, lambda: executed)
        table.step(KEY_A)
        assert table.blamed(table.stage.a) == [KEY_B]
        executed = 6
        table.step(KEY_A)
        assert table.blamed(table.stage.a) == []

    def test_who_is_asked_looks_for_itself_though_it_is_a_block_behind(self, table: Table) -> None:
        table.send()
        table.step()
        root_replaced(table.stage.b, GROUP, LIE)
        table.stage.mine(work=False)
        table.stage.a.work()
        table.agreements[KEY_A] = table.agreement(table.stage.a)
        table.step(KEY_A)
        table.step(KEY_B, after=0)
        assert table.blamed(table.stage.b) == sorted([KEY_A, KEY_C])

    def test_it_lasts_over_a_restart_and_is_not_said_again(self, table: Table) -> None:
        table.send()
        root_replaced(table.stage.b, GROUP, LIE)
        table.step()
        table.agreements[KEY_A] = table.agreement(table.stage.a)
        assert table.step(KEY_A) == []
        assert table.blamed(table.stage.a) == [KEY_B]

    def test_it_is_seen_after_the_wrong_state_led_elsewhere(self, table: Table) -> None:
        """On its own state B does not even begin what the others carried out."""
        table.send()
        root_replaced(table.stage.b, GROUP, EMPTY_TRIE_ROOT)
        table.send(1)
        table.step(KEY_A)
        assert table.blamed(table.stage.a) == [KEY_B]

    def test_an_agreement_about_earlier_does_not_end_it(self, table: Table) -> None:
        table.send()
        table.send(1)
        root_replaced(table.stage.b, GROUP, LIE)
        table.step(KEY_A)
        first = GroupState(1, table.stage.a.root(GROUP, 1), bytes(32), bytes(32))
        table.lies[KEY_B] = lambda state: first
        table.step(KEY_A, after=DIVERGED_COMPARE_INTERVAL_SECONDS)
        assert table.blamed(table.stage.a) == [KEY_B]

    def test_with_whom_the_group_is_no_more_there_is_nothing_to_differ_about(self, table: Table) -> None:
        group = table.stage.a.manager.create_group([KEY_A, KEY_B], KEY_A)
        table.stage.a.send(private(ALICE, 0, data=deploying(KEEPER), group=group.id))
        table.stage.mine()
        root_replaced(table.stage.b, group.id, LIE)
        table.step(KEY_A)
        assert table.blamed(table.stage.a) == [KEY_B]
        table.stage.a.manager.delete_group(group.id, KEY_A)
        table.step(KEY_A, after=DIVERGED_COMPARE_INTERVAL_SECONDS)
        assert table.blamed(table.stage.a) == []

    def test_what_was_given_by_hand_is_over_when_everybody_agrees(self, table: Table) -> None:
        table.send()
        table.stage.a.privacy_controller.divergences.compare_and_record(GROUP, 1, LIE)
        table.silent.add(KEY_C)
        table.step(KEY_A)
        assert table.conditions()[0] is DIVERGED
        table.silent.clear()
        table.step(KEY_A, after=GROUP_COMPARE_INTERVAL_SECONDS)
        assert table.conditions()[0] is CURRENT


class TestUnknown:
    def test_who_is_silent_does_not_differ_and_is_asked_ever_more_seldom(self, table: Table) -> None:
        """Out of reach, or Orion's manager."""
        table.send()
        table.silent.add(KEY_B)
        for _ in range(20):
            table.step(KEY_A, after=GROUP_COMPARE_INTERVAL_SECONDS / 10)
        assert table.conditions()[0] is CURRENT
        assert 5 < table.whom(KEY_A).count(KEY_B) < 10

    def test_who_lacks_a_payload_does_not_differ(self, table: Table) -> None:
        table.send()
        table.send(1)
        table.send(2, mine=False)
        table.stage.b.manager.payloads.popitem()
        table.stage.mine()
        assert table.stage.a.root(GROUP) != table.stage.b.root(GROUP)
        for _ in range(3):
            assert table.step(after=GROUP_COMPARE_INTERVAL_SECONDS) == []
        assert table.conditions() == [CURRENT, CURRENT, CURRENT]

    def test_two_of_whom_one_lacks_a_payload_do_not_keep_each_other_busy(self, table: Table) -> None:
        table.send()
        table.send(1, mine=False)
        table.stage.b.manager.payloads.popitem()
        table.stage.mine()
        table.step()
        table.asked.clear()
        for _ in range(60):
            table.step()
        assert len(table.whom(KEY_A)) <= 2 * 600 / DIVERGED_COMPARE_INTERVAL_SECONDS + 8

    def test_who_is_behind_is_compared_as_far_as_it_is(self, table: Table) -> None:
        table.send()
        table.send(1, mine=False)
        table.stage.mine(work=False)
        table.stage.a.work()
        assert table.step(KEY_A) == []
        table.whom(KEY_A)
        root_replaced(table.stage.b, GROUP, LIE)
        (warning,) = table.step(KEY_A)
        assert warning["block"] == 1
        assert table.blamed(table.stage.a) == [KEY_B]


class TestFetchedLater:
    def lose_one(self, table: Table) -> Callable[[], None]:
        """B does without the second of three payloads; what brings it back."""
        table.send()
        table.send(1, mine=False)
        key, lost = table.stage.b.manager.payloads.popitem()
        table.stage.mine()
        table.send(2)
        table.step(after=GROUP_COMPARE_INTERVAL_SECONDS)
        table.asked.clear()

        def back() -> None:
            table.stage.b.manager.payloads[key] = lost
            assert table.stage.b.privacy_controller.execution.repair.make_due(key)
            table.stage.b.work()

        return back

    def test_the_state_that_was_rebuilt_is_verified_at_once(self, table: Table) -> None:
        back = self.lose_one(table)
        back()
        assert table.stage.a.root(GROUP) == table.stage.b.root(GROUP)
        assert table.step(KEY_B) == []
        assert table.whom(KEY_B) == sorted([KEY_A, KEY_C])
        table.step(KEY_B, after=GROUP_COMPARE_INTERVAL_SECONDS - 1)
        assert table.whom(KEY_B) == []

    def test_one_that_led_elsewhere_is_found_out(self, table: Table) -> None:
        back = self.lose_one(table)
        back()
        root_replaced(table.stage.b, GROUP, LIE)
        table.step(KEY_B)
        assert sorted(table.blamed(table.stage.b)) == sorted([KEY_A, KEY_C])


class TestLiars:
    def test_a_liar_divides_the_group_from_its_own_key_only(self, table: Table) -> None:
        table.send()
        table.lies[KEY_B] = lambda state: replace(state, root=LIE)
        table.step()
        assert table.conditions() == [DIVERGED, CURRENT, DIVERGED]
        assert table.blamed(table.stage.a) == table.blamed(table.stage.c) == [KEY_B]
        table.lies.clear()
        table.step(after=DIVERGED_COMPARE_INTERVAL_SECONDS)
        assert table.conditions() == [CURRENT, CURRENT, CURRENT]

    def test_made_up_digests_prove_nothing(self, table: Table) -> None:
        table.send()
        table.lies[KEY_B] = lambda state: GroupState(state.number, LIE, LIE, LIE)
        assert table.step() == []
        assert table.conditions() == [CURRENT, CURRENT, CURRENT]


class TestWhoIsTold:
    def ask(self, table: Table, asker: bytes, own: bytes = KEY_A, group: bytes = GROUP) -> GroupState | None:
        root = table.stage.a.root(group)
        return table.agreements[KEY_A].answer(asker, own, StateRootQuery(group, 1, root), FOREVER)

    def test_members_only(self, table: Table) -> None:
        table.stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        table.stage.mine()
        pair = legacy_group_id(KEY_A, (KEY_B,))
        told = self.ask(table, KEY_B, group=pair)
        assert told is not None
        assert told.root == table.stage.a.root(pair)
        assert self.ask(table, KEY_C, group=pair) is None

    def test_only_by_a_members_key(self, table: Table) -> None:
        """Another tenant's key at the same manager tells nothing."""
        table.send()
        assert self.ask(table, KEY_B) is not None
        assert self.ask(table, KEY_B, own=keccak256(b"another tenant")) is None

    def test_nothing_of_a_group_without_transactions(self, table: Table) -> None:
        assert self.ask(table, KEY_B) is None

    def test_nothing_while_the_manager_cannot_say_who_is_in_it(self, table: Table) -> None:
        table.send()
        table.stage.a.manager.is_off = True
        assert self.ask(table, KEY_B) is None

    def test_recipients_are_members_though_no_manager_was_told_of_a_group(self, table: Table) -> None:
        """As in Orion, whose recipients have the payload alone."""
        table.send()
        table.stage.a.manager.groups.clear()
        assert self.ask(table, KEY_B) is not None
        assert self.ask(table, keccak256(b"somebody")) is None

    def test_recipients_that_alwayssendto_adds_are_members_where_the_manager_has_the_record(self, table: Table) -> None:
        """A's manager adds C. B's manager has computed the id and kept the record."""
        sent = private(ALICE, 0, data=deploying(KEEPER))
        group = PrivacyGroup(GROUP, "", "", GroupType.LEGACY, (KEY_A, KEY_B, KEY_C))
        key = table.stage.a.manager._send(encode_payload_text(sent), KEY_A, group)
        table.stage.a.privacy_controller.sender.submit_marker(sent, key)
        table.stage.mine()
        table.step()
        assert table.whom(KEY_B) == sorted((KEY_A, KEY_C))
        assert table.conditions() == [CURRENT] * 3

    def test_who_puts_a_payload_into_a_group_is_no_member_for_that(self, table: Table) -> None:
        intruder = keccak256(b"somebody")
        forged = private(BOB, 0, private_from=intruder, private_for=(KEY_A,), data=deploying(KEEPER))
        table.stage.managers[intruder] = table.stage.c.manager
        table.stage.a.send(forged)
        for key, sent in list(table.stage.a.manager.payloads.items()):
            forgery = ReceivedPayload(encode_payload_text(forged), sent.sender, GROUP)
            for member in table.stage.members:
                member.manager.payloads[key] = forgery
        table.stage.mine()
        table.send()
        table.stage.a.manager.groups.clear()
        assert self.ask(table, intruder) is None
        assert self.ask(table, KEY_B) is not None

    def test_no_longer_than_there_is_time(self, table: Table) -> None:
        table.send()
        question = StateRootQuery(GROUP, 1, table.stage.a.root(GROUP))
        assert table.agreements[KEY_A].answer(KEY_B, KEY_A, question, table.now - 1) is None
        assert table.agreements[KEY_A].answer(KEY_B, KEY_A, question, table.now + 1) is not None
