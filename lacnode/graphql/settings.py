"""What an operator may choose about GraphQL."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphQlSettings:
    """Where the port is, which pages may ask (`cors_origins`), by which names of this node, and for how many seconds."""

    host: str = "127.0.0.1"
    port: int = 8547
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    timeout: float = 300.0
