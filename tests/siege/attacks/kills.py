"""`kill -9` at random moments, under load, with lost and stale files among the restarts.

Nothing that a node had is lost, no two blocks have one height, and no validator contradicts itself.
"""

import random
import shutil
import sys
import time
from pathlib import Path

from lacnode.devnet import processes
from lacnode.devnet.manifest import DevnetNode
from tests.siege.attack import Exercise, Findings, Plan
from tests.siege.attacks.signing_state import DEADLINE_SECONDS, forget
from tests.siege.heard import RECORDERS, contradictions, heard_by, last_height_of
from tests.siege.network import SiegeNetwork, ask, block_hash, height, wait_for
from tests.siege.transactions import SiegeSender, raw

LONGEST_PAUSE_SECONDS = 1.5
EVERY = 10
"""One kill of so many is followed by a lost journal, and one by a stale copy."""

TRANSFERS_A_KILL = 20


class Killer:
    """Kills and restarts nodes of one network, and keeps a copy of each node's files."""

    def __init__(self, network: SiegeNetwork, plan: Plan) -> None:
        self._network = network
        self._rng = random.Random(plan.seed)
        self._copies: dict[str, Path] = {}
        self.findings = Findings()
        self.losses = 0

    def kill_once(self, number: int) -> None:
        """Kill one node under load, start it again, and compare what it has with what it had."""
        node = self._rng.choice(self._network.nodes)
        self._load()
        time.sleep(self._rng.random() * LONGEST_PAUSE_SECONDS)
        had = max(0, height(node))
        before = block_hash(node, had)
        processes.kill(node)
        loses = self._lose_something(node, number)
        self._network.start(node, "recorder")
        if not wait_for(node, had, DEADLINE_SECONDS):
            self.findings.faults.append(f"kill {number}: {node.name} does not have block {had} again")
            return
        after = block_hash(node, had)
        if before is not None and after != before:
            self.findings.faults.append(f"kill {number}: block {had} of {node.name} is another one")
        if loses:
            self._wait_until_it_signs(node, number)

    def _load(self) -> None:
        for _ in range(TRANSFERS_A_KILL):
            node = self._rng.choice(self._network.nodes)
            ask(node, "eth_sendRawTransaction", raw(SiegeSender().transfer()), timeout=2.0)

    def _lose_something(self, node: DevnetNode, number: int) -> bool:
        """Whether the journal or the newest blocks of a node that is down were taken from it."""
        copy = self._copies.get(node.name)
        if number % EVERY == EVERY // 2:
            forget(node)
        elif number % EVERY == 0 and copy is not None:
            restore(node, copy)
        else:
            if number % 3 == 0:
                self._copies[node.name] = saved(node)
            return False
        self.losses += 1
        return True

    def _wait_until_it_signs(self, node: DevnetNode, number: int) -> None:
        """Two validators without memory at once would stop a network of four for good reason."""
        begin = max(height(each) for each in self._network.nodes)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while last_height_of(node.address, heard_by(self._network.nodes)) <= begin + 1:
            if time.monotonic() > deadline:
                self.findings.faults.append(f"kill {number}: {node.name} lost its files and never signed again")
                return
            time.sleep(0.3)


def saved(node: DevnetNode) -> Path:
    """A copy of the database and the consensus log of a node that is down."""
    copy = Path(str(node.directory) + "-saved")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copytree(node.directory / "database", copy / "database")
    for file in node.directory.glob("consensus.log"):
        shutil.copy2(file, copy / file.name)
    return copy


def restore(node: DevnetNode, copy: Path) -> None:
    """Give a node that is down the files of before."""
    shutil.rmtree(node.directory / "database")
    forget(node)
    shutil.copytree(copy / "database", node.directory / "database")
    for file in copy.glob("consensus.log"):
        shutil.copy2(file, node.directory / file.name)


def kill_at_random(network: SiegeNetwork, plan: Plan) -> Findings:
    """Kill as often as the plan says, then compare the chains of all nodes."""
    network.renew(RECORDERS)
    killer = Killer(network, plan)
    for number in range(1, plan.kills + 1):
        killer.kill_once(number)
        print(f"\r  kill {number} of {plan.kills}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    findings = killer.findings
    findings.faults += contradictions(heard_by(network.nodes))
    findings.faults += chains_differ(network)
    findings.facts.append(
        f"{plan.kills} kills, {killer.losses} with lost or stale files, head {height(network.nodes[0])}"
    )
    return findings


def chains_differ(network: SiegeNetwork) -> list[str]:
    """One sentence for each node that goes not on, and each height with two blocks."""
    reached = max(height(node) for node in network.nodes)
    faults = [
        f"{node.name} does not go on after block {height(node)}"
        for node in network.nodes
        if not wait_for(node, reached + 2, DEADLINE_SECONDS)
    ]
    for number in range(reached + 1):
        hashes = {block_hash(node, number) for node in network.nodes}
        if len(hashes) != 1 or None in hashes:
            faults.append(f"height {number}: {sorted(map(str, hashes))}")
    return faults


ATTACKS = (Exercise("kills", "kill -9 at random, lost and stale files among the restarts", kill_at_random),)
