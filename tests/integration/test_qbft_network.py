"""Four QBFT validators over real connections: agreement, the loss of one of them, and a vote against it.

And what its loss costs a transaction in a network that makes no empty blocks.
"""

import time
from typing import Any

import httpx
import pytest
import trio
from eth_account import Account

from lacnode.consensus.qbft.protocol import QBFT
from lacnode.devnet import in_process
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import CHAIN_ID, devnet_genesis
from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.in_process import build_memory_network
from lacnode.node.node import Node
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction

DEADLINE_SECONDS = 120
BLOCK_PERIOD_SECONDS = 0.3


def round_of(node: Node, number: int) -> int:
    """The round in which block `number` was decided."""
    header = node.chain.header_at(number)
    assert header is not None
    return QBFT.decode_extra_data(header.extra_data).round


async def vote_against(node: Node, other: Node) -> None:
    """Let `node` vote that `other` is a validator no longer."""
    params = [to_hex(other.key.address), False, True]
    request = {"jsonrpc": "2.0", "id": 1, "method": "qbft_proposeValidatorVote", "params": params}
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        answer = (await client.post(f"http://127.0.0.1:{node.rpc.http_port}", json=request)).json()
    assert answer.get("result") is True, answer


async def wait_for_validators(node: Node, count: int) -> None:
    """Return once `count` validators make the next block of `node`."""
    while True:
        head = node.chain.head.header
        if len(node.chain.validators_after(head)) == count:
            return
        await node.wait_for_block(head.number + 1)


def test_a_network_survives_the_loss_of_a_validator_and_votes_it_out() -> None:
    async def story() -> None:
        with claim_port_offset(4) as port_offset, trio.fail_after(DEADLINE_SECONDS):
            nodes = build_memory_network(4, BLOCK_PERIOD_SECONDS, port_offset, consensus="qbft").nodes
            async with trio.open_nursery() as nursery:
                lost = trio.CancelScope()

                async def run_lost(*, task_status: trio.TaskStatus[None]) -> None:
                    with lost:
                        await nodes[3].run(task_status=task_status)

                for node in nodes[:3]:
                    await nursery.start(node.run)
                await nursery.start(run_lost)
                for node in nodes:
                    await node.wait_for_block(4)
                    capabilities = {name for peer in node.network.peers for name in peer.description.capabilities}
                    assert "istanbul/100" in capabilities
                    assert "IBF/1" not in capabilities
                lost.cancel()
                before = max(node.chain.head.header.number for node in nodes[:3])
                # Every fourth block is the lost validator's turn: the others decide it in a later round.
                for node in nodes[:3]:
                    await node.wait_for_block(before + 5)
                rounds = [round_of(nodes[0], number) for number in range(before + 1, before + 6)]
                assert max(rounds) > 0
                for node in nodes[:3]:
                    await vote_against(node, nodes[3])
                for node in nodes[:3]:
                    await wait_for_validators(node, 3)
                after = max(node.chain.head.header.number for node in nodes[:3])
                for node in nodes[:3]:
                    await node.wait_for_block(after + 4)
                assert len({node.chain.hash_at(after + 4) for node in nodes[:3]}) == 1
                nursery.cancel_scope.cancel()

    trio.run(story)


TRANSFER = Account.sign_transaction(
    {"nonce": 0, "gas": 21_000, "gasPrice": 0, "to": bytes(19) + b"\x01", "value": 1, "data": b"", "chainId": CHAIN_ID},
    funded_accounts()[0].private_key,
)


def test_a_lost_proposer_costs_a_transaction_one_round_and_not_the_period_of_empty_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The period is longer than this test may last."""

    def with_empty_block_period(*arguments: Any) -> dict[str, Any]:
        genesis: dict[str, Any] = devnet_genesis(*arguments)
        genesis["config"]["qbft"] |= {"xemptyblockperiodseconds": 3600, "requesttimeoutseconds": 1}
        return genesis

    monkeypatch.setattr(in_process, "devnet_genesis", with_empty_block_period)

    async def story() -> None:
        with claim_port_offset(4) as port_offset, trio.fail_after(DEADLINE_SECONDS):
            nodes = build_memory_network(4, BLOCK_PERIOD_SECONDS, port_offset, consensus="qbft").nodes
            _, *others = sorted(nodes, key=lambda node: node.key.address)
            async with trio.open_nursery() as nursery:
                for node in others:
                    await nursery.start(node.run)
                    node.pool.add(Transaction.decode(bytes(TRANSFER.raw_transaction)), local=True, now=time.time())
                for node in others:
                    # The first proposer is the one with the lowest address, which is lost.
                    await node.wait_for_block(1)
                header = others[0].chain.head.header
                assert round_of(others[0], 1) == 1
                assert header.gas_used == 21_000
                nursery.cancel_scope.cancel()

    trio.run(story)
