"""Attack: a stranger pushes payloads whose groups have a record of their own, beyond its share of the disk."""

from pathlib import Path

from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.encrypted_payload import encrypt_payload
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.quota import Quota, QuotaSettings
from lacnode.privacy.state.private_transaction import encode_payload_text
from lacnode.privacy.transaction_manager import EnclaveError
from tests.support.lonely_manager import lonely_manager
from tests.support.private_nodes import private

A, STRANGER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 3))
PUSHES, BOUND_BYTES = 40, 2_000_000


def test_what_strangers_push_beyond_the_bound_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    store = PayloadStore(f"sqlite:///{tmp_path / 'store'}")
    store.set_quota(
        Quota(QuotaSettings(all_known_keys_bytes=BOUND_BYTES, all_unknown_keys_bytes=BOUND_BYTES, disk_reserve_bytes=0))
    )
    manager = lonely_manager(A, store)
    kept = refused = 0
    for number in range(PUSHES):
        others = [bytes([number, index // 256, index % 256]) + bytes(29) for index in range(1_000)]
        plaintext = encode_payload_text(private(private_from=STRANGER.public, private_for=others))
        of_group = group_id((STRANGER.public, *others, A.public))
        payload = encrypt_payload(plaintext, STRANGER, [A.public], of_group)
        try:
            manager.intake.accept_push(payload)
            kept += 1
        except EnclaveError as error:
            refused += error.code == "StorageQuotaExceeded"
    with store._database.read() as connection:
        records = connection.find_value("SELECT count(*) FROM groups")
    assert (kept > 0, refused) == (True, PUSHES - kept)
    assert int(records) == kept
