"""Faults in who gets a private payload, and whose word about it counts."""

from tests.mutants.mutant import Mutant

LOCAL = "lacnode/privacy/manager/local.py"
OWNERSHIP = "lacnode/privacy/payload_ownership.py"
OWNERSHIP_TESTS = ("tests/unit/test_privacy_ownership.py",)

PRIVACY = (
    Mutant(
        "payload-of-a-stranger-to-a-group",
        OWNERSHIP,
        "    return None if sender in members else NO_MEMBER\n",
        "    return None\n",
        OWNERSHIP_TESTS,
    ),
    Mutant(
        "payload-for-another-group",
        OWNERSHIP,
        "    if parties.group_id != sent_to:\n",
        "    if not parties.group_id:\n",
        OWNERSHIP_TESTS,
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
        OWNERSHIP,
        "    if parties.private_from != sender:\n",
        "    if not parties.private_from:\n",
        OWNERSHIP_TESTS,
    ),
    Mutant(
        "recipients-of-another-group",
        OWNERSHIP,
        "return None if _is_group_of(parties.named, sent_to, groups) else NOT_THE_RECIPIENTS",
        "return None if parties.named else NOT_THE_RECIPIENTS",
        OWNERSHIP_TESTS,
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
