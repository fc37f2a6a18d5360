"""What a process of a devnet runs: a hosted node. The first validator's also has the coordinator and the developer endpoint.

`lacnode --Xdevnet-directory=DIR` comes here. Must not be used by a node of another network: `hosted_node` refuses.
"""

from functools import partial
from pathlib import Path

import structlog
import trio

from lacnode.chainspec.genesis import load_genesis
from lacnode.devnet.block_maker import make_blocks
from lacnode.devnet.coordinator import Coordinator
from lacnode.devnet.developer_endpoint import DeveloperEndpoint
from lacnode.devnet.developer_methods import DeveloperMethods
from lacnode.devnet.hosted_node import HostedNode
from lacnode.devnet.manifest import Manifest, load_manifest
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.node.configuration import NodeConfig
from lacnode.node.run_node import run_node, stop_on_signal

log = structlog.get_logger("devnet")


def run_devnet_node(config: NodeConfig, directory: Path) -> int:
    """Run the node of `config` in the devnet in `directory`. Return the exit status, as `run_node` has it."""
    return run_node(config, program=_DevnetProgram(config, directory))


class _DevnetProgram:
    """A node of the devnet in `directory`, with what the devnet needs beside it."""

    def __init__(self, config: NodeConfig, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._hosted = HostedNode(config, directory)

    def open(self) -> None:
        """Open the node. NodeStartError if that is not possible."""
        self._hosted.open()

    def close(self) -> None:
        """Close the files of the node."""
        self._hosted.close()

    async def run(self) -> None:
        """Run the node, and the developer endpoint with the coordinator if this is its process, until a signal comes.
        PortUnavailableError if a port is taken, StorageError if the disk fails, DevnetError if the manifest is damaged.
        """
        async with trio.open_nursery() as nursery:
            # Before the node starts: a signal during a long start must end it.
            nursery.start_soon(stop_on_signal, nursery.cancel_scope)
            # None while the devnet is being made, and for a node that was started without one.
            manifest = load_manifest(self._directory)
            if manifest is not None and manifest.coordinator_directory == self._config.data_path:
                await self._start_endpoint(manifest, nursery)
            await self._hosted.serve(nursery)

    async def _start_endpoint(self, manifest: Manifest, nursery: trio.Nursery) -> None:
        spec = load_genesis(manifest.genesis_file)
        coordinator = Coordinator(
            self._directory, self._hosted, manifest.block_period, on_demand=manifest.blocks_on_demand
        )
        node = RequestForwarder(manifest.nodes[0].rpc_port, coordinator.group.pause)
        methods = DeveloperMethods(coordinator, node, manifest.accounts_mnemonic_first, spec, manifest.block_period)
        endpoint = DeveloperEndpoint(node, methods.by_name, manifest.cors_origins)
        await nursery.start(partial(endpoint.run, manifest.developer_port))
        log.info(f"developer endpoint listening on {manifest.developer_url}")
        nursery.start_soon(coordinator.group.start_stopped_nodes)
        nursery.start_soon(make_blocks, coordinator)
