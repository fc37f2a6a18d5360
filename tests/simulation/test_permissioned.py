"""Permissioned networks of validators on the virtual clock: each node decides by its own state who may stay connected.

The boot nodes and writers of these stories have no part in consensus; they are in tests/integration with real processes.
"""

from collections.abc import Callable

import pytest

from lacnode.consensus.bft.round_timers import RESEND_INTERVAL_MS
from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import PERMITTED, REFUSED
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadableError
from lacnode.permissioning.node_contract import NodeContract
from lacnode.permissioning.node_permissions import NodePermissions, PermissioningContext
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from tests.simulation.campaign import recovery_bound_ms
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import must_reach, started

SIZE = 4
Answer = Callable[[int], bytes]
"""What the contract answers after the block with a number; may raise ContractUnreadableError."""


class _Contract:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        if len(data) != 260:
            raise ContractUnreadableError("reverted")
        return ContractReading(self._answer(header.number), frozenset(), frozenset(), False)

    def fingerprint(self, accounts: object, header: BlockHeader) -> int:
        return header.number


def permission(network: SimulatedNetwork, answer: Answer, rule_of_validators: bool = True) -> None:
    """From now on every node permits connections by the contract, asked at its own head."""
    keys = sorted(
        (NodeKey.from_private_key(keccak256(b"validator %d" % i)) for i in range(SIZE)), key=lambda key: key.address
    )
    enodes = [Enode(key.public_key, f"10.0.0.{n}", 30303, None) for n, key in enumerate(keys, 1)]
    contract = NodeContract(_Contract(answer), bytes(18) + b"\x99\x99")
    rules = [NodePermissions(enode.id, contract=contract) for enode in enodes]

    def permits(a: int, b: int) -> bool:
        ledger = network.nodes[a].disk.ledger
        validators = ledger.validators if rule_of_validators else ()
        context = PermissioningContext(ledger.head, validators, is_current=True, is_isolated=False)
        return rules[a].decide(enodes[a], enodes[b], context, 1).allowed

    network.links.permits = permits


def broken(number: int) -> bytes:
    raise ContractUnreadableError("reverted")


def unregistered(number: int) -> bytes:
    return REFUSED


@simulated
async def test_besu_528() -> None:
    """Everything starts cold, and no rules are registered yet: the contract refuses everybody."""
    network = started(SIZE)
    network.stop(range(SIZE))
    permission(network, unregistered)
    network.start()
    await must_reach(network, 5, recovery_bound_ms(network))


@pytest.mark.parametrize("answer", [broken, unregistered], ids=["broken", "unregistered"])
@simulated
async def test_lacchain_34(answer: Answer) -> None:
    """Everybody is restarted at once after the rules were lost in block 5."""
    network = started(SIZE)
    permission(network, lambda number: PERMITTED if number < 5 else answer(number))
    await must_reach(network, 8, 60_000)
    network.stop(range(SIZE))
    await network.run_for(60_000)
    before = max(node.height for node in network.nodes)
    network.start()
    await must_reach(network, before + 3, recovery_bound_ms(network))


@simulated
async def test_besu_4319() -> None:
    """A validator was away for a hundred blocks; its own state and everybody else's must let it back in."""
    network = started(SIZE)
    permission(network, lambda number: PERMITTED if number < 10 else REFUSED)
    await must_reach(network, 5, 60_000)
    network.stop([0])
    assert await network.run_until(lambda: network.nodes[1].height >= 105, 300_000)
    network.start([0])
    await must_reach(network, 107, RESEND_INTERVAL_MS + 10_000)


@simulated
async def test_without_the_rule_about_validators_such_a_network_stays_down() -> None:
    """What the rule is for: by the contract alone nobody meets anybody."""
    network = started(SIZE)
    network.stop(range(SIZE))
    permission(network, unregistered, rule_of_validators=False)
    network.start()
    assert not await network.run_until(lambda: network.height >= 1, recovery_bound_ms(network))
