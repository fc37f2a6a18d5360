"""What a permissioned node answers about connections, while its rules are asked in a thread of their own."""

import threading
from collections.abc import Callable
from dataclasses import replace

import trio
import trio.testing

from lacnode.crypto.node_key import NodeKey
from lacnode.node.permissioning_policy import PermissioningPolicy
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.p2p.connection_policies import Connection
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import REFUSED
from lacnode.permissioning.contract_reader import ContractReading
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.primitives.header import BlockHeader
from tests.support.rpc_chain import node

DEADLINE = 30.0
OWN, BOOT, STRANGER, OTHER = (Enode(NodeKey.generate().public_key, f"10.0.0.{n}", 30303, None) for n in range(4))
SETTLED = PermissioningContext(node().chain.head.header, (), is_current=True, is_isolated=False)
INBOUND = Connection(STRANGER, True, OWN)
BEHIND = replace(SETTLED, is_current=False)


class Contract:
    """Permits nobody, once it is let go."""

    def __init__(self) -> None:
        self.asked, self.goes_on = threading.Event(), threading.Event()

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.asked.set()
        assert self.goes_on.wait(DEADLINE)
        return ContractReading(REFUSED, frozenset(), frozenset(), True)

    def fingerprint(self, accounts: object, header: BlockHeader) -> int:
        return 0


def policy_of(
    contract: Contract, context: Callable[[], PermissioningContext], changed: Callable[[], None]
) -> PermissioningPolicy:
    settings = PermissioningSettings(node_contract=bytes(20))
    permissions = PermissioningRules(settings, contract, own_id=OWN.id, bootnodes=[BOOT], static_nodes=())
    policy = PermissioningPolicy(permissions, context)
    policy.on_change(changed)
    return policy


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await trio.sleep(0.01)


async def test_a_refusal_by_another_rule_than_before_is_told_with_its_own_reason() -> None:
    moments, contract = [BEHIND], Contract()
    contract.goes_on.set()
    policy = policy_of(contract, lambda: moments[0], lambda: None)
    with trio.fail_after(DEADLINE):
        await policy.prepare_decision(INBOUND)
        before = policy.decide(INBOUND)
        assert not before.allowed
        assert before.rule == "not-synchronised"
        moments[0] = SETTLED
        async with trio.open_nursery() as nursery:
            nursery.start_soon(policy.run)
            policy.mark_stale()
            await until(lambda: policy.decide(INBOUND).rule == "node-contract")
            nursery.cancel_scope.cancel()


async def test_who_did_not_wait_for_its_turn_is_decided_about_all_the_same() -> None:
    """Behind others whose rules take long to ask, a handshake runs out of time again and again."""
    contract, is_decided = Contract(), trio.Event()
    policy = policy_of(contract, lambda: SETTLED, is_decided.set)
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(policy.run)
            nursery.start_soon(policy.prepare_decision, Connection(OTHER, True, OWN))
            await trio.to_thread.run_sync(contract.asked.wait, DEADLINE)
            with trio.CancelScope() as handshake:
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(policy.prepare_decision, INBOUND)
                    await trio.testing.wait_all_tasks_blocked()
                    handshake.cancel()
            contract.goes_on.set()
            await is_decided.wait()
            nursery.cancel_scope.cancel()
    assert policy.decide(INBOUND).rule == "node-contract"
