"""Validators that lost what they know of their signatures.

Found before: a validator whose `consensus.log` was deleted went on without a word, and a copy of a data directory whose
head was 22 blocks old signed a proposal for a decided height before it had a single peer. A validator that cannot know
what it has signed follows, says so, and signs nothing that could contradict it.
"""

import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

from lacnode.devnet import processes
from lacnode.devnet.devnet_ports import node_ports
from lacnode.devnet.manifest import DevnetNode
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError
from lacnode.storage.consensus_log import ConsensusLog
from tests.siege.attack import Exercise, Findings, Plan
from tests.siege.heard import RECORDERS, contradictions, heard_by, last_height_of
from tests.siege.measure import log_bytes
from tests.siege.network import SiegeNetwork, height, wait_for

VICTIM = "validator-3"
DEADLINE_SECONDS = 90.0
ALONE_PERIODS = 8
"""How long a copy without peers runs, in block periods: two rounds go by."""

COPY_INDEX = 10
"""Where the copy's ports are in the network's hundred."""

SAYS_SO = re.compile(r"\| (WARN|ERROR)\s*\|.*(consensus\.log|signing state|does not sign|will not sign)", re.IGNORECASE)


def lose_journal(network: SiegeNetwork, plan: Plan) -> Findings:
    """Delete `consensus.log` of one validator and start it again."""
    findings = Findings()
    network.renew(RECORDERS)
    victim = network.manifest.node(VICTIM)
    wait_for(victim, 5, DEADLINE_SECONDS)
    network.stop_in(victim)
    forget(victim)
    mark = log_bytes(victim)
    network.start(victim, "recorder")
    check_comes_back(network, victim, findings)
    check_says_so(victim, mark, findings)
    findings.faults += contradictions(heard_by(network.nodes))
    return findings


def forget(node: DevnetNode) -> None:
    """Remove the consensus log of a node that is down."""
    for file in node.directory.glob("consensus.log*"):
        file.unlink()


def check_comes_back(network: SiegeNetwork, victim: DevnetNode, findings: Findings) -> None:
    """The node follows the chain, and signs again when the network is past what it may have signed."""
    begin = max(height(node) for node in network.nodes)
    if not wait_for(victim, begin + 2, DEADLINE_SECONDS):
        findings.faults.append(f"{victim.name} does not follow the chain: head {height(victim)}, others {begin}")
        return
    deadline = time.monotonic() + DEADLINE_SECONDS
    while last_height_of(victim.address, heard_by(network.nodes)) <= begin + 1:
        if time.monotonic() > deadline:
            findings.faults.append(f"{victim.name} has not signed anything {DEADLINE_SECONDS:.0f} s after its return")
            return
        time.sleep(0.2)
    signed = last_height_of(victim.address, heard_by(network.nodes))
    findings.facts.append(f"back at height {begin}, heard again at height {signed}")


def check_says_so(node: DevnetNode, mark: int, findings: Findings) -> None:
    """The log names what is missing after byte `mark`."""
    with node.log_file.open("rb") as file:
        file.seek(mark)
        lines = file.read().decode("utf-8", "replace").splitlines()
    said = next((line for line in lines if SAYS_SO.search(line)), None)
    if said is None:
        findings.faults.append(f"{node.name} does not say that its signing state is not whole")
    else:
        findings.facts.append(said.partition("| ")[2][:120])


def start_stale_copy(network: SiegeNetwork, plan: Plan) -> Findings:
    """Start a copy that is some blocks old: alone first, then beside the node that it was copied from."""
    findings = Findings()
    network.renew(RECORDERS)
    victim = network.manifest.node(VICTIM)
    wait_for(victim, 5, DEADLINE_SECONDS)
    network.stop_in(victim)
    copy = copied(network, victim)
    network.start(victim, "recorder")
    stale = plan.stale_blocks
    wait_for(victim, height(network.nodes[0]) + stale, DEADLINE_SECONDS + stale * network.block_period)
    check_signs_nothing_alone(network, copy, findings)
    begin = max(height(node) for node in network.nodes)
    (copy.directory / "static-nodes.json").write_text(
        (victim.directory / "static-nodes.json").read_text("ascii"), "ascii"
    )
    network.start(copy)
    if not wait_for(network.nodes[0], begin + ALONE_PERIODS, DEADLINE_SECONDS):
        findings.faults.append("no blocks while a copy of a validator runs")
    stop_copy(network, copy)
    findings.faults += contradictions(heard_by(network.nodes))
    return findings


def copied(network: SiegeNetwork, node: DevnetNode) -> DevnetNode:
    """A copy of a node that is down, with the same key, other ports, and no peers in its files."""
    ports = node_ports(COPY_INDEX, network.port_offset)
    directory = Path(str(node.directory) + "-copy")
    shutil.copytree(node.directory, directory, ignore=shutil.ignore_patterns("heard.jsonl", "node.pid", "node.log"))
    copy = replace(
        node,
        name=f"{node.name}-copy",
        data_path=str(directory),
        p2p_port=ports.p2p,
        rpc_port=ports.rpc,
        ws_port=ports.ws,
        rpc_url=f"http://127.0.0.1:{ports.rpc}",
    )
    text = copy.config_file.read_text("utf-8").replace(str(node.directory), str(directory))
    for name, old, new in (("p2p", node.p2p_port, ports.p2p), ("rpc-http", node.rpc_port, ports.rpc)):
        text = text.replace(f"{name}-port={old}", f"{name}-port={new}")
    text = text.replace(f"rpc-ws-port={node.ws_port}", f"rpc-ws-port={ports.ws}")
    lines = [line for line in text.splitlines() if not line.startswith("bootnodes=")]
    copy.config_file.write_text("\n".join([*lines, "discovery-enabled=false", ""]), "utf-8")
    (directory / "static-nodes.json").unlink()
    return copy


def check_signs_nothing_alone(network: SiegeNetwork, copy: DevnetNode, findings: Findings) -> None:
    """Run the copy without peers for a while and look at what its journal has then."""
    before = signed_records(copy)
    mark = log_bytes(copy)
    network.start(copy)
    wait_until_started(copy)
    time.sleep(ALONE_PERIODS * network.block_period)
    stop_copy(network, copy)
    new = signed_records(copy) - before
    findings.faults += [f"the copy signed for height {number} without a peer" for number in sorted(new)]
    findings.facts.append(f"{ALONE_PERIODS * network.block_period:.0f} s alone, {len(new)} heights signed")
    check_says_so(copy, mark, findings)


def wait_until_started(node: DevnetNode) -> None:
    """Wait until `node` answers, or has ended: it may refuse to start."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while height(node) < 0 and processes.find_pid(node) is not None and time.monotonic() < deadline:
        time.sleep(0.1)


def stop_copy(network: SiegeNetwork, copy: DevnetNode) -> None:
    """Stop it if it runs: a node may also have refused to start."""
    if processes.find_pid(copy) is not None:
        network.stop_in(copy)


def signed_records(node: DevnetNode) -> set[int]:
    """The heights for which the journal of a node that is down has a signature."""
    log = ConsensusLog(node.directory / "consensus.log")
    try:
        return {number for record in log.records() if (number := _signed_height(record)) is not None}
    finally:
        log.close()


def _signed_height(record: bytes) -> int | None:
    """A record of a signature is `[0, code, height, round, content]`."""
    try:
        fields = rlp.decode_list(record, "record")
    except RlpError:
        return None
    if len(fields) != 5 or fields[0] != b"" or not isinstance(fields[2], bytes):
        return None
    return int.from_bytes(fields[2], signed=True)


ATTACKS = (
    Exercise("lost-journal", "consensus.log of one validator is deleted", lose_journal),
    Exercise("stale-copy", "a copy of its files from some time ago starts with the same key", start_stale_copy),
)
