"""The files of a devnet's transaction managers. Each writer has one, in its own process, with a key of its own.

Must not start a manager: the node does that, from these files.
"""

from collections.abc import Sequence
from pathlib import Path

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.key_files import save_key_pair
from lacnode.storage.disk import REAL_DISK

KEY_NAME = "manager"
CONFIG_FILE, PUBLIC_KEY_FILE = "manager.toml", f"{KEY_NAME}.pub"


def make_manager_key(directory: Path) -> str:
    """Make a key pair in `directory`, which is made for its owner alone if it is missing. Return the public key in
    base64. OSError if the directory cannot be made. PrivacyKeyError if there is such a file already or the files cannot
    be written."""
    REAL_DISK.make_directory(directory)
    pair = KeyPair.generate()
    save_key_pair(directory / KEY_NAME, pair)
    return to_base64(pair.public)


def write_manager_config(directory: Path, port: int, others: Sequence[int]) -> None:
    """Write the manager's configuration file in Orion's format into `directory`. `port` is the manager's own port for
    other managers, `others` are the ports of the other managers, all on 127.0.0.1. OSError if it cannot be written."""
    urls = ", ".join(f'"http://127.0.0.1:{other}"' for other in others)
    (directory / CONFIG_FILE).write_text(
        f'nodeport={port}\nclientport=0\nworkdir="{directory}"\nothernodes=[{urls}]\n'
        f'publickeys=["{PUBLIC_KEY_FILE}"]\nprivatekeys=["{KEY_NAME}.key"]\n',
        "utf-8",
    )


def privacy_settings(directory: Path, marker_key: Path, flexible_groups: bool) -> dict[str, object]:
    """Return the settings for privacy of a node whose manager has its files in `directory`, by the names of the
    options. The node signs markers with the key in the file `marker_key`."""
    return {
        "privacy-enabled": True,
        "privacy-public-key-file": str(directory / PUBLIC_KEY_FILE),
        "privacy-manager-config-file": str(directory / CONFIG_FILE),
        "privacy-marker-transaction-signing-key-file": str(marker_key),
        "privacy-flexible-groups-enabled": flexible_groups,
    }
