"""The way from IBFT 2.0 to QBFT as docs/operators/migration.md describes it, step by step, on nodes with their files.

Four validators and a follower make one journey. The tests look at what was seen on it. The journey says up to which height
blocks may be made, so that no step is late on a slow machine.
"""

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from lacnode.consensus.protocols import PROTOCOLS
from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.node import Node
from lacnode.node.node_resources import BlockPacing
from lacnode.node.run_node import NodeStartError, open_node
from lacnode.p2p.wire.enode import Enode
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.settings import HttpSettings
from tests.support.logs import captured_logs

pytestmark = pytest.mark.xdist_group("migration")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "migration.md"
DEADLINE_SECONDS = 240
VALIDATORS, FOLLOWER = range(4), 4
EPOCH_BLOCKS = 7
START_BLOCK = EPOCH_BLOCKS + 1
GROUPS = ("ADMIN", "ETH", "IBFT", "LAC", "NET", "QBFT")
SWITCH = "From Besu IBFT 2.0 to QBFT"


@dataclass
class Journey:
    """The nodes, and what was seen on the way. `last_height` is the highest block that validators may make."""

    directory: Path
    port_offset: int
    nursery: trio.Nursery
    client: httpx.AsyncClient
    old_genesis: dict[str, Any] = field(default_factory=dict)
    new_genesis: dict[str, Any] = field(default_factory=dict)
    keys: list[NodeKey] = field(default_factory=list)
    nodes: dict[int, Node] = field(default_factory=dict)
    scopes: dict[int, tuple[trio.CancelScope, trio.Event]] = field(default_factory=dict)
    last_height: int = 3
    seen: dict[str, Any] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)

    async def start(self, index: int) -> None:
        """Start a node on its files."""
        node = open_node(
            self._config(index), pacing=BlockPacing(may_run_timers=lambda height: height <= self.last_height)
        )
        scope, ended = trio.CancelScope(), trio.Event()

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            try:
                with scope:
                    await node.run(task_status=task_status)
            finally:
                node.close()
                ended.set()

        await self.nursery.start(run)
        self.nodes[index], self.scopes[index] = node, (scope, ended)

    async def stop(self, index: int) -> None:
        scope, ended = self.scopes.pop(index)
        del self.nodes[index]
        scope.cancel()
        await ended.wait()

    def install(self, index: int, genesis: dict[str, Any]) -> None:
        """Write the genesis file of a node."""
        (self.path(index) / "genesis.json").write_text(json.dumps(genesis))

    async def allow_up_to(self, height: int) -> None:
        """Let blocks up to `height` be made."""
        self.last_height = height
        for index in self.nodes.keys() & set(VALIDATORS):
            self.nodes[index].validator.timers.start_kept_timers()

    async def all_have(self, number: int, *but: int) -> None:
        """Return once every running node has block `number`, except those named."""
        for index in sorted(self.nodes.keys() - set(but)):
            await self.nodes[index].wait_for_block(number)

    async def ask(self, index: int, method: str, *params: object) -> Any:
        """The result of an RPC method."""
        self.called.add(method)
        port = self.nodes[index].rpc.http_port
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self.client.post(f"http://127.0.0.1:{port}", json=request)).json()
        assert "result" in answer, (method, answer)
        return answer["result"]

    async def until(self, reached: Callable[[], Any]) -> None:
        """Return once `await reached()` is true."""
        while True:
            if await reached():
                return
            await trio.sleep(0.1)

    def path(self, index: int) -> Path:
        return self.directory / f"node-{index}"

    def header(self, index: int, number: int) -> BlockHeader:
        header = self.nodes[index].chain.header_at(number)
        assert header is not None
        return header

    def _config(self, index: int) -> NodeConfig:
        ports = node_ports(index, self.port_offset)
        enodes = [
            Enode(k.public_key, "127.0.0.1", node_ports(i, self.port_offset).p2p, None) for i, k in enumerate(self.keys)
        ]
        return NodeConfig(
            data_path=self.path(index),
            genesis_file=self.path(index) / "genesis.json",
            p2p=P2pSettings(
                interface="127.0.0.1",
                port=ports.p2p,
                inbound_share=None,
                discovery=False,
                static_nodes=tuple(enode for i, enode in enumerate(enodes) if i != index),
            ),
            http=HttpSettings(port=ports.rpc, groups=GROUPS, allowed_hosts=("*",)),
        )


async def lacnode_on_every_validator(at: Journey) -> None:
    at.keys = [NodeKey.generate() for _ in range(5)]
    at.old_genesis = devnet_genesis([at.keys[i].address for i in VALIDATORS], (), 0.3, 1_700_000_000, "berlin")
    config: Any = at.old_genesis["config"]
    config["ibft2"]["epochlength"] = EPOCH_BLOCKS
    for index, key in enumerate(at.keys):
        at.path(index).mkdir()
        save_node_key(at.path(index) / "key", key)
        at.install(index, at.old_genesis)
        await at.start(index)
    await at.all_have(3)
    at.seen["before"] = [await at.ask(index, "lac_consensusStatus") for index in VALIDATORS]


async def choose_the_first_block(at: Journey) -> None:
    head = int(await at.ask(0, "eth_blockNumber"), 16)
    assert head < START_BLOCK - 1
    (section,) = (json.loads("{" + block + "}") for block in re.findall(r"```json\n(.*?)```", switch_section(), re.S))
    # The section of the page, with the values of this network. The page says which ones are copied.
    section["qbft"] |= {**at.old_genesis["config"]["ibft2"], "startBlock": START_BLOCK}
    at.new_genesis = {**at.old_genesis, "config": {**at.old_genesis["config"], **section}}


async def restart_one_node_after_the_other(at: Journey) -> None:
    at.seen["heights of restarts"] = []
    for index in VALIDATORS:
        await at.stop(index)
        at.install(index, at.new_genesis)
        await at.start(index)
        # The network makes blocks all the time. The last one before the switch is not passed yet.
        await at.allow_up_to(min(START_BLOCK - 2, at.last_height + 1))
        await at.all_have(at.last_height)
        at.seen["heights of restarts"].append(at.last_height)


async def see_who_has_it(at: Journey) -> None:
    async def connected() -> bool:
        return len(await at.ask(0, "admin_peers")) == 4

    await at.until(connected)
    at.seen["capabilities"] = {peer["id"].removeprefix("0x"): peer["caps"] for peer in await at.ask(0, "admin_peers")}


async def settle_votes(at: Journey) -> None:
    newcomer = to_hex(at.keys[FOLLOWER].address)
    for index in (0, 1):
        assert await at.ask(index, "ibft_proposeValidatorVote", newcomer, True, True) is True
    await at.allow_up_to(START_BLOCK - 1)
    await at.all_have(START_BLOCK - 1)
    at.seen["open votes"] = await at.ask(0, "lac_pendingVotes")
    at.seen["methods before"] = await answers(at)


async def pass_the_switch(at: Journey) -> None:
    # One validator is down across it, and the follower still has the old file.
    await at.stop(3)
    await at.allow_up_to(START_BLOCK + 4)
    await at.all_have(START_BLOCK + 4, FOLLOWER)
    at.seen["after"] = [await at.ask(index, "lac_consensusStatus") for index in (0, 1, 2)]
    at.seen["methods after"] = await answers(at)
    at.seen["signers"] = await at.ask(0, "istanbul_getSignersFromBlock", hex(START_BLOCK))
    at.seen["head of the old file"] = at.nodes[FOLLOWER].chain.head.header.number


async def bring_back_the_late(at: Journey) -> None:
    await at.stop(FOLLOWER)
    at.install(FOLLOWER, at.new_genesis)
    await at.start(FOLLOWER)
    await at.start(3)
    await at.all_have(START_BLOCK + 4)
    # The third vote, by the other name. The first two were proposed before the switch.
    assert await at.ask(2, "qbft_proposeValidatorVote", to_hex(at.keys[FOLLOWER].address), True, True) is True
    await at.allow_up_to(10**9)

    async def proposes() -> bool:
        head = at.nodes[0].chain.head.header
        return {at.keys[3].address, at.keys[FOLLOWER].address} <= {
            at.header(0, number).coinbase for number in range(START_BLOCK, head.number + 1)
        }

    await at.until(proposes)
    last = max(node.chain.head.header.number for node in at.nodes.values())
    await at.all_have(last)
    at.seen["chains"] = {tuple(node.chain.hash_at(n) for n in range(last + 1)) for node in at.nodes.values()}
    at.seen["protocols"] = [protocol_of(at.header(FOLLOWER, number)) for number in range(1, last + 1)]


async def no_way_back(at: Journey) -> None:
    await at.stop(0)
    refusals = {}
    for start_block in (None, START_BLOCK - 3, START_BLOCK + 1):
        genesis = json.loads(json.dumps(at.new_genesis))
        genesis["config"]["qbft"]["startBlock"] = start_block
        at.install(0, at.old_genesis if start_block is None else genesis)
        with pytest.raises(NodeStartError) as refused, closing(open_node(at._config(0))):
            pass
        refusals[start_block] = str(refused.value)
    at.seen["refusals"] = refusals
    at.install(0, at.new_genesis)
    await at.start(0)
    await at.nodes[0].wait_for_block(at.nodes[1].chain.head.header.number + 2)


STEPS = (
    ("1. Let lacnode run every validator", lacnode_on_every_validator),
    ("2. Choose the first block of QBFT", choose_the_first_block),
    ("3. Give every node the new genesis file, one after the other", restart_one_node_after_the_other),
    ("4. See that every node has it", see_who_has_it),
    ("5. Settle open votes", settle_votes),
    ("6. Watch the switch", pass_the_switch),
    ("7. Bring back the nodes that were away", bring_back_the_late),
    ("8. Keep the genesis file", no_way_back),
)


def switch_section() -> str:
    """The part of the page about this way, without the other ways."""
    (text,) = re.findall(rf"^## {SWITCH}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.S | re.M)
    return str(text)


async def answers(at: Journey) -> dict[tuple[str, str], Any]:
    """What both groups of methods say."""
    found = {}
    for group in ("ibft", "qbft"):
        for block in ("0x1", "latest"):
            found[group, block] = await at.ask(0, f"{group}_getValidatorsByBlockNumber", block)
        found[group, "votes"] = await at.ask(0, f"{group}_getPendingVotes")
    return found


def protocol_of(header: BlockHeader) -> str:
    names = []
    for protocol in PROTOCOLS.values():
        try:
            protocol.decode_extra_data(header.extra_data)
        except ValueError:
            continue
        names.append(protocol.name)
    (name,) = names
    return name


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """The journey after its last step."""

    async def story() -> Journey:
        with claim_port_offset(5) as port_offset, trio.fail_after(DEADLINE_SECONDS):
            async with httpx.AsyncClient(timeout=60) as client, trio.open_nursery() as nursery:
                at = Journey(tmp_path_factory.mktemp("migration"), port_offset, nursery, client)
                with captured_logs() as logs:
                    for _, step in STEPS:
                        await step(at)
                at.seen["logs"] = list(logs)
                nursery.cancel_scope.cancel()
        return at

    return trio.run(story)


def test_the_page_has_these_steps_and_no_other() -> None:
    assert re.findall(r"^### (.*)$", switch_section(), re.M) == [title for title, _ in STEPS]


def test_every_method_of_the_page_was_called(journey: Journey) -> None:
    named = set(re.findall(r"`((?:admin|eth|ibft|qbft|istanbul|lac)_\w+)`", switch_section()))
    assert len(named) > 5
    assert named <= journey.called


def test_blocks_came_at_every_restart(journey: Journey) -> None:
    assert journey.seen["heights of restarts"] == [4, 5, 6, 6]


def test_the_capabilities_say_which_node_has_the_new_file(journey: Journey) -> None:
    found = {index: journey.seen["capabilities"][journey.keys[index].public_key.hex()] for index in (1, 2, 3, FOLLOWER)}
    assert all({"IBF/1", "istanbul/100"} <= set(found[index]) for index in (1, 2, 3))
    assert "IBF/1" in found[FOLLOWER]
    assert "istanbul/100" not in found[FOLLOWER]


def test_besu_10679_both_groups_of_methods_answer_before_and_after(journey: Journey) -> None:
    listed = [to_hex(address) for address in sorted(journey.keys[index].address for index in VALIDATORS)]
    for when in ("methods before", "methods after"):
        for group in ("ibft", "qbft"):
            assert journey.seen[when][group, "0x1"] == listed
            assert journey.seen[when][group, "latest"] == listed
            assert journey.seen[when][group, "votes"] == {to_hex(journey.keys[FOLLOWER].address): True}
    assert set(journey.seen["signers"]["Committers"]) <= set(listed)
    assert len(journey.seen["signers"]["Committers"]) == 3


def test_besu_10680_every_height_has_one_protocol(journey: Journey) -> None:
    protocols = journey.seen["protocols"]
    assert protocols[: START_BLOCK - 1] == ["ibft2"] * (START_BLOCK - 1)
    assert set(protocols[START_BLOCK - 1 :]) == {"qbft"}
    assert {status["protocol"] for status in journey.seen["before"]} == {"ibft2"}
    assert {status["protocol"] for status in journey.seen["after"]} == {"qbft"}


def test_a_node_with_the_old_file_stops_before_the_switch_and_says_why(journey: Journey) -> None:
    assert journey.seen["head of the old file"] == START_BLOCK - 1
    text = f"block {START_BLOCK} has the extra data of qbft, and by the genesis file ibft2 makes this block"
    assert any(text in str(line) for line in journey.seen["logs"])


def test_those_who_were_away_and_the_new_validator_have_the_same_chain(journey: Journey) -> None:
    """The vote for the follower began before the switch and ended after it. `bring_back_the_late` waits for its block."""
    assert len(journey.seen["chains"]) == 1


def test_a_file_that_contradicts_the_chain_is_refused_with_block_and_rule(journey: Journey) -> None:
    refusals = journey.seen["refusals"]
    assert re.search(r"block \d+ breaks the rule extra-data", refusals[None])
    assert f"block {START_BLOCK - 3} breaks the rule extra-data" in refusals[START_BLOCK - 3]
    assert f"block {START_BLOCK} breaks the rule extra-data" in refusals[START_BLOCK + 1]
