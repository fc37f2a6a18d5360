"""What a process of a devnet runs: a hosted node. The first validator's also has the coordinator and the developer endpoint.

`lacnode --Xdevnet-directory=DIR` comes here. Must not be used by a node of another network: `hosted_node` refuses.
"""

from functools import partial
from pathlib import Path

import structlog
import trio

from lacnode.chainspec.genesis import GenesisError, load_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.devnet.block_maker import make_blocks
from lacnode.devnet.coordinator import Coordinator
from lacnode.devnet.developer_endpoint import DeveloperEndpoint
from lacnode.devnet.developer_methods import DeveloperMethods
from lacnode.devnet.hosted_node import HostedNode
from lacnode.devnet.manifest import DevnetError, Manifest, load_manifest
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.node.configuration import NodeConfig
from lacnode.node.run_node import NodeStartError, run_node, stop_on_signal

log = structlog.get_logger("devnet")


def run_devnet_node(config: NodeConfig, directory: Path) -> int:
    """Run the node of `config` in the devnet in `directory` until SIGINT, SIGTERM or SIGHUP. Return the exit status, as
    `run_node` has it: 0 after a signal, and 1 if the node cannot start or its data cannot be written or read."""
    return run_node(config, program=_DevnetProgram(config, directory))


class _DevnetProgram:
    """A node of the devnet in `directory`, with what the devnet needs beside it."""

    def __init__(self, config: NodeConfig, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._hosted = HostedNode(config, directory)
        self._coordinated: tuple[Manifest, ChainSpec] | None = None

    def open(self) -> None:
        """Open the node, and read the manifest of the devnet and its genesis if this process has the developer
        endpoint. NodeStartError if that is not possible."""
        try:
            # None while the devnet is being made, and for a node that was started without one.
            manifest = load_manifest(self._directory)
            if manifest is not None and manifest.coordinator_directory == self._config.data_path:
                self._coordinated = manifest, load_genesis(manifest.genesis_file)
        except (DevnetError, GenesisError) as error:
            raise NodeStartError(str(error)) from None
        self._hosted.open()

    def close(self) -> None:
        """Close the files of the node."""
        self._hosted.close()

    async def run(self) -> None:
        """Run the node, and the developer endpoint with the coordinator if this is its process, until a signal comes.
        PortUnavailableError if a port is taken, StorageError if the disk fails.
        """
        async with trio.open_nursery() as nursery:
            # Before the node starts: a signal during a long start must end it.
            nursery.start_soon(stop_on_signal, nursery.cancel_scope)
            if self._coordinated is not None:
                await self._start_endpoint(*self._coordinated, nursery)
            await self._hosted.serve(nursery)

    async def _start_endpoint(self, manifest: Manifest, spec: ChainSpec, nursery: trio.Nursery) -> None:
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
