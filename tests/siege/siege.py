"""One attack after the other on one network, each measured against the calm before.

Between two attacks the network must be healthy again; if it is not, a new one is started, and the report says so.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lacnode.devnet.manifest import DevnetError, DevnetNode
from tests.siege.attack import Cost, Exercise, Findings, LoadAttack, Plan, Sent
from tests.siege.measure import MEGABYTE, BlockTimes, disk_bytes, log_bytes, memory_bytes, percentile
from tests.siege.modified_validator import DEEDS_FILE
from tests.siege.network import NetworkKind, SiegeNetwork, ask, block_hash, height, wait_for
from tests.siege.permission_calls import transfer_senders
from tests.siege.private_watch import PrivateWatch
from tests.siege.watch import Watch

SETTLE_SECONDS = 5.0
"""Before the calm is measured: nodes load what they need for the first transactions and calls."""

SAMPLE_SECONDS = 0.5
FIRST_BLOCK_SECONDS = 15.0
RETURN_SECONDS = 60.0
END_SECONDS = 15.0


@dataclass
class Result:
    """What one attack did. `cost` is None for exercises; `faults` are sentences, none where all bounds hold."""

    name: str
    about: str
    cost: Cost | None = None
    faults: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.faults


@dataclass
class Siege:
    """Runs attacks; `say` is told of the progress."""

    network: SiegeNetwork
    plan: Plan
    say: Callable[[str], None]
    calm: dict[NetworkKind, BlockTimes] = field(default_factory=dict)
    """What was measured once for all attacks on a kind of network without managers."""

    def measure_calm(self) -> BlockTimes:
        """The block intervals of the network with nothing but a few transfers and calls."""
        with self._watch() as watch:
            time.sleep(SETTLE_SECONDS)
            begin = time.monotonic()
            time.sleep(self.plan.seconds)
            end = time.monotonic()
            calm = self.calm[self.network.kind] = watch.block_times(begin, end)
            self.say(f"calm: {described(calm)}, eth_blockNumber p95 {watch.call_p95(begin, end):.3f} s")
        return calm

    def run(self, attack: LoadAttack | Exercise) -> Result:
        """Carry out one attack and judge it."""
        self.say(f"{attack.name}: {attack.about}")
        try:
            if self.network.kind is not attack.kind:
                self.network.renew(kind=attack.kind)
            result = self._exercise(attack) if isinstance(attack, Exercise) else self._attack(attack)
        except (AssertionError, DevnetError, OSError, RuntimeError) as error:
            result = Result(attack.name, attack.about, None, [f"it could not be measured: {error}"])
            self.network.renew(kind=self.network.kind)
        for fact in result.facts:
            self.say(f"  {fact}")
        self.say("  holds" if result.holds else "".join(f"  BROKEN: {fault}\n" for fault in result.faults).rstrip())
        return result

    def _exercise(self, exercise: Exercise) -> Result:
        findings = exercise.carry_out(self.network, self.plan)
        self._recover(was_modified=False)
        return Result(exercise.name, exercise.about, None, findings.faults, findings.facts)

    def _attack(self, attack: LoadAttack) -> Result:
        if attack.kind.has_managers:
            return self._private_attack(attack)
        calm = self.calm.get(attack.kind) or self.measure_calm()
        if attack.modified:
            self.network.renew(attack.modified, waiting=False)
        findings = Findings()
        with self._watch() as watch:
            self._settle(watch)
            cost = self._measured(attack, watch, calm, findings)
            findings.faults += self._check(attack)
        deeds = deeds_of(self.network.nodes)
        findings.facts += [f"modified validators: {number} {deed}" for deed, number in sorted(deeds.items())]
        if not self._recover(was_modified=bool(attack.modified)):
            findings.facts.append("the network did not recover and was replaced by a new one")
        idle = ["the modified validators did nothing"] if attack.modified and not deeds else []
        faults = [*cost.broken(attack.bounds), *findings.faults, *idle]
        return Result(attack.name, attack.about, cost, faults, findings.facts)

    def _watch(self) -> Watch:
        manifest = self.network.manifest
        return Watch(manifest, transfer_senders(manifest) if manifest.permissioned else {})

    def _check(self, attack: LoadAttack) -> list[str]:
        """What the attack's own check finds. Both are for networks that nobody attacks any more."""
        return [] if attack.check is None else attack.check(self.network)

    def _private_attack(self, attack: LoadAttack) -> Result:
        """The calm before is measured on the same network: more processes, and private transactions, share the machine."""
        findings = Findings()
        facts = findings.facts
        with Watch(self.network.manifest) as watch, PrivateWatch(self.network.manifest) as private:
            self._settle(watch)
            begin = time.monotonic()
            time.sleep(self.plan.seconds)
            end = time.monotonic()
            calm, calm_waits = watch.block_times(begin, end), private.waits(begin, end)
            calm_p95 = percentile(calm_waits, 0.95)
            waits: list[float] = []
            lost: list[str] = []
            sending = [private.sending_p95(begin, end)]

            def ratio(begin: float, end: float) -> float:
                waits.extend(private.waits(begin, end))
                lost.append(private.lost(begin, end))
                sending.append(private.sending_p95(begin, end))
                return percentile(waits, 0.95) / calm_p95

            cost = self._measured(attack, watch, calm, findings, ratio)
            healthy = self.network.is_healthy()
            facts.append(f"private receipts when calm: {described_waits(calm_waits)}")
            facts.append(f"under attack, {cost.private_ratio:.2f} times that: {described_waits(waits)}")
            facts.append(f"of that the sending, p95: {sending[0]:.2f} s when calm, {sending[1]:.2f} s under attack")
            facts.append(f"honest transactions under attack: {lost[0]}")
            facts.append(f"when calm again: {described_waits(self._calm_again(private))}")
            wrong = [*private.faults(), *self._check(attack)]
        if not healthy or attack.fills_stores:
            self.network.renew(kind=attack.kind)
        return Result(attack.name, attack.about, cost, [*cost.broken(attack.bounds), *findings.faults, *wrong], facts)

    def _calm_again(self, private: PrivateWatch) -> list[float]:
        """Measured after the attack and not judged. Where it is far from the calm before, the machine had other work."""
        begin = time.monotonic()
        time.sleep(self.plan.seconds / 2)
        return private.waits(begin, time.monotonic())

    def _settle(self, watch: Watch) -> None:
        """Give a network that has just started time for its first block; an attacked one may never have it."""
        deadline = time.monotonic() + FIRST_BLOCK_SECONDS
        while watch.head == 0 and time.monotonic() < deadline:
            time.sleep(SAMPLE_SECONDS)
        time.sleep(SETTLE_SECONDS)

    def _measured(
        self,
        attack: LoadAttack,
        watch: Watch,
        calm: BlockTimes,
        findings: Findings,
        private_ratio: Callable[[float, float], float] = lambda begin, end: 0.0,
    ) -> Cost:
        self._start_readers()
        growth = Growth(self.network.nodes)
        with attacking(attack, self.network, findings):
            begin = time.monotonic()
            while (end := time.monotonic()) < begin + self.plan.seconds * attack.lengthened:
                time.sleep(SAMPLE_SECONDS)
                growth.sample()
            log_rate = growth.log_rate(end - begin)
            private = private_ratio(begin, end)
            stop_seconds, faults = self._stop_one()
        findings.facts.append(f"files of a node grew by {growth.disk / MEGABYTE:.0f} MB at most")
        two_blocks = [f"height {number} has two blocks" for number, hashes in watch.hashes.items() if len(hashes) > 1]
        return Cost(
            period=self.network.block_period,
            times=watch.block_times(begin, end),
            calm=calm,
            call_p95_seconds=watch.call_p95(begin, end),
            blocks_waited=watch.blocks_waited(begin, end - 3 * self.network.block_period),
            memory_growth_bytes=growth.memory,
            log_bytes_per_minute=log_rate,
            stop_seconds=stop_seconds,
            faults=(*faults, *two_blocks),
            private_ratio=private,
            disk_growth_bytes=growth.disk,
        )

    def _start_readers(self) -> None:
        """A node starts a reader process with the first long call, and ends it after two minutes without one. It runs before
        memory is first looked at, so that its start is not taken for growth."""
        for node in self.network.nodes:
            ask(node, "debug_traceBlockByNumber", "0x1")

    def _stop_one(self) -> tuple[float, list[str]]:
        """Stop a node in the middle of the attack, start it again; how long it took to stop, and what was lost."""
        node = self.network.nodes[-1]
        had = height(node)
        hash_ = block_hash(node, had) if had >= 0 else None
        seconds = self.network.stop_in(node)
        self.network.start(node)
        if not wait_for(node, max(0, had), RETURN_SECONDS):
            return seconds, [f"{node.name} does not have block {had} again {RETURN_SECONDS:.0f} s after a restart"]
        if hash_ is not None and block_hash(node, had) not in (hash_, None):
            return seconds, [f"{node.name} has another block {had} after a restart"]
        return seconds, []

    def _recover(self, was_modified: bool) -> bool:
        """Make the network ordinary and healthy again; False if it took a new one."""
        if was_modified:
            self.network.renew(kind=self.network.kind)
            return True
        if self.network.is_healthy():
            return True
        self.say("  the network is not healthy after the attack: starting a new one")
        self.network.renew(kind=self.network.kind)
        return False


class Growth:
    """How far memory, files and logs of nodes have grown since the beginning; the largest of any node."""

    def __init__(self, nodes: tuple[DevnetNode, ...]) -> None:
        self._nodes = nodes
        self._memory = {node.name: memory_bytes(node) for node in nodes}
        self._logs = {node.name: log_bytes(node) for node in nodes}
        self._disk = {node.name: disk_bytes(node) for node in nodes}
        self.memory = self.disk = 0
        """Bytes at the highest sample."""

    def sample(self) -> None:
        """Look at the memory and the files of every node."""
        grown = (memory_bytes(node) - self._memory[node.name] for node in self._nodes)
        self.memory = max(self.memory, *grown)
        self.disk = max(self.disk, *(disk_bytes(node) - self._disk[node.name] for node in self._nodes))

    def log_rate(self, seconds: float) -> float:
        """Bytes a minute of the node that wrote most."""
        return max(log_bytes(node) - self._logs[node.name] for node in self._nodes) * 60 / seconds


@contextmanager
def attacking(attack: LoadAttack, network: SiegeNetwork, findings: Findings) -> Iterator[Callable[[], bool]]:
    """The attacking process runs inside the block. What it has sent becomes a fact, and what it succeeded in a fault. Gives
    whether it has begun."""
    words = [sys.executable, "-m", "tests.siege.attacker", attack.name, str(network.manifest.path)]
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "sent"
        with output.open("wb") as stdout:
            process = subprocess.Popen(words, stdout=stdout)
        try:
            yield lambda: _has_begun(process, output)
            if process.poll() is not None:
                raise RuntimeError(f"the attacking process of {attack.name} ended with status {process.returncode}")
        finally:
            _end(process)
            done = Sent(**json.loads(_last_line(output) or "{}"))
    if done.counts:
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(done.counts.items()))
        findings.facts.append(f"sent: {counts}")
    findings.faults += [f"{sentence} ({number} times)" for sentence, number in sorted(done.faults.items())]


def _has_begun(process: subprocess.Popen[bytes], output: Path) -> bool:
    return process.poll() is not None or bool(_last_line(output))


def _last_line(output: Path) -> str:
    return (output.read_text("utf-8").splitlines() or [""])[-1]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def deeds_of(nodes: tuple[DevnetNode, ...]) -> dict[str, int]:
    """How often modified validators did what they are there for, by kind."""
    files = [node.directory / DEEDS_FILE for node in nodes]
    return dict(Counter(line for file in files if file.exists() for line in file.read_text("ascii").splitlines()))


def described_waits(waits: Sequence[float]) -> str:
    """Seconds until private receipts in one phrase."""
    shares = ", ".join(f"p{share * 100:.0f} {percentile(waits, share):.2f} s" for share in (0.5, 0.95, 1.0))
    return f"{shares} of {len(waits)}"


def described(times: BlockTimes) -> str:
    """Block intervals in one phrase."""
    return f"{times.blocks} blocks, p50 {times.p50:.2f} s, p95 {times.p95:.2f} s, longest {times.longest:.2f} s"
