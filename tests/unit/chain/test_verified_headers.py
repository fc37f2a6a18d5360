"""Headers whose seals were verified before their import, and how long they are kept."""

from dataclasses import replace

from lacnode.chain.verified_headers import VerifiedHeaders
from lacnode.chainspec.genesis import parse_genesis
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from tests.support.chain_genesis import genesis

HEADER: BlockHeader = parse_genesis(genesis()).genesis.header(bytes(32))


def block(number: int, seals: bytes) -> Block:
    return Block(replace(HEADER, number=number, extra_data=seals), BlockBody((), ()))


class TestVerifiedHeaders:
    def test_a_header_is_kept_with_its_body_until_its_block_is_imported(self) -> None:
        verified = VerifiedHeaders()
        waiting = block(7, b"seals")
        verified.record_verified_seals(waiting.header)
        verified.add_body(waiting)
        verified.remove_up_to(6)
        assert verified.has(waiting.header)
        assert verified.has_body(waiting)

    def test_the_form_with_other_seals_is_forgotten_too(self) -> None:
        verified = VerifiedHeaders()
        imported, other = block(7, b"seals"), block(7, b"seals of others")
        for form in (imported, other):
            verified.record_verified_seals(form.header)
            verified.add_body(form)
        verified.remove_up_to(imported.header.number)
        assert not verified.has(imported.header)
        assert not verified.has(other.header)
        assert not verified.has_body(other)
