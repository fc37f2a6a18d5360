"""Fetch the public repositories whose configuration files the tests start nodes with.

`python -m tools.published_repositories FOLDER` fetches each from GitHub into FOLDER/OWNER+NAME, at the commit that the tests
passed with. A folder that is there already is left as it is. The files are not ours to copy: do not commit them.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMITS = {
    "LACNetNetworks/besu-networks": "1e047908203ac4c932b59e36cd81feb759f4fc16",
    "lacchain/besu-network": "15cd10d4add50a48f68240b6415aebbcf628533c",
    "lacchain/besu-pro-testnet": "99c9e5cee5ec424a674fc0ec2a34a7d4f901cdcb",
    "Consensys/quorum-dev-quickstart": "b7a3c6425456c755fc84bb3799bf43b6a7e19343",
    "alastria/alastria-node-besu": "6a56eb85270301c38f43d156d180e1335682e47c",
    "alastria/alastria-node-besu-directory": "79df8e8de9c878f7262649f7fb6201159bfbb1ab",
    "RBBNet/rbb": "338372c7171aabe5c4253b5cae8dafa0abf9483d",
    "RBBNet/start-network": "b2aa320fa8ff7f2fa5c85a30894787146751f433",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Clone what is not in the folder yet; the exit status, which is 1 if a repository could not be had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="gets one folder a repository, named OWNER+NAME")
    folder = parser.parse_args(arguments).folder
    failed = [name for name, commit in COMMITS.items() if not _have(folder / name.replace("/", "+"), name, commit)]
    if failed:
        print(f"not fetched: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _have(place: Path, name: str, commit: str) -> bool:
    """Whether the repository is at `place`, where it is fetched to if there is nothing yet."""
    if place.exists():
        print(f"{name}: already in {place}")
        return True
    place.mkdir(parents=True)
    steps = (
        ["init", "--quiet"],
        ["fetch", "--quiet", "--depth", "1", f"https://github.com/{name}", commit],
        ["checkout", "--quiet", commit],
    )
    for step in steps:
        if subprocess.run(["git", *step], cwd=place, check=False).returncode != 0:
            # A folder with a part of a repository would be taken for the whole one next time.
            shutil.rmtree(place)
            return False
    print(f"{name}: {commit}")
    return True


if __name__ == "__main__":
    sys.exit(main())
