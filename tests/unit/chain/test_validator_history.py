"""Validators replayed from stored votes give what counting every header gives, from wherever one starts."""

import random
from collections.abc import Sequence

import pytest

from lacnode.chain.validator_history import ValidatorHistory
from lacnode.chainspec.ibft_schedule import IbftParameters, IbftSchedule
from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.primitives.header import BlockHeader
from tests.support.ibft2_blocks import IBFT2_ONLY

ADDRESSES = [bytes([n]) * 20 for n in range(1, 9)]


class Headers:
    """Headers made to order; counts what is read."""

    def __init__(self) -> None:
        self.headers: list[BlockHeader] = []
        self.noted: dict[int, tuple[bytes, ...]] = {}
        self.read = 0

    def add(self, validators: tuple[bytes, ...], vote: Vote | None = None, coinbase: bytes | None = None) -> None:
        extra = encode_extra_data(ExtraData(bytes(32), validators, vote))
        self.headers.append(
            BlockHeader(
                bytes(32),
                bytes(32),
                coinbase or validators[0],
                bytes(32),
                bytes(32),
                bytes(32),
                bytes(256),
                1,
                len(self.headers),
                5_000,
                0,
                len(self.headers),
                extra,
                bytes(32),
                bytes(8),
            )
        )

    def header_at(self, number: int) -> BlockHeader | None:
        self.read += 1
        return self.headers[number] if number < len(self.headers) else None

    def numbers_with_votes(self, first_number: int, last_number: int) -> Sequence[int]:
        return [
            header.number
            for header in self.headers[first_number : last_number + 1]
            if decode_extra_data(header.extra_data).vote is not None
        ]

    def epoch_validators_not_in_header(self, number: int) -> tuple[bytes, ...] | None:
        return self.noted.get(number)


def counted(schedule: IbftSchedule, headers: Headers, last: int) -> VoteTally:
    """Straight from the rules, header after header (Besu's behaviour, reference sheet sections 6.2 to 6.4)."""
    tally = VoteTally.from_validators(())
    for header in headers.headers[: last + 1]:
        extra = decode_extra_data(header.extra_data)
        epoch = header.number % schedule.parameters_at(header.number).epoch_length == 0
        override = schedule.validators_replaced_at(header.number + 1)
        if override is not None:
            tally = VoteTally.from_validators(override)
        elif epoch:
            tally = VoteTally.from_validators(extra.validators)
        if extra.vote is not None and not epoch:
            tally = tally.with_vote(header.coinbase, extra.vote)
    return tally


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_counting_from_the_genesis(seed: int) -> None:
    choice = random.Random(seed)
    schedule = IbftSchedule(
        (
            (0, IbftParameters(epoch_length=17)),
            (60, IbftParameters(epoch_length=25)),
            (61, IbftParameters(epoch_length=7)),
        ),
        ((40, tuple(ADDRESSES[:3])), (52, tuple(ADDRESSES[2:6]))),
    )
    headers = Headers()
    headers.add(tuple(ADDRESSES[:4]))
    for number in range(1, 120):
        validators = counted(schedule, headers, number - 1).validators
        vote = None
        if choice.random() < 0.5:
            kind = VoteType.ADD if len(validators) < 4 or choice.random() < 0.6 else VoteType.DROP
            vote = Vote(choice.choice(ADDRESSES), kind)
        headers.add(validators, vote, choice.choice(validators))
    for number in choice.sample(range(120), 120):
        history = ValidatorHistory(schedule, IBFT2_ONLY, headers)
        assert history.tally_after(headers.headers[number]) == counted(schedule, headers, number)
    shared = ValidatorHistory(schedule, IBFT2_ONLY, headers)
    for number in choice.sample(range(120), 120):
        assert shared.tally_after(headers.headers[number]) == counted(schedule, headers, number)


def test_a_long_epoch_is_not_read_block_by_block() -> None:
    headers = Headers()
    for _ in range(5_000):
        headers.add(tuple(ADDRESSES[:4]))
    history = ValidatorHistory(IbftSchedule(((0, IbftParameters()),)), IBFT2_ONLY, headers)
    assert history.tally_after(headers.headers[-1]).validators == tuple(ADDRESSES[:4])
    assert headers.read < 5


def test_a_missing_ancestor_is_an_error() -> None:
    headers = Headers()
    headers.add(tuple(ADDRESSES[:4]))
    header = headers.headers.pop()
    with pytest.raises(KeyError, match="block 0"):
        ValidatorHistory(IbftSchedule(((0, IbftParameters()),)), IBFT2_ONLY, headers).tally_after(header)


@pytest.mark.parametrize("seed", range(4))
def test_no_list_after_the_genesis_counts_where_goquorums_validators_decide(seed: int) -> None:
    choice = random.Random(seed)
    schedule = IbftSchedule(((0, IbftParameters(epoch_length=5, follows_goquorum=True)),))
    headers = Headers()
    headers.add(tuple(ADDRESSES[:4]))
    tallies = [VoteTally.from_validators(tuple(ADDRESSES[:4]))]
    for number in range(1, 60):
        validators = tallies[-1].validators
        listed = tuple(sorted(choice.sample(ADDRESSES, 3))) if choice.random() < 0.5 else validators
        kind = VoteType.ADD if len(validators) < 4 or choice.random() < 0.6 else VoteType.DROP
        vote, creator = Vote(choice.choice(ADDRESSES), kind), choice.choice(validators)
        headers.add(listed, vote, creator)
        is_epoch = number % 5 == 0
        if is_epoch and listed != validators:
            headers.noted[number] = validators
        tallies.append((VoteTally.from_validators(validators) if is_epoch else tallies[-1]).with_vote(creator, vote))
    for number in choice.sample(range(60), 60):
        history = ValidatorHistory(schedule, IBFT2_ONLY, headers)
        assert history.tally_after(headers.headers[number]) == tallies[number]
