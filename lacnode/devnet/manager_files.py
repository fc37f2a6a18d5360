"""The transaction managers of a devnet: one for each writer, in the writer's own process, with a key of its own."""

from collections.abc import Sequence
from pathlib import Path

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.key_files import save_key_pair

KEY_NAME = "manager"
CONFIG_FILE, PUBLIC_KEY_FILE = "manager.toml", f"{KEY_NAME}.pub"


def make_manager_key(directory: Path) -> str:
    """Make a key pair in `directory`. The public key in base64."""
    directory.mkdir(parents=True, exist_ok=True)
    pair = KeyPair.generate()
    save_key_pair(directory / KEY_NAME, pair)
    return to_base64(pair.public)


def write_manager_config(directory: Path, port: int, others: Sequence[int]) -> None:
    """The manager's configuration in Orion's keys: where it listens, and where the others do (ports on 127.0.0.1)."""
    urls = ", ".join(f'"http://127.0.0.1:{other}"' for other in others)
    (directory / CONFIG_FILE).write_text(
        f'nodeport={port}\nclientport=0\nworkdir="{directory}"\nothernodes=[{urls}]\n'
        f'publickeys=["{PUBLIC_KEY_FILE}"]\nprivatekeys=["{KEY_NAME}.key"]\n',
        "utf-8",
    )


def privacy_settings(directory: Path, marker_key: Path, flexible_groups: bool) -> dict[str, object]:
    """The node's settings. Markers are signed by `marker_key`, which an account list can name."""
    return {
        "privacy-enabled": True,
        "privacy-public-key-file": str(directory / PUBLIC_KEY_FILE),
        "privacy-manager-config-file": str(directory / CONFIG_FILE),
        "privacy-marker-transaction-signing-key-file": str(marker_key),
        "privacy-flexible-groups-enabled": flexible_groups,
    }
