"""What happens to the data directory of one validator: an old copy is restored, the log is lost, the disk lies.

The validator that it happens to may be taken for faulty by the others. It is honest all the same.
"""

import random
from collections.abc import Callable

from tests.simulation.disk import VirtualDisk
from tests.simulation.network import SimulatedNetwork
from tests.simulation.node import NodeDisk

Misfortune = Callable[[SimulatedNetwork, int, random.Random], None]


def stale_copy(network: SimulatedNetwork, index: int, rng: random.Random) -> None:
    """The directory is replaced by a copy that was made some time before, while the node ran."""
    copied_at, stopped_at = sorted((rng.randrange(20_000), rng.randrange(20_000)))
    copies: list[NodeDisk] = []
    network.clock.after(copied_at, lambda: copies.append(network.nodes[index].disk.copy()))
    _while_down(network, index, stopped_at, rng, lambda: restore(network, index, copies[0]))


def lost_log(network: SimulatedNetwork, index: int, rng: random.Random) -> None:
    """The consensus log is gone, the chain is not."""
    _while_down(network, index, rng.randrange(20_000), rng, lambda: lose_log(network, index))


def lying_disk(network: SimulatedNetwork, index: int, rng: random.Random) -> None:
    """The disk says that it has flushed what it loses when the power goes."""
    network.nodes[index].disk.files.forgets_flushes = True


def restore(network: SimulatedNetwork, index: int, copy: NodeDisk) -> None:
    """Replace the data directory of a node that is stopped."""
    network.nodes[index].disk = copy


def lose_log(network: SimulatedNetwork, index: int) -> None:
    """Remove the consensus log of a node that is stopped."""
    network.nodes[index].disk.files = VirtualDisk()


def _while_down(
    network: SimulatedNetwork, index: int, after_ms: int, rng: random.Random, what: Callable[[], None]
) -> None:
    """Stop the node, do `what`, and start it again some time later."""

    def go_down() -> None:
        network.stop([index])
        what()

    network.clock.after(after_ms, go_down)
    network.clock.after(after_ms + rng.randrange(100, 10_000), lambda: network.start([index]))


MISFORTUNES: dict[str, Misfortune] = {
    "stale_copy": stale_copy,
    "lost_log": lost_log,
    "lying_disk": lying_disk,
}
