"""Faults in the agreement on one block: quorums, certificates, locks, seals."""

from tests.mutants.mutant import Mutant

RULES = "lacnode/consensus/bft/message_rules.py"
VALIDATION = "lacnode/consensus/ibft2/message_validation.py"
HEADER_RULES = "lacnode/consensus/bft/header_rules.py"
JOURNAL = "lacnode/consensus/bft/journal.py"
HEIGHT = "lacnode/consensus/bft/height_manager.py"
SEARCH = "lacnode/consensus/bft/pool_search.py"

CONSENSUS = (
    Mutant(
        "quorum-one-too-few",
        "lacnode/consensus/bft/quorum.py",
        "return (2 * validators + 2) // 3",
        "return (2 * validators - 1) // 3",
        ("tests/simulation/test_faults.py", "-k", "halves"),
    ),
    Mutant(
        "prepares-one-too-few",
        "lacnode/consensus/bft/quorum.py",
        "return quorum(validators) - 1",
        "return quorum(validators) - 2",
        ("tests/unit/consensus/test_round.py",),
    ),
    Mutant(
        "commit-without-prepares",
        "lacnode/consensus/bft/block_decision.py",
        "if round_.is_prepared and (self.prepared is None",
        "if (self.prepared is None",
        ("tests/unit/consensus/test_round.py",),
    ),
    Mutant(
        "lowest-prepared-round-in-a-certificate",
        "lacnode/consensus/bft/prepared_block.py",
        "return max(certificates, key=lambda certificate: certificate.round, default=None)",
        "return min(certificates, key=lambda certificate: certificate.round, default=None)",
        ("tests/unit/consensus/test_certificates.py",),
    ),
    Mutant(
        "lowest-prepared-round-is-proposed",
        VALIDATION,
        "(best is None or certificate.round > best.round)",
        "(best is None or certificate.round < best.round)",
        ("tests/unit/consensus/test_certificates.py", "tests/unit/consensus/test_round_change.py"),
    ),
    Mutant(
        "lock-forgotten-across-restart",
        JOURNAL,
        "            if prepared.height > self._finished:\n                self._remember_prepared(prepared)",
        "            if prepared.height < 0:\n                self._remember_prepared(prepared)",
        ("tests/simulation/test_scenarios.py", "-k", "all_restart"),
    ),
    Mutant(
        "votes-for-a-round-that-was-left",
        JOURNAL,
        "if payload.round_id.round < signed.highest_requested_round:",
        "if payload.round_id.round < 0:",
        ("tests/unit/consensus/test_journal.py",),
    ),
    Mutant(
        "round-change-hides-what-was-prepared",
        JOURNAL,
        "if payload.certificate is None or payload.certificate.round < signed.prepared.round:",
        "if payload.certificate is not None and payload.certificate.round < signed.prepared.round:",
        ("tests/unit/consensus/test_journal.py",),
    ),
    Mutant(
        "round-timer-never-doubles",
        "lacnode/consensus/bft/round_timers.py",
        "self._head.request_timeout_ms << min(number, MAX_DOUBLINGS)",
        "self._head.request_timeout_ms",
        ("tests/simulation/test_scenarios.py", "-k", "besu_6613"),
    ),
    Mutant(
        "certificate-of-a-proposal-out-of-turn",
        RULES,
        'require(signed.author == committee.proposer(round_id.round), f"0x{signed.author.hex()} is not the proposer")',
        'require(signed.author in committee.validators, f"0x{signed.author.hex()} is not the proposer")',
        ("tests/unit/consensus/test_certificates.py",),
    ),
    Mutant(
        "proposer-stays",
        "lacnode/consensus/bft/proposer.py",
        "place = bisect_right(validators, parent_coinbase)",
        "place = bisect_right(validators, parent_coinbase) - 1",
        ("tests/unit/consensus/test_network.py",),
    ),
    Mutant(
        "votes-in-certificates-counted-twice",
        RULES,
        "require(len(authors) == len(signed), ",
        "require(len(authors) <= len(signed), ",
        ("tests/unit/consensus/test_certificates.py", "tests/unit/consensus/test_round_change.py"),
    ),
    Mutant(
        "certificate-of-its-own-round",
        VALIDATION,
        "require(0 <= prepared.round < target.round, ",
        "require(0 <= prepared.round <= target.round, ",
        ("tests/unit/consensus/test_certificates.py", "tests/unit/consensus/test_round_change.py"),
    ),
    Mutant(
        "one-round-change-is-followed",
        HEIGHT,
        "self.round_changes.wanted_by(self.committee.max_faulty + 1, above=self.round.number)",
        "self.round_changes.wanted_by(1, above=self.round.number)",
        ("tests/simulation/test_faults.py", "-k", "a_hurrier"),
    ),
    Mutant(
        "seals-not-counted-at-import",
        HEADER_RULES,
        "if len(sealers) < needed:",
        "if not sealers:",
        ("tests/unit/consensus/test_header_rules.py",),
    ),
    Mutant(
        "seals-of-strangers",
        HEADER_RULES,
        "    strangers = sealers.difference(validators)\n",
        "    strangers: set[bytes] = set()\n",
        ("tests/unit/consensus/test_header_rules.py",),
    ),
    Mutant(
        "body-swap-counts-as-the-proposal",
        "lacnode/consensus/bft/unsigned_content.py",
        "        block = with_seals(protocol, block, ())\n    check_body_matches(block)\n",
        "        block = with_seals(protocol, block, ())\n",
        ("tests/simulation/test_false_copies.py",),
    ),
    Mutant(
        "messages-of-the-other-protocol-heard",
        "lacnode/consensus/bft/controller.py",
        "if round_id.sequence >= current and protocol is not self._protocols.at(round_id.sequence):",
        "if round_id.sequence < 0:",
        ("tests/unit/consensus/test_protocol_change.py",),
    ),
    Mutant(
        "qbft-one-block-late",
        "lacnode/consensus/protocols.py",
        "(height, _of_chain(spec, name)) for height, name",
        "(height + (height > 0), _of_chain(spec, name)) for height, name",
        ("tests/unit/chain/test_migration.py",),
    ),
    Mutant(
        "epochs-of-qbft-from-block-0",
        "lacnode/chainspec/bft_sections.py",
        "epoch_begins=max(0, begins - 1)",
        "epoch_begins=0 * begins",
        ("tests/unit/chain/test_migration.py",),
    ),
    Mutant(
        "prepared-block-of-the-other-protocol-forgotten",
        "lacnode/consensus/bft/journal.py",
        '            prepared = decode_prepared(self._protocols, fields.bytes("prepared"))\n',
        '            try:\n                prepared = decode_prepared(self._protocols, fields.bytes("prepared"))\n'
        "            except OtherProtocolError:\n                return\n",
        ("tests/unit/consensus/test_protocol_change.py",),
    ),
    Mutant(
        "silent-proposer-costs-the-empty-block-period",
        SEARCH,
        "self._timers.end_waiting(now_ms) if found else",
        "[] if found else",
        ("tests/simulation/test_empty_blocks.py", "-k", "silent"),
    ),
    Mutant(
        "rounds-lost-for-nothing-without-end",
        SEARCH,
        "            self._last_height = head.header.number + len(head.validators)\n",
        "            self._last_height = 0\n",
        ("tests/simulation/test_empty_blocks.py", "-k", "one_pool or stranger"),
    ),
    Mutant(
        "rounds-alone-after-a-shortened-one",
        "lacnode/consensus/bft/round_timers.py",
        "        self._waits_for_quorum = number == 1 and self._waits_for_empty_block\n",
        "        self._waits_for_quorum = False\n",
        ("tests/simulation/test_empty_blocks.py", "-k", "down"),
    ),
    Mutant(
        "round-1-waits-although-a-quorum-is-there",
        HEIGHT,
        "        waits_no_longer = self.timers.end_waiting(self._now_ms)\n",
        "        waits_no_longer = list[Effect]()\n",
        ("tests/unit/consensus/qbft/test_empty_blocks.py",),
    ),
    Mutant(
        "junk-in-the-pool-shortens-rounds",
        "lacnode/validator/block_creator.py",
        "        return bool(block.transactions)\n",
        "        return block.number > 0\n",
        ("tests/unit/validator/test_block_creator.py",),
    ),
    Mutant(
        "relaying-ends-after-some-failed-rounds",
        "lacnode/consensus/bft/relay_shares.py",
        "return round_ if current_round <= round_ < current_round + MAX_RELAYED_ROUNDS else _OTHER_ROUNDS",
        "return _OTHER_ROUNDS",
        ("tests/unit/consensus/test_intake.py", "-k", "relay_brings"),
    ),
    Mutant(
        "bytes-of-far-rounds-relayed-without-end",
        "lacnode/consensus/bft/relay_shares.py",
        "return round_ if current_round <= round_ < current_round + MAX_RELAYED_ROUNDS else _OTHER_ROUNDS",
        "return round_",
        ("tests/unit/consensus/test_intake.py", "-k", "relay_brings"),
    ),
    Mutant(
        "messages-between-an-effect-and-its-refusal",
        "lacnode/validator/validator.py",
        "self._effects((refusals or early_messages).popleft())",
        "self._effects((early_messages or refusals).popleft())",
        ("tests/unit/validator/test_driver.py",),
    ),
)
