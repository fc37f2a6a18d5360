"""The name of this program and its version, as peers, RPC clients and the metrics see it. Must not ask the network."""

import platform

from lacnode import __version__
from lacnode.evm.engine import PYTHON
from lacnode.node.configuration import NodeConfig


def client_version(config: NodeConfig, engine_name: str) -> str:
    """Return the name, version, system and runtime of this program, in the pattern of Besu's, such as
    `lacnode/v1.0/linux-x86_64/python-3.11.9`. The identity of the configuration, if there is one, comes after the name.
    The engine comes at the end, unless it is py-evm."""
    identity = f"{config.identity}/" if config.identity else ""
    system = f"{platform.system().lower()}-{platform.machine()}"
    native = "" if engine_name == PYTHON else f"-{engine_name}"
    runtime = f"python-{platform.python_version()}{native}"
    return f"lacnode/{identity}v{__version__}/{system}/{runtime}"
