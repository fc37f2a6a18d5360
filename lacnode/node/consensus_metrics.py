"""The series of consensus: heights, rounds, and the validators that this node reaches. Must not count anything itself."""

from collections.abc import Callable, Iterator, Sequence

from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.bft.controller import ConsensusStatus
from lacnode.consensus.bft.quorum import quorum
from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType, counter, gauge
from lacnode.p2p.peer import Peer
from lacnode.primitives.rlp import RlpError
from lacnode.validator.validator import Validator

_CATEGORY = MetricCategory.CONSENSUS


def consensus_series(
    chain: Blockchain,
    validator: Validator,
    status: Callable[[], ConsensusStatus],
    peers: Callable[[], Sequence[Peer]],
    own_address: bytes,
) -> Iterator[MetricSeries]:
    """Yield the metric series of consensus: validators, quorum, connected validators, whether this node is a validator,
    rounds, and messages that were dropped because their queue was full. `own_address` is the 20-byte address of this
    node."""

    def validators() -> tuple[bytes, ...]:
        return chain.validators_after(chain.head.header)

    def connected() -> int:
        reached = {own_address, *(peer.address for peer in peers())}
        return sum(address in reached for address in validators())

    yield gauge(_CATEGORY, "validators", "Validators of the next block", lambda: len(validators()))
    yield gauge(_CATEGORY, "quorum", "Validators that a block needs", lambda: quorum(len(validators())))
    yield gauge(_CATEGORY, "connected_validators", "Validators that are peers of this node, with itself", connected)
    yield gauge(_CATEGORY, "is_validator", "1 if this node is a validator", lambda: int(own_address in validators()))
    yield gauge(_CATEGORY, "round", "Round of the height that is agreed on now", lambda: status().round)
    yield MetricSeries(
        _CATEGORY,
        "lacnode_consensus_block_round",
        MetricType.GAUGE,
        "Round in which the last block was agreed",
        lambda: _block_round(chain),
    )
    yield counter(_CATEGORY, "round_changes_total", "Further rounds of a height", lambda: validator.round_changes.count)
    yield counter(
        _CATEGORY,
        "refused_messages_total",
        "Messages of validators that found their queue full",
        lambda: validator.refused_messages,
    )


def _block_round(chain: Blockchain) -> list[MetricSample]:
    try:
        return [MetricSample(chain.protocols.extra_data(chain.head.header).round)]
    except RlpError:
        # The extra data of another consensus. An error here would end the whole scrape.
        return []
