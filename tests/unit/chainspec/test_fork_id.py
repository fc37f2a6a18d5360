"""The fork id that peers compare: the values of real networks, and who is let in (EIP-2124, Besu's `ForkIdManager`)."""

import pytest

from lacnode.chainspec.forks import ForkId, ForkSchedule
from lacnode.chainspec.genesis import parse_genesis

PRO_TESTNET = bytes.fromhex("153487bdc779de9f216b1ea3b8b0e51f68d69de17627af0c3e32f29c535d7009")
BERLIN = 37_044_085
BEFORE, AFTER = bytes.fromhex("dda7e872"), bytes.fromhex("3e7c7b35")


def forks(**config: int) -> ForkSchedule:
    return parse_genesis({"config": {"ibft2": {}, **config}, "difficulty": "0x1", "gasLimit": "0x1"}).forks


PRO_TESTNET_FORKS = forks(constantinopleFixBlock=0, berlinBlock=BERLIN)


class TestIds:
    @pytest.mark.parametrize(
        ("genesis", "expected"),
        [
            ("f7c3c99a9ccb707bb8db98aa446f5158beb02eeeb04a7a08af2fa63f89b437aa", "d4c10651"),
            ("67e642b36170d8df42a7c2a62576eee6b2bf05f1138ce7f093669816032fe6bc", "adecfbc9"),
            ("f4d77818d69b17fd729c88174df3223a5f628d19ef741d4bd285a446ef177df2", "8d8da2eb"),
        ],
    )
    def test_of_lacchain_networks_that_never_forked(self, genesis: str, expected: str) -> None:
        fork_id = forks(berlinBlock=0).fork_id_at(bytes.fromhex(genesis), 10**8, 2 * 10**9)
        assert fork_id == ForkId(bytes.fromhex(expected), 0)

    def test_of_the_one_that_did(self) -> None:
        at = PRO_TESTNET_FORKS.fork_id_at
        assert at(PRO_TESTNET, 0, 0) == ForkId(BEFORE, BERLIN)
        assert at(PRO_TESTNET, BERLIN - 1, 0) == ForkId(BEFORE, BERLIN)
        assert at(PRO_TESTNET, BERLIN, 0) == ForkId(AFTER, 0)

    def test_of_ethereums_mainnet(self) -> None:
        """The vectors of EIP-2124 and EIP-6122, whose rule this is."""
        mainnet = forks(
            homesteadBlock=1_150_000,
            daoForkBlock=1_920_000,
            eip150Block=2_463_000,
            eip158Block=2_675_000,
            byzantiumBlock=4_370_000,
            constantinopleBlock=7_280_000,
            petersburgBlock=7_280_000,
            istanbulBlock=9_069_000,
            muirGlacierBlock=9_200_000,
            berlinBlock=12_244_000,
            londonBlock=12_965_000,
            arrowGlacierBlock=13_773_000,
            grayGlacierBlock=15_050_000,
            shanghaiTime=1_681_338_455,
        )
        genesis = bytes.fromhex("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")
        for number, time, hash_, following in (
            (0, 0, "fc64ec04", 1_150_000),
            (1_919_999, 0, "97c2c34c", 1_920_000),
            (7_280_000, 0, "668db0af", 9_069_000),
            (15_049_999, 0, "20c327fc", 15_050_000),
            (15_050_000, 0, "f0afd0e3", 1_681_338_455),
            (20_000_000, 1_681_338_455, "dce96c2d", 0),
        ):
            assert mainnet.fork_id_at(genesis, number, time) == ForkId(bytes.fromhex(hash_), following)

    def test_times_up_to_the_genesis_do_not_count(self) -> None:
        document = {
            "config": {"ibft2": {}, "londonBlock": 0, "shanghaiTime": 100, "cancunTime": 101},
            "difficulty": "0x1",
            "gasLimit": "0x1",
            "timestamp": "100",
        }
        assert parse_genesis(document).forks.id_times == (101,)


class TestPeers:
    def accepts(self, hash_: bytes, following: int, number: int = BERLIN) -> bool:
        return PRO_TESTNET_FORKS.accepts_fork_id(PRO_TESTNET, number, 0, ForkId(hash_, following))

    def test_at_the_last_fork_who_knows_it_is_let_in(self) -> None:
        assert self.accepts(AFTER, 0)
        assert self.accepts(AFTER, BERLIN + 5), "a fork to come that we have not heard of"
        assert self.accepts(BEFORE, BERLIN), "one that still synchronises"

    def test_at_the_last_fork_who_does_not_know_it_is_not(self) -> None:
        assert not self.accepts(BEFORE, 0)
        assert not self.accepts(BEFORE, BERLIN + 1)
        assert not self.accepts(AFTER, 5)

    def test_before_the_last_fork_the_chain_alone_counts(self) -> None:
        assert self.accepts(BEFORE, 0, number=5)
        assert self.accepts(AFTER, 0, number=5)
        assert not self.accepts(b"\x01\x02\x03\x04", 0, number=5)

    def test_a_chain_without_forks_lets_anyone_in(self) -> None:
        assert forks(berlinBlock=0).accepts_fork_id(PRO_TESTNET, 0, 0, ForkId(b"\x01\x02\x03\x04", 77))
