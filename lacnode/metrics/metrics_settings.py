"""The settings of metrics, and Besu's categories (`BesuMetricCategory`, `StandardMetricCategory`)."""

from dataclasses import dataclass
from enum import Enum


class MetricCategory(Enum):
    """The categories of `--metrics-category`. The value is the beginning of the names of its series. The last
    two categories are this project's own: Besu counts nothing of its consensus, and nothing of its private transactions
    except the work of their database.
    """

    BLOCKCHAIN = "besu_blockchain_"
    ETHEREUM = "ethereum_"
    EXECUTORS = "besu_executors_"
    NETWORK = "besu_network_"
    PEERS = "besu_peers_"
    PERMISSIONING = "besu_permissioning_"
    KVSTORE_ROCKSDB = "besu_rocksdb_"
    KVSTORE_PRIVATE_ROCKSDB = "besu_private_rocksdb_"
    KVSTORE_ROCKSDB_STATS = "rocksdb_"
    KVSTORE_PRIVATE_ROCKSDB_STATS = "private_rocksdb_"
    PRUNER = "besu_pruner_"
    RPC = "besu_rpc_"
    SYNCHRONIZER = "besu_synchronizer_"
    TRANSACTION_POOL = "besu_transaction_pool_"
    STRATUM = "besu_stratum_"
    BLOCK_PROCESSING = "besu_block_processing_"
    JVM = "jvm_"
    PROCESS = "process_"
    CONSENSUS = "lacnode_consensus_"
    PRIVACY = "lacnode_privacy_"


DEFAULT_CATEGORIES = frozenset(category for category in MetricCategory if not category.name.startswith("KVSTORE_"))
"""As in Besu: all but those of its database, which there cost too much under load."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The address where Prometheus may read, the names it may use in `Host`, and the categories."""

    host: str = "127.0.0.1"
    port: int = 9545
    categories: frozenset[MetricCategory] = DEFAULT_CATEGORIES
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class PushSettings:
    """The push gateway, the seconds between two pushes, the job, and the categories."""

    host: str = "127.0.0.1"
    port: int = 9001
    interval_seconds: float = 15
    job: str = "besu-client"
    categories: frozenset[MetricCategory] = DEFAULT_CATEGORIES
