"""Faults in the messages and proofs of QBFT."""

from tests.mutants.mutant import Mutant

FOLDER = "lacnode/consensus/qbft"
VALIDATION = f"{FOLDER}/message_validation.py"
PAYLOADS = f"{FOLDER}/payloads.py"
EXTRA_DATA = f"{FOLDER}/extra_data.py"
PROTOCOL = f"{FOLDER}/protocol.py"
PROPOSAL = f"{FOLDER}/encoded_proposal.py"

PROOFS = ("tests/unit/consensus/qbft/test_message_validation.py",)
BYTES = ("tests/unit/consensus/qbft/test_messages.py", "tests/unit/consensus/qbft/test_extra_data.py")
ROUND_ZERO = ("tests/unit/consensus/qbft/test_round_zero_proposals.py",)

QBFT = (
    Mutant(
        "qbft-proposals-of-other-heights",
        VALIDATION,
        '    require(round_id.sequence == committee.height, f"for {round_id} instead of height {committee.height}")\n'
        "    check_proposal_payload",
        "    check_proposal_payload",
        PROOFS,
    ),
    Mutant(
        "qbft-justification-in-round-0",
        VALIDATION,
        '        require(not round_changes and not prepares, "a proposal for round 0 carries no justification")\n',
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-too-few-round-changes",
        VALIDATION,
        "require(count >= committee.quorum,",
        "require(count >= committee.max_faulty + 1,",
        PROOFS,
    ),
    Mutant(
        "qbft-round-changes-of-one-author",
        VALIDATION,
        '    require_distinct(round_changes, "round change")\n',
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-round-changes-for-other-rounds",
        VALIDATION,
        '        require(signed.payload.round_id == round_id, f"a round change for {signed.payload.round_id} in it")\n',
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-round-changes-of-strangers",
        VALIDATION,
        "        check_round_change_payload(committee, signed)\n        certificate",
        "        certificate",
        PROOFS,
    ),
    Mutant(
        "qbft-two-blocks-prepared-in-one-round",
        VALIDATION,
        '            require(same, f"two different blocks prepared in round {certificate.round}")\n',
        "            _ = same\n",
        PROOFS,
    ),
    Mutant(
        "qbft-another-block-than-the-prepared-one",
        VALIDATION,
        '    require(_names_block(best, proposal.block), f"not the block that was prepared in round {best.round}")\n',
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-prepared-block-without-prepares",
        VALIDATION,
        "    _check_prepares(committee, prepares, best)\n",
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-prepares-of-no-block",
        VALIDATION,
        '        require(not prepares, "prepares, although no round change names a prepared block")\n',
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-round-change-without-prepares",
        VALIDATION,
        "    _check_prepares(committee, message.prepares, certificate)\n",
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-round-change-with-another-block",
        VALIDATION,
        '    require(digest == certificate.digest, "the digest is not that of the block")\n',
        "    _ = digest\n",
        PROOFS,
    ),
    Mutant(
        "qbft-prepared-in-the-round-that-is-asked-for",
        VALIDATION,
        "0 <= certificate.round < round_id.round,",
        "0 <= certificate.round <= round_id.round,",
        PROOFS,
    ),
    Mutant(
        "qbft-round-change-for-round-0",
        VALIDATION,
        '    require(round_id.round > 0, "a round change for round 0")\n',
        "",
        PROOFS,
    ),
    Mutant(
        "qbft-too-few-prepares",
        VALIDATION,
        "        len(prepares) >= committee.prepares_needed,\n",
        "        len(prepares) >= committee.prepares_needed - 1,\n",
        PROOFS,
    ),
    Mutant("qbft-prepares-of-one-author", VALIDATION, '    require_distinct(prepares, "prepare")\n', "", PROOFS),
    Mutant(
        "qbft-block-of-any-round",
        VALIDATION,
        "    require(round_ in (0, round_id.round),",
        "    require(round_ >= 0,",
        PROOFS,
    ),
    Mutant(
        "qbft-prepared-block-with-round-0-refused",
        VALIDATION,
        "for round_ in (certificate.round, 0)",
        "for round_ in (certificate.round,)",
        PROOFS,
    ),
    Mutant(
        "qbft-lowest-prepared-block-proposed-again",
        VALIDATION,
        "(best is None or certificate.round > best.round)",
        "(best is None or best.round > certificate.round)",
        PROOFS,
    ),
    Mutant(
        "qbft-code-of-a-message-not-signed",
        PAYLOADS,
        "rlp.list_of_encoded(bytes([CODES[kind]]), encoded_payload)",
        "rlp.list_of_encoded(bytes([CODES[MessageKind.PREPARE]]), encoded_payload)",
        BYTES,
    ),
    Mutant(
        "qbft-seals-in-a-proposed-block",
        PROPOSAL,
        "    if decode_extra_data(block.header.extra_data).seals:\n",
        "    if decode_extra_data(block.header.extra_data).round < 0:\n",
        BYTES,
    ),
    Mutant(
        "qbft-false-body-of-a-proposed-block",
        PROPOSAL,
        "            check_body_matches(whole)\n",
        "            pass\n",
        BYTES,
    ),
    Mutant(
        "qbft-items-after-the-seals",
        EXTRA_DATA,
        "    # More items would give one block two encodings: the hashes are made of the decoded items.\n"
        "    fields.check_no_fields_left()\n",
        "",
        BYTES,
    ),
    Mutant(
        "qbft-hash-of-a-block-covers-its-round",
        f"{FOLDER}/block_hash.py",
        "    return committed_seal_hash_in_round(header, 0)\n",
        "    return committed_seal_hash(header)\n",
        BYTES,
    ),
    Mutant(
        "qbft-proposal-without-the-prepares-of-its-block",
        PROTOCOL,
        "prepares = () if best is None else best.certificate.prepares",
        "prepares = () if best is None else ()",
        PROOFS,
    ),
    Mutant(
        "qbft-round-zero-form-never-proposed",
        PROTOCOL,
        "return 0 if prefers_round_zero else round_",
        "return round_ if round_ > 0 else 0",
        ROUND_ZERO,
    ),
)
