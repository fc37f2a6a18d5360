"""Faults in who gets a private payload, and whose word about it counts."""

from tests.mutants.mutant import Mutant

LOCAL = "lacnode/privacy/manager/local.py"

PRIVACY = (
    Mutant(
        "payload-of-a-stranger-to-a-group",
        LOCAL,
        "if record is not None and payload.sender not in record.members:",
        "if record is None and payload.sender in ():",
        ("tests/unit/test_privacy_manager.py",),
    ),
    Mutant(
        "anyone-sends-to-a-group",
        LOCAL,
        '        if own not in record.members:\n            raise ManagerError("PrivacyGroupNotFound")',
        '        if not own:\n            raise ManagerError("PrivacyGroupNotFound")',
        ("tests/unit/test_privacy_manager.py",),
    ),
    Mutant(
        "a-deleted-group-comes-back",
        LOCAL,
        "if known is None or known.active:",
        "if known is None or known.members:",
        ("tests/unit/test_privacy_manager.py",),
    ),
    Mutant(
        "another-sender-than-private-from",
        "lacnode/privacy/state/payloads.py",
        "if private.private_from != payload.sender:",
        "if not private.private_from:",
        ("tests/unit/test_privacy_execution.py", "tests/unit/test_privacy_bad_input.py"),
    ),
    Mutant(
        "sender-outside-of-its-group",
        "lacnode/privacy/state/payloads.py",
        "if private.private_for is None and not admitted and not _is_member(manager, payload):",
        "if private.private_for is None and admitted and not _is_member(manager, payload):",
        ("tests/unit/test_privacy_execution.py", "tests/unit/test_privacy_bad_input.py"),
    ),
    Mutant(
        "recovery-serves-a-payload-of-others",
        "lacnode/privacy/manager/recovery.py",
        "(stored := self._store.payload(key)) and requester in stored.parties]",
        "(stored := self._store.payload(key))]",
        ("tests/unit/test_privacy_recovery.py",),
    ),
    Mutant(
        "proof-of-a-key-at-another-place",
        "lacnode/privacy/manager/proof.py",
        "return hmac.compare_digest(proven, challenge) and same_place(at, url)",
        "return hmac.compare_digest(proven, challenge)",
        ("tests/unit/test_privacy_claims.py",),
    ),
)
