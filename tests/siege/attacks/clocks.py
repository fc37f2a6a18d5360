"""A validator whose clock is an hour behind the others'.

Found before: every block of its peers looks as if it came from the future; the node called them liars and left them. It
cannot follow, but it stays connected, so that it is back at once when its clock is right.
"""

import time

from tests.siege.attack import Exercise, Findings, Plan
from tests.siege.network import SiegeNetwork, ask, height

VICTIM = "validator-3"
PERIODS = 20
STEP_SECONDS = 0.5


def set_clock_back(network: SiegeNetwork, plan: Plan) -> Findings:
    """Start a network with one such validator and look at its peers for a while."""
    findings = Findings()
    network.renew({VICTIM: "clock-behind"}, waiting=False)
    victim = network.manifest.node(VICTIM)
    counts = []
    deadline = time.monotonic() + PERIODS * network.block_period
    while time.monotonic() < deadline:
        counts.append(peers(network, VICTIM))
        time.sleep(STEP_SECONDS)
    late = counts[len(counts) // 2 :]
    findings.facts.append(f"head {height(victim)} of {height(network.nodes[0])}, peers {min(late)} to {max(late)}")
    if min(late) < len(network.nodes) - 1:
        findings.faults.append(f"{VICTIM} leaves its peers because its own clock is wrong")
    if height(network.nodes[0]) < PERIODS // 4:
        findings.faults.append("one wrong clock of four stops the chain")
    return findings


def peers(network: SiegeNetwork, name: str) -> int:
    """How many peers a node has, 0 while it does not answer."""
    found = ask(network.manifest.node(name), "net_peerCount", timeout=2.0)
    return int(found, 16) if isinstance(found, str) else 0


ATTACKS = (Exercise("clock-behind", "the clock of one validator is an hour behind", set_clock_back),)
