"""A payload is executed with success once, whatever markers other accounts send, and when its payloads come."""

import pytest

from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS
from lacnode.privacy.state.private_records import PrivateStatus
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEY_A,
    KEY_B,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import RICH, signed
from tests.unit.privacy.test_execution import receipt_of

GROUP = legacy_group_id(KEY_A, (KEY_B,))
PAY, OPEN, SHUT = 1, 2, 3
BANK = private_contract_address(ALICE.address, 0, GROUP)
BANK_CODE = bytes.fromhex(
    "36600557fe"  # without data it fails
    "5b60003580600114601857"  # PAY jumps
    "6002900360015500"  # OPEN and SHUT set slot 1
    "5b60006000600060006000305af150"  # PAY calls itself without data: this takes the sender's nonce back
    "60015460375760016000540160005500"  # it adds 1 to slot 0 while the bank is open
    "5b60006000fd"
)
"""A contract whose payments succeed without using up their nonce, as each first nested call that fails does in Besu."""


@pytest.fixture
def network() -> PrivateTestNetwork:
    network = PrivateTestNetwork()
    network.a.send(private(ALICE, 0, data=deploying(BANK_CODE)))
    network.mine()
    return network


def sent(network: PrivateTestNetwork, operation: int) -> bytes:
    """The key of the payload of an operation at the bank, which a block executes."""
    key, nonce = (BOB, 0) if operation == PAY else (ALICE, None)
    if nonce is None:
        nonce = network.a.privacy_controller.states.next_nonce(key.address, GROUP)
    network.a.send(private(key, nonce, to=BANK, data=word(operation)))
    return network.mine().transactions[0].data


def replay(network: PrivateTestNetwork, payload_key: bytes, nonce: int) -> bytes:
    """A stranger's marker of a payload that it has seen on the chain. Its hash."""
    marker = signed(RICH, nonce, to=PRIVACY_ADDRESS, data=payload_key)
    network.mine(marker)
    return marker.hash


def payments(member: Member) -> int:
    head = member.node.chain.head.header.number
    return member.privacy_controller.states.state_at(GROUP, head).storage(BANK, 0)


def status_of(member: Member, marker: bytes) -> PrivateStatus | None:
    receipt = receipt_of(member, marker)
    return None if receipt is None else receipt.status


def test_a_stranger_cannot_make_a_payment_again(network: PrivateTestNetwork) -> None:
    paid = sent(network, PAY)
    assert network.a.privacy_controller.states.next_nonce(BOB.address, GROUP) == 0, "the nonce is as it was, as in Besu"
    again = [replay(network, paid, nonce) for nonce in range(3)]
    assert [(payments(member), status_of(member, again[0])) for member in (network.a, network.b)] == [
        (1, PrivateStatus.INVALID)
    ] * 2


def test_nor_in_the_block_of_the_payment(network: PrivateTestNetwork) -> None:
    network.a.send(private(BOB, 0, to=BANK, data=word(PAY)))
    (pooled,) = network.a.node.pool.all()
    network.mine(*(signed(RICH, nonce, to=PRIVACY_ADDRESS, data=pooled.transaction.data) for nonce in range(3)))
    assert [payments(member) for member in (network.a, network.b)] == [1, 1]


def test_nor_after_a_restart(network: PrivateTestNetwork) -> None:
    paid = sent(network, PAY)
    controller = network.b.reopen()
    network.mine(signed(RICH, 0, to=PRIVACY_ADDRESS, data=paid), work=False)
    while controller.execution.processor.step():
        pass
    network.a.work()
    assert payments(network.a) == payments(network.b) == 1


def test_one_that_failed_is_executed_at_a_later_marker(network: PrivateTestNetwork) -> None:
    sent(network, SHUT)
    paid = sent(network, PAY)
    assert payments(network.a) == 0
    sent(network, OPEN)
    replay(network, paid, 0)
    replay(network, paid, 1)
    assert [payments(member) for member in (network.a, network.b)] == [1, 1]


@pytest.mark.parametrize("replays_before", [0, 1, 2])
def test_a_late_payload_that_moves_the_success_to_a_later_marker_leads_to_the_same_state(
    network: PrivateTestNetwork, replays_before: int
) -> None:
    """B does not know that the bank was shut when it executed the payment first."""
    shut = sent_to_a_alone(network, SHUT)
    paid = sent(network, PAY)
    sent(network, OPEN)
    for nonce in range(replays_before):
        replay(network, paid, nonce)
    network.b.manager.payloads.update(shut)
    for key in shut:
        assert network.b.privacy_controller.execution.repair.make_due(key)
    network.b.work()
    for nonce in range(replays_before, replays_before + 2):
        replay(network, paid, nonce)
    head = network.a.node.chain.head.header.number
    assert [network.b.root(GROUP, number) for number in range(head + 1)] == [
        network.a.root(GROUP, number) for number in range(head + 1)
    ]
    assert payments(network.b) == 1


def sent_to_a_alone(network: PrivateTestNetwork, operation: int) -> dict[bytes, ReceivedPayload]:
    """The payload of an operation that B does not have when its block comes."""
    before = set(network.b.manager.payloads)
    nonce = network.a.privacy_controller.states.next_nonce(ALICE.address, GROUP)
    network.a.send(private(ALICE, nonce, to=BANK, data=word(operation)))
    held = {key: network.b.manager.payloads.pop(key) for key in set(network.b.manager.payloads) - before}
    network.mine()
    return held
