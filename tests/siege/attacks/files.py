"""Damage on the disk, and a request that two readers would read in two ways.

Found before: of 31 headers of a database with 60 flipped bits, 5 to 9 came back altered, and the node went on. What a
node serves is what the network decided, or an error that names the damage.
"""

import json
import random
import re
import socket
import time

from lacnode.devnet import processes
from lacnode.devnet.manifest import DevnetNode
from tests.siege.attack import Exercise, Findings, Plan
from tests.siege.http import post, request
from tests.siege.measure import log_bytes
from tests.siege.network import SiegeNetwork, ask, height, wait_for

VICTIM = "validator-4"
FLIPPED_BITS = 60
DEADLINE_SECONDS = 60.0
TrueBlocks = dict[int, list[object]]
"""What each node gives for a block, by number: the seals of one block may be others at each."""

NAMES_DAMAGE = re.compile(r"damage|corrupt|checksum", re.IGNORECASE)


def flip_bits(network: SiegeNetwork, plan: Plan) -> Findings:
    """Flip bits in the database of one validator, each time others."""
    findings = Findings()
    rng = random.Random(plan.seed)
    victim, blocks = network.manifest.node(VICTIM), range(plan.chain_blocks)
    wait_for(victim, plan.chain_blocks, DEADLINE_SECONDS + plan.chain_blocks * network.block_period)
    true = {
        number: [ask(node, "eth_getBlockByNumber", hex(number), True) for node in network.nodes] for number in blocks
    }
    network.stop_in(victim)
    file = next(victim.directory.glob("database/**/data.mdb"))
    whole = file.read_bytes()
    for _ in range(plan.damages):
        file.write_bytes(flipped(whole, rng))
        check_answers(network, victim, true, findings)
        if processes.find_pid(victim) is not None:
            processes.kill(victim)
    return findings


def flipped(data: bytes, rng: random.Random) -> bytes:
    """`data` with some bits turned over, none in the two pages that LMDB itself checks first."""
    altered = bytearray(data)
    for _ in range(FLIPPED_BITS):
        altered[rng.randrange(8_192, len(altered))] ^= 1 << rng.randrange(8)
    return bytes(altered)


def check_answers(network: SiegeNetwork, victim: DevnetNode, true: TrueBlocks, findings: Findings) -> None:
    """Start the damaged node; every block that it gives is the true one, and what it cannot give is named."""
    mark = log_bytes(victim)
    network.start(victim)
    deadline = time.monotonic() + DEADLINE_SECONDS / 4
    while height(victim) < 0 and processes.find_pid(victim) is not None and time.monotonic() < deadline:
        time.sleep(0.2)
    altered, missing = compare_blocks(victim, true)
    with victim.log_file.open("rb") as log:
        log.seek(mark)
        is_named = NAMES_DAMAGE.search(log.read().decode("utf-8", "replace")) is not None
    findings.facts.append(
        f"{altered} blocks altered, {missing} not given, damage {'named' if is_named else 'not named'}"
    )
    if altered:
        findings.faults.append(f"{victim.name} gives {altered} of {len(true)} blocks altered")
    if missing and not is_named:
        findings.faults.append(f"{victim.name} cannot give {missing} blocks and does not say that it is damaged")


def compare_blocks(damaged: DevnetNode, true: TrueBlocks) -> tuple[int, int]:
    """How many blocks the damaged node gives altered, and how many it does not give."""
    altered = missing = 0
    for number, answers in true.items():
        found = ask(damaged, "eth_getBlockByNumber", hex(number), True) if processes.find_pid(damaged) else None
        missing += found is None
        altered += found is not None and found not in answers
    return altered, missing


def two_lengths(network: SiegeNetwork, plan: Plan) -> Findings:
    """Content-Length and Transfer-Encoding in one request, and a second request behind it."""
    findings = Findings()
    body = json.dumps(request("eth_chainId")).encode()
    chunked = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    first = post(body, "Transfer-Encoding: chunked").partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + chunked
    answered = exchange(network.nodes[0].rpc_port, first + post(body, "Connection: close")).count(b"HTTP/1.1 200")
    findings.facts.append(f"requests answered: {answered}")
    if answered > 1:
        findings.faults.append("a connection goes on after a request with two lengths (RFC 9112 6.1: it closes)")
    return findings


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes and read until the node hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as connection:
        connection.sendall(data)
        received = b""
        try:
            while data := connection.recv(65_536):
                received += data
        except OSError:
            return received
    return received


ATTACKS = (
    Exercise("http-two-lengths", "Content-Length and Transfer-Encoding in one request", two_lengths, False),
    Exercise("flipped-bits", f"{FLIPPED_BITS} flipped bits in the database of one validator", flip_bits),
)
