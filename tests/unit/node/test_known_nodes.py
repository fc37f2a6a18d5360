"""Nodes that were met are known at the next start: how many, in which order, and what becomes of damage."""

from collections.abc import Sequence

import pytest
import trio

from lacnode.node.known_nodes import KEY, MAX_KNOWN_NODES, TABLE, KnownNodes
from lacnode.p2p.wire.enode import Enode
from lacnode.storage.memory_database import MemoryDatabase

DEADLINE = 20.0


def enode(number: int, tcp: int = 30303) -> Enode:
    return Enode(number.to_bytes(64), "10.0.0.1", tcp, None)


async def after_meeting(database: MemoryDatabase, nodes: Sequence[Enode]) -> tuple[Enode, ...]:
    """What a node knows at its next start that met `nodes` in this order."""
    known = KnownNodes(database)
    for met in nodes:
        known.record_session(met)
    wanted = known.enodes
    async with trio.open_nursery() as nursery:
        nursery.start_soon(known.run)
        with trio.fail_after(DEADLINE):
            while KnownNodes(database).enodes != wanted:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return KnownNodes(database).enodes


async def test_the_last_met_come_first_and_a_new_address_takes_the_olds_place() -> None:
    database = MemoryDatabase()
    assert KnownNodes(database).enodes == ()
    moved = enode(1, tcp=30304)
    assert await after_meeting(database, [enode(1), enode(2), moved]) == (moved, enode(2))
    assert await after_meeting(database, [enode(3)]) == (enode(3), moved, enode(2))


async def test_a_node_that_connects_again_comes_first_and_is_not_the_one_to_go() -> None:
    nodes = [enode(number + 1) for number in range(MAX_KNOWN_NODES)]
    oldest, second, newcomer = nodes[0], nodes[1], enode(MAX_KNOWN_NODES + 1)
    found = await after_meeting(MemoryDatabase(), [*nodes, oldest, newcomer])
    assert found[:2] == (newcomer, oldest)
    assert len(found) == MAX_KNOWN_NODES
    assert second not in found


async def test_who_does_not_listen_is_not_kept_nor_more_than_there_is_room_for() -> None:
    nodes = [enode(number + 1, tcp=0 if number == 0 else 30303) for number in range(MAX_KNOWN_NODES + 10)]
    found = await after_meeting(MemoryDatabase(), nodes)
    assert found == tuple(reversed(nodes))[:MAX_KNOWN_NODES]


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[1]", b'["enode://ab@1.2.3.4:5"]', b"\xff", b"[" * 9999])
def test_damage_is_no_reason_not_to_start(damaged: bytes) -> None:
    database = MemoryDatabase()
    with database.write() as batch:
        batch.put(TABLE, KEY, damaged)
    assert KnownNodes(database).enodes == ()
