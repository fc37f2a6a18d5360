"""Faults in what surrounds agreement: the order of log and signature, the disk, the lanes, the start, synchronisation."""

from tests.mutants.mutant import Mutant

SIGNING = "lacnode/validator/signing.py"
DOWNLOAD = "lacnode/sync/download.py"

NODE = (
    Mutant(
        "log-after-sign",
        SIGNING,
        """        self._append(self._journal.check_and_record(payload))

    def sign(self, payload: Payload) -> SignedPayload[Payload]:
        \"\"\"Sign `payload`, which `check_and_record` has put on record before. Nothing is checked here.
        SignerUnavailableError if the key does not answer.\"\"\"
        return sign_payload(self._protocols.protocol_at(payload.round_id.sequence), payload, self._signer)
""",
        """        self._record = self._journal.check_and_record(payload)

    def sign(self, payload: Payload) -> SignedPayload[Payload]:
        signed = sign_payload(self._protocols.protocol_at(payload.round_id.sequence), payload, self._signer)
        self._append(self._record)
        return signed
""",
        ("tests/simulation/test_data_directories.py", "-k", "torn"),
    ),
    Mutant(
        "proof-of-a-commit-not-recorded",
        SIGNING,
        "self._append(self._journal.record_prepared(prepared))",
        "self._journal.record_prepared(prepared)",
        ("tests/simulation/test_scenarios.py", "-k", "all_restart"),
    ),
    Mutant(
        "append-without-flush",
        "lacnode/storage/consensus_log.py",
        """        try:
            self._flush(self._descriptor)
        except OSError as error:
            self._failed = f"flushing failed before""",
        """        try:
            pass
        except OSError as error:
            self._failed = f"flushing failed before""",
        ("tests/simulation/test_data_directories.py", "-k", "torn"),
    ),
    Mutant(
        "renamed-before-flushed",
        "lacnode/storage/consensus_log.py",
        """                self._write_all(descriptor, header.encode(size) + frames)
                self._flush(descriptor)
""",
        """                self._write_all(descriptor, header.encode(size) + frames)
""",
        ("tests/simulation/test_data_directories.py", "-k", "torn"),
    ),
    Mutant(
        "lost-log-goes-unnoticed",
        "lacnode/storage/log_pairing.py",
        "    if known is not None and not log.continues_from(known):\n",
        "    if known is not None and log.continues_from(known):\n",
        ("tests/simulation/test_data_directories.py",),
    ),
    Mutant(
        "signs-below-the-floor",
        "lacnode/consensus/bft/journal.py",
        "if sequence <= self._floor:",
        "if sequence < self._floor:",
        ("tests/unit/consensus/test_journal.py",),
    ),
    Mutant(
        "old-copy-signs-at-once",
        "lacnode/consensus/bft/resumption.py",
        "        if not self._was_far_behind:\n            self._may_sign = True",
        "        if self._since_ms is not None:\n            self._may_sign = True",
        ("tests/unit/consensus/test_resumption.py",),
    ),
    Mutant(
        "a-lane-without-a-bound",
        "lacnode/validator/event_queue.py",
        "return len(lane.messages) < self._lane_messages and lane.bytes",
        "return lane.bytes",
        ("tests/unit/validator/test_intake.py",),
    ),
    Mutant(
        "a-silent-lane-saves-up-turns",
        "lacnode/validator/event_queue.py",
        "lane.served = max(lane.served, self._turn)",
        "lane.served = max(lane.served, 0.0)",
        ("tests/unit/validator/test_intake.py",),
    ),
    Mutant(
        "strangers-have-a-lane",
        "lacnode/validator/event_queue.py",
        "        lane = self._lanes.get(message.sender)\n        if lane is None or not",
        "        lane = self._lanes.setdefault(message.sender, _Lane(0.0))\n        if lane is None or not",
        ("tests/unit/validator/test_intake.py",),
    ),
    Mutant(
        "work-for-a-round-that-was-left-goes-on",
        "lacnode/validator/proposal_budgets.py",
        "            if of < self._reached:\n",
        "            if of > self._reached:\n",
        ("tests/simulation/test_slow_nodes.py", "-k", "without_end"),
    ),
    Mutant(
        "sync-accepts-a-header-that-is-not-linked",
        "lacnode/consensus/bft/header_rules.py",
        "if header.parent_hash != parent_hash:",
        "if len(header.parent_hash) != 32:",
        ("tests/unit/consensus/test_header_rules.py",),
    ),
    Mutant(
        "sync-accepts-headers-without-seals",
        "lacnode/chain/header_chain.py",
        "seals_verified=self._verified.has(header)",
        "seals_verified=True",
        ("tests/unit/sync/test_synchronizer.py",),
    ),
    Mutant(
        "sync-does-not-compare-bodies",
        DOWNLOAD,
        "        await self.check_worker.run(partial(self._check_bodies, blocks))\n",
        "",
        ("tests/unit/sync/test_synchronizer.py",),
    ),
    Mutant(
        "a-crawling-peer-has-all-the-time",
        "lacnode/sync/download_pace.py",
        "            self._left_seconds -= waited\n",
        "",
        ("tests/unit/sync/test_synchronizer.py",),
    ),
    Mutant(
        "a-liar-is-asked-again-at-once",
        "lacnode/sync/peer_trust.py",
        "return record is None or record.blocked_until <= now",
        "return record is None or record.blocked_until >= 0",
        ("tests/simulation/test_sync_liars.py",),
    ),
    Mutant(
        "fault-of-the-engine-ends-the-proposer",
        "lacnode/chain/block_builder.py",
        """        with rejecting_internal_errors(transaction):
            return self._add(transaction, sender, budget)
""",
        """        return self._add(transaction, sender, budget)
""",
        ("tests/unit/chain/test_internal_errors.py",),
    ),
    Mutant(
        "fault-of-the-engine-ends-the-checker",
        "lacnode/chain/block_verifier.py",
        """        with refusing_internal_errors(block.number):
            return self._execute(block, parent, ancestor_hash, budget)
""",
        """        return self._execute(block, parent, ancestor_hash, budget)
""",
        ("tests/unit/chain/test_internal_errors.py",),
    ),
    Mutant(
        "invented-blocks-beside-the-own-head-pause-the-synchronisation",
        "lacnode/sync/synchronizer.py",
        "except (InvalidSealedHeaderError, UnknownParentError) as refusal:",
        "except InvalidSealedHeaderError as refusal:",
        ("tests/unit/sync/test_synchronizer.py", "-k", "beside_the_own_head"),
    ),
)
