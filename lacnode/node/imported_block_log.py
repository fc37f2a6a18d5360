"""The log line of an imported block, in the pattern of Besu's."""

import structlog

from lacnode.chain.blockchain import NewHead

log = structlog.get_logger("node")


def log_imported_block(new_head: NewHead, is_syncing: bool, peer_count: int) -> None:
    """Log that `new_head` was imported, at level info. While the node synchronizes, the level is debug."""
    header = new_head.header
    share = 100 * header.gas_used / header.gas_limit
    level = log.debug if is_syncing else log.info
    level(
        f"Imported #{header.number:,} / {len(new_head.block.transactions)} tx / 0 om / {header.gas_used:,} "
        f"({share:.1f}%) gas / (0x{new_head.hash.hex()}). Peers: {peer_count}"
    )
