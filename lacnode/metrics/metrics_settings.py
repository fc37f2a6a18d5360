"""The settings of metrics, and Besu's categories (`BesuMetricCategory`, `StandardMetricCategory`)."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


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

    @property
    def short_name(self) -> str:
        """The value without `besu_` at its beginning and without underscores at its ends, such as `blockchain`.
        `debug_metrics` and OpenTelemetry's scopes use it."""
        return self.value.removeprefix("besu_").strip("_")


DEFAULT_CATEGORIES = frozenset(category for category in MetricCategory if not category.name.startswith("KVSTORE_"))
"""As in Besu: all but those of its database, which there cost too much under load."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The address where Prometheus may read (port 0 for any free port), the categories, and the names that it may use
    in `Host`."""

    host: str = "127.0.0.1"
    port: int = 9545
    categories: frozenset[MetricCategory] = DEFAULT_CATEGORIES
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class PushSettings:
    """The host and port of the push gateway, the seconds between two pushes, the job, and the categories."""

    host: str = "127.0.0.1"
    port: int = 9001
    interval_seconds: float = 15
    job: str = "besu-client"
    categories: frozenset[MetricCategory] = DEFAULT_CATEGORIES


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """The host and port of the OpenTelemetry collector, and how it is called: by gRPC, or by HTTP with the path and query
    `target`, which is empty for gRPC. `headers` are added to each request. `resource` are attributes of this node that
    its operator has chosen. A request takes at most `request_seconds`. Without `ca_file` the system's authorities count.
    Without client files this node shows no certificate."""

    host: str = "localhost"
    port: int = 4317
    is_grpc: bool = True
    is_tls: bool = False
    target: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    gzip: bool = False
    request_seconds: float = 10
    interval_seconds: float = 60
    resource: tuple[tuple[str, str], ...] = (("service.name", "besu-client"),)
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    categories: frozenset[MetricCategory] = DEFAULT_CATEGORIES
