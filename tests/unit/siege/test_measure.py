"""What a siege concludes from what it saw."""

from pathlib import Path

import pytest

from lacnode.devnet.manifest import NetworkShape, make_devnet
from tests.siege.attack import STRANGER, VALIDATOR, Cost
from tests.siege.attacks import ATTACKS, by_name
from tests.siege.heard import RecordedMessage, contradictions
from tests.siege.init_codes import SELF_CALLS, deploying
from tests.siege.measure import MEGABYTE, BlockTimes
from tests.siege.modified_validator import CHANGES
from tests.siege.report import table
from tests.siege.siege import Result
from tests.siege.websocket import TEXT, masked_frame

CALM = BlockTimes(1.0, 1.0, 1.1, 60, 0)


def cost(times: BlockTimes = CALM, **changes: float) -> Cost:
    given = {
        "period": 1.0,
        "call_p95_seconds": 0.01,
        "blocks_waited": 1,
        "memory_growth_bytes": 0,
        "log_bytes_per_minute": 0.0,
        "stop_seconds": 0.3,
    }
    return Cost(times=times, calm=CALM, **{**given, **changes})  # type: ignore[arg-type]


class TestBlockTimes:
    def test_intervals_are_between_arrivals(self) -> None:
        arrivals = [(9.0, 0), (10.0, 0), (11.0, 0), (13.0, 1), (14.0, 0)]
        times = BlockTimes.of(arrivals, 9.5, 14.5)
        assert (times.p50, times.p95, times.longest) == (1.0, 2.0, 2.0)
        assert (times.blocks, times.highest_round) == (4, 1)

    def test_a_chain_that_stands_still_is_seen(self) -> None:
        times = BlockTimes.of([(9.0, 0), (10.0, 0)], 9.5, 60.0)
        assert times.longest == times.p95 == 50.0

    def test_a_chain_that_never_moved_is_seen(self) -> None:
        assert BlockTimes.of([], 0.0, 60.0).p95 == 60.0

    def test_the_wait_at_the_end_is_no_short_interval(self) -> None:
        assert BlockTimes.of([(0.0, 0), (1.0, 0), (2.0, 0)], 0.5, 2.01).p50 == 1.0


class TestVerdict:
    def test_a_calm_network_breaks_nothing(self) -> None:
        assert cost().broken(STRANGER) == []

    @pytest.mark.parametrize(
        ("broken", "part"),
        [
            (cost(BlockTimes(1.0, 1.3, 1.3, 60, 0)), "block interval"),
            (cost(memory_growth_bytes=65 * MEGABYTE), "memory"),
            (cost(log_bytes_per_minute=1.1 * MEGABYTE), "log"),
            (cost(stop_seconds=2.1), "stop"),
        ],
    )
    def test_each_bound_can_break(self, broken: Cost, part: str) -> None:
        (fault,) = broken.broken(STRANGER)
        assert part in fault

    def test_a_validator_may_cost_one_round_and_not_two(self) -> None:
        assert cost(BlockTimes(1.0, 3.0, 3.0, 60, 1)).broken(VALIDATOR) == []
        assert cost(BlockTimes(1.0, 3.0, 3.0, 60, 2)).broken(VALIDATOR)
        assert cost(BlockTimes(60.0, 60.0, 60.0, 0, 0)).broken(VALIDATOR)

    def test_the_table_fits_a_terminal_and_says_what_broke(self) -> None:
        results = [Result("heavy-creation", "", cost()), Result("modexp", "", None, ["1 is 0"], ["4 results"])]
        lines = table(results).splitlines()
        assert max(map(len, lines)) <= 100
        assert "modexp: 1 is 0" in lines
        assert lines[-1] == "2 attacks, 1 broke a bound"


class TestContradictions:
    def test_two_digests_for_one_round_contradict(self) -> None:
        said = [
            RecordedMessage("aa", 1, 5, 0, "01"),
            RecordedMessage("aa", 1, 5, 0, "02"),
            RecordedMessage("bb", 1, 5, 0, "02"),
        ]
        (found,) = contradictions(said)
        assert "0xaa" in found
        assert "height 5" in found

    def test_the_same_message_twice_and_another_round_do_not(self) -> None:
        said = [
            RecordedMessage("aa", 1, 5, 0, "01"),
            RecordedMessage("aa", 1, 5, 0, "01"),
            RecordedMessage("aa", 1, 5, 1, "02"),
        ]
        assert contradictions(said) == []


class TestAttacks:
    def test_names_are_unique_and_found(self) -> None:
        assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
        assert all(by_name(attack.name) is attack for attack in ATTACKS)
        with pytest.raises(KeyError, match="heavy-creation"):
            by_name("nothing")

    def test_every_modification_exists(self, tmp_path: Path) -> None:
        nodes = {node.name for node in make_devnet(tmp_path / "net", NetworkShape(4), 1.0, 0).nodes}
        for attack in ATTACKS:
            for name, change in getattr(attack, "modified", {}).items():
                assert name in nodes
                assert change in CHANGES

    def test_deployed_code_is_what_stands_behind_the_init_code(self) -> None:
        code = deploying(SELF_CALLS)
        assert code.endswith(SELF_CALLS)
        assert code[1] == len(SELF_CALLS)
        assert code[4] == len(code) - len(SELF_CALLS)

    def test_frames_of_every_length_are_masked(self) -> None:
        for size in (1, 125, 126, 65_535, 65_536):
            frame = masked_frame(TEXT, b"x" * size)
            head = 6 if size < 126 else 8 if size < 65_536 else 14
            mask = frame[head - 4 : head]
            assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(frame[head:])) == b"x" * size
