"""The series of peers, messages, discovery and synchronisation. Must not count anything itself."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from lacnode.chain.blockchain import Blockchain
from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType, counter, gauge
from lacnode.p2p.network_counters import MessageKey
from lacnode.p2p.p2p_network import P2pNetwork
from lacnode.sync.synchronizer import Synchronizer


def network_series(network: P2pNetwork, max_peers: int) -> Iterator[MetricSeries]:
    """Yield the series of peers, messages and discovery under Besu's names. `max_peers` is the limit that is shown."""
    counters = network.counters
    yield gauge(MetricCategory.ETHEREUM, "peer_count", "Peers in session", lambda: len(network.peers))
    yield gauge(MetricCategory.ETHEREUM, "peer_limit", "Peers that this node may have", lambda: max_peers)
    yield counter(MetricCategory.PEERS, "connected_total", "Sessions that began", lambda: counters.connected)
    yield _labelled(
        MetricCategory.PEERS,
        "disconnected_total",
        "Sessions that ended, by the side that ended them and its reason",
        lambda: (
            MetricSample(count, {"initiator": initiator, "disconnectReason": reason})
            for (initiator, reason), count in counters.disconnected.copy().items()
        ),
    )
    yield gauge(
        MetricCategory.PEERS,
        "pending_peer_requests_current",
        "Requests to peers that wait for their turn",
        lambda: sum(peer.requests.queued_count for peer in network.peers),
    )
    yield _messages("inbound", "received", counters.messages_in)
    yield _messages("outbound", "sent", counters.messages_out)
    yield _datagrams("inbound", "received", counters.datagrams_in)
    yield _datagrams("outbound", "sent", counters.datagrams_out)


def synchronizer_series(chain: Blockchain, synchronizer: Synchronizer) -> Iterator[MetricSeries]:
    """Yield the series of the best known block, which is the head or `highestBlock` of `eth_syncing`, and of whether
    this node is synchronising."""

    def best_known() -> int:
        status = synchronizer.status
        # Besu's gauge of this name shows what the best peer claims. A liar may name any number, so here the claim of a
        # peer counts only while this node follows it, after verified headers of that peer above the own head.
        return chain.head.header.number if status is None else status.highest_block

    yield gauge(
        MetricCategory.ETHEREUM,
        "best_known_block_number",
        "The own head, or while synchronising the head that the followed peer claims",
        best_known,
    )
    yield gauge(
        MetricCategory.SYNCHRONIZER,
        "in_sync",
        "1 unless this node is synchronising",
        lambda: int(synchronizer.status is None),
    )


def _messages(direction: str, verb: str, counts: Counter[MessageKey]) -> MetricSeries:
    def samples() -> Iterator[MetricSample]:
        for (protocol, name, code), count in counts.copy().items():
            yield MetricSample(count, {"protocol": protocol, "name": name, "code": str(code)})

    return _labelled(MetricCategory.NETWORK, f"p2p_messages_{direction}", f"Messages {verb} in sessions", samples)


def _datagrams(direction: str, verb: str, counts: Counter[str]) -> MetricSeries:
    def samples() -> Iterator[MetricSample]:
        for name, count in counts.copy().items():
            yield MetricSample(count, {"name": name})

    return _labelled(MetricCategory.NETWORK, f"discovery_messages_{direction}", f"Packets of discovery {verb}", samples)


def _labelled(
    category: MetricCategory, name: str, text: str, read: Callable[[], Iterable[MetricSample]]
) -> MetricSeries:
    return MetricSeries(category, category.value + name, MetricType.COUNTER, text, read)
