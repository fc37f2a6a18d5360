"""The settings of GraphQL that an operator may choose."""

from dataclasses import dataclass

from lacnode.rpc.tls_settings import RpcTlsSettings

GRAPHQL_TITLE = "the GraphQL listener"
"""What messages about TLS call the port."""


@dataclass(frozen=True, slots=True)
class GraphQlSettings:
    """The address of the port, and the clients that it serves. A `port` of 0 is any free one.

    `cors_origins` are regular expressions of the origins of web pages that may ask. Empty admits no page.
    `allowed_hosts` are the names that a `Host` header may have. `timeout` is the time of one query, in seconds.
    There is no TLS if `tls` is None.
    """

    host: str = "127.0.0.1"
    port: int = 8547
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    timeout: float = 300.0
    tls: RpcTlsSettings | None = None
