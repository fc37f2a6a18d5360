"""Questions to the contract of a flexible group that need no execution, and those that do."""

from collections.abc import Callable

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.py_evm_block import PyEvmBlock
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible import contract_answers
from lacnode.privacy.state.flexible.group_contracts import GET_PARTICIPANTS, GET_VERSION, LOCK, UNLOCK
from lacnode.privacy.state.private_transaction import private_contract_address
from tests.support.flexible_groups import GROUP, Groups, adding, found, removing, root
from tests.support.private_nodes import ALICE, BOB, KEY_A, KEY_B, KEY_C, deploying, word

UPGRADE = bytes.fromhex("3659cfe6")
ALWAYS = bytes.fromhex("600160005260206000f3")
"""A contract of a group that answers 1 to every question."""


@pytest.fixture
def groups() -> Groups:
    groups = Groups()
    groups.make(KEY_A, KEY_B)
    return groups


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The call data of every private message that an engine executes."""
    execute, seen = PyEvmBlock.execute_private, list[bytes]()

    def noted(self: PyEvmBlock, store: object, root: object, message: object, *rest: object, **named: object) -> object:
        seen.append(message.data)  # type: ignore[attr-defined]
        return execute(self, store, root, message, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(PyEvmBlock, "execute_private", noted)
    return seen


def send(groups: Groups, number: int) -> None:
    """A private transaction of an account of its own. It changes the state of the group and not its contract."""
    groups.send(deploying(b"\0"), to=None, by=NodeKey.from_private_key(keccak256(b"%d" % number)), nonce=0)
    groups.mine()


def test_a_group_with_its_first_contract_is_not_asked_again(groups: Groups, executed: list[bytes]) -> None:
    send(groups, 0)
    executed.clear()
    send(groups, 1)
    assert executed == [deploying(b"\0")] * 2, "once at each member"


def test_each_change_of_the_contract_is_seen(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roots are those of a member that executes every question."""
    always = groups.b.privacy_controller.execution.processor.contract_answers
    monkeypatch.setattr(always, "_unchanged_management", lambda *_: None)
    members: list[object] = []
    for data in (LOCK, adding(KEY_C), LOCK, UNLOCK, removing(KEY_C)):
        groups.done(data)
        send(groups, len(members) + 10)
        assert root(groups.a) == root(groups.b)
        members.append([group["members"] for group in found(groups.a, KEY_A)])
        assert members[-1] == [group["members"] for group in found(groups.b, KEY_A)]
    assert members[0] != members[1] != members[4]


def test_another_contract_is_asked_each_time(groups: Groups, executed: list[bytes]) -> None:
    assert asker(groups)(GET_VERSION) not in (None, word(1))
    made = private_contract_address(BOB.address, 0, GROUP)
    groups.done(deploying(ALWAYS), to=None, by=BOB, nonce=0)
    assert groups.done(UPGRADE + word(made), by=ALICE) == "0x1"
    version = asker(groups)
    executed.clear()
    assert [version(GET_VERSION), version(GET_VERSION)] == [word(1)] * 2
    assert len(executed) == 2


@pytest.mark.parametrize(("name", "value"), [("MIN_BLOCK_GAS", 2**62), ("MAX_ANSWER_BYTES", 16)])
def test_what_may_not_fit_into_a_block_is_executed(
    groups: Groups, executed: list[bytes], monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    monkeypatch.setattr(contract_answers, name, value)
    ask = asker(groups)
    executed.clear()
    assert ask(GET_PARTICIPANTS) == ask(GET_PARTICIPANTS) != b""
    assert len(executed) == 2


def test_the_number_of_answers_is_bounded(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_answers, "MAX_ANSWERS", 2)
    ask = asker(groups)
    for question in (GET_PARTICIPANTS, GET_VERSION, GET_PARTICIPANTS + b"\0", GET_VERSION + b"\0"):
        assert ask(question)
    assert len(groups.a.privacy_controller.execution.processor.contract_answers._answers) <= 2


def asker(groups: Groups) -> Callable[[bytes], bytes | None]:
    return groups.a.privacy_controller.states.contract_asker(GROUP, None, float("inf"))
