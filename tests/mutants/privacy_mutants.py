"""Faults in who gets a private payload, and whose word about it counts."""

from tests.mutants.mutant import Mutant

LOCAL = "lacnode/privacy/manager/local_transaction_manager.py"
OWNERSHIP = "lacnode/privacy/payload_ownership.py"
OWNERSHIP_TESTS = ("tests/unit/privacy/test_ownership.py",)

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
        '        if own not in record.members:\n            raise EnclaveError("PrivacyGroupNotFound")',
        '        if not own:\n            raise EnclaveError("PrivacyGroupNotFound")',
        ("tests/unit/privacy/test_manager.py",),
    ),
    Mutant(
        "a-deleted-group-comes-back",
        "lacnode/privacy/manager/group_acceptance.py",
        "    if not known.active:\n        return None\n    if not record.active:",
        "    if not known.active:\n        return record\n    if not record.active:",
        ("tests/unit/privacy/test_manager.py",),
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
        "return None if _is_group_of(parties.named_keys, sent_to, groups) else NOT_THE_RECIPIENTS",
        "return None if parties.named_keys else NOT_THE_RECIPIENTS",
        OWNERSHIP_TESTS,
    ),
    Mutant(
        "recovery-serves-a-payload-of-others",
        "lacnode/privacy/manager/payload_recovery.py",
        "stored = self._store.find_payload(key) if key in readable else None",
        "stored = self._store.find_payload(key)",
        ("tests/unit/privacy/test_recovery.py",),
    ),
    Mutant(
        "tags-are-read",
        "lacnode/privacy/manager/cbor_reader.py",
        "        if first not in _SIMPLE_VALUES:",
        "        if kind == 6:\n            return self.value(depth)\n        if first not in _SIMPLE_VALUES:",
        ("tests/unit/privacy/test_cbor.py",),
    ),
    Mutant(
        "what-was-heard-takes-the-place-of-what-answered",
        "lacnode/privacy/manager/bounded_table.py",
        "            if lower > trust_level or not sources:",
        "            if not sources:",
        ("tests/unit/privacy/test_peers.py",),
    ),
    Mutant(
        "a-private-address-is-called",
        "lacnode/privacy/manager/address_policy.py",
        "return reach_of(address) in self._open or _is_in(address, self._allowed)",
        "return reach_of(address) is not Reach.LOOPBACK or _is_in(address, self._allowed)",
        ("tests/unit/privacy/test_addresses.py",),
    ),
    Mutant(
        "proof-of-a-key-at-another-place",
        "lacnode/privacy/manager/key_proof_exchange.py",
        "is_right = hmac.compare_digest(proven, challenge) and is_url(at) and is_same_manager(at, url)",
        "is_right = hmac.compare_digest(proven, challenge) and is_url(at)",
        ("tests/unit/privacy/test_claims.py",),
    ),
)
