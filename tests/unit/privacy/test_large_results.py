"""Private transactions with large results. Their gas is not paid for on the public chain, so a block may have thousands."""

import pytest

from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS
from lacnode.privacy.state.private_records import PrivateStatus
from lacnode.privacy.state.private_store import RECEIPTS
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.state.time_slices import SETTLED_CHANGES
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import RICH, signed
from tests.unit.privacy.test_execution import receipt_of

LOG_BYTES, COUNT = 100_000, 8
LOGGING = bytes.fromhex(f"62{LOG_BYTES:06x}6000a0")
HOSTILE = legacy_group_id(KEY_C, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, legacy_group_id(KEY_A, (KEY_B,)))


def stored_bytes(member: Member) -> int:
    with member.node.chain._database.read() as snapshot:
        return sum(len(value) for _, value in snapshot.items(RECEIPTS))


def test_are_stored_in_several_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.privacy.state.execution.MAX_UNSTORED_BYTES", 3 * LOG_BYTES)
    network = PrivateTestNetwork()
    network.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    for nonce in range(SETTLED_CHANGES):
        network.mine()
        honest = network.a.send(private(ALICE, nonce + 1, to=KEEPER_ADDRESS, data=word(nonce + 5)))
    large = [private(BOB, nonce, data=LOGGING, private_from=KEY_C, private_for=[KEY_B]) for nonce in range(COUNT)]
    keys = [network.c.privacy_controller.sender.distribute(one, KEY_C) for one in large]
    markers = [signed(RICH, nonce, to=PRIVACY_ADDRESS, data=key) for nonce, key in enumerate(keys)]
    network.mine(*markers, work=False)
    assert network.b.privacy_controller.execution.processor.step()
    assert stored_bytes(network.b) <= 4 * LOG_BYTES
    receipt = receipt_of(network.b, honest)
    assert receipt is not None
    assert receipt.status is PrivateStatus.SUCCESSFUL, "a small one of a settled group does not wait"
    for member in network.members:
        member.work()
    assert stored_bytes(network.b) > COUNT * LOG_BYTES, "the others follow"
    assert network.b.root(HOSTILE) == network.c.root(HOSTILE)
