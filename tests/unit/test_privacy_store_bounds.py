"""What the manager's store keeps of what strangers send, and who may read its files."""

import os
from pathlib import Path

from lacnode.privacy.manager.payload_store import PayloadStore


class TestFiles:
    def test_the_database_is_its_users_alone(self, tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            store = PayloadStore(f"sqlite:///{tmp_path / 'routerdb.sqlite'}")
            store.put_known_nodes({bytes(32): "http://a"})
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            store.close()
        finally:
            os.umask(old)
        assert modes == dict.fromkeys(("routerdb.sqlite", "routerdb.sqlite-wal", "routerdb.sqlite-shm"), 0o600)

    def test_one_of_an_earlier_version_becomes_so(self, tmp_path: Path) -> None:
        file = tmp_path / "routerdb.sqlite"
        PayloadStore(f"sqlite:///{file}").close()
        file.chmod(0o644)
        PayloadStore(f"sqlite:///{file}").close()
        assert file.stat().st_mode & 0o777 == 0o600
