"""What strangers say of other managers: bounded by source and in total, and never in the way of honest managers."""

import pytest

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.bounded_table import BoundedTable, TrustLevel
from lacnode.privacy.manager.orion_party_info import (
    MAX_PARTY_INFO_BYTES,
    MAX_PARTY_INFO_KEYS,
    MAX_PARTY_INFO_URLS,
    PartyInfo,
    decode_orion_party_info,
)
from lacnode.privacy.manager.peer_directory import MAX_KEYS_PER_SOURCE, MAX_URLS_PER_SOURCE, PeerDirectory

OWN, HONEST, OLD = (KeyPair.from_private_bytes(bytes([number]) * 32).public for number in (1, 2, 3))
HOME, HONEST_URL, OLD_URL = "http://own.example", "http://honest.example:8080", "http://old.example"
FLOODERS = 6


def false_view(source: int, count: int = 1_500) -> PartyInfo:
    """Made-up keys and URLs, other ones for each source."""
    places = [f"http://198.51.{source}.{number % 250}:{1 + number // 250}/{'x' * 40}" for number in range(count)]
    keys = {bytes([source, number // 256, number % 256]) + bytes(29): place for number, place in enumerate(places)}
    return PartyInfo(places[0], tuple(places), keys)


def flooded(kept: dict[bytes, str] | None = None) -> PeerDirectory:
    """A manager that an honest one is known to, after six strangers sent their views."""
    peers = PeerDirectory([OWN], HOME, known=kept)
    peers.add_party_info(PartyInfo(OLD_URL, (OLD_URL,), {OLD: OLD_URL}), answered=OLD_URL)
    for source in range(FLOODERS):
        peers.add_party_info(false_view(source), f"203.0.113.{source}")
    return peers


class TestFloods:
    def test_stay_within_the_bounds(self) -> None:
        view = flooded().party_info
        assert len(view.keys) <= MAX_PARTY_INFO_KEYS
        assert len(view.urls) <= MAX_PARTY_INFO_URLS

    def test_take_nothing_from_what_has_answered(self) -> None:
        peers = flooded()
        assert (peers.url_of(OWN), peers.url_of(OLD)) == (HOME, OLD_URL)

    def test_an_honest_manager_that_calls_us_is_learnt(self) -> None:
        peers = flooded()
        peers.pop_new_callers()
        peers.add_party_info(PartyInfo(HONEST_URL, (HONEST_URL,), {HONEST: HONEST_URL}), "192.0.2.1")
        assert peers.pop_new_callers() == [HONEST_URL]
        assert peers.url_of(HONEST) == HONEST_URL

    def test_even_where_every_stranger_has_an_address_of_its_own(self) -> None:
        """Entries of equal sources do not replace one another; what was called in vain gives way to anybody."""
        peers = PeerDirectory([OWN], HOME)
        places = [f"http://203.0.{number // 250}.{number % 250}" for number in range(2 * MAX_PARTY_INFO_URLS)]
        for place in places:
            peers.add_party_info(PartyInfo(place, (), {}), place.removeprefix("http://"))
        for url in peers.party_info.urls[1:9]:
            peers.mark_silent(url)
        peers.add_party_info(PartyInfo(HONEST_URL, (HONEST_URL,), {HONEST: HONEST_URL}), "192.0.2.1")
        assert HONEST_URL in peers.party_info.urls

    def test_what_a_manager_says_of_itself_when_it_is_called_is_learnt(self) -> None:
        peers = flooded()
        peers.add_party_info(PartyInfo(HONEST_URL, (), {HONEST: HONEST_URL}), answered=HONEST_URL)
        for source in range(FLOODERS, 2 * FLOODERS):
            peers.add_party_info(false_view(source), f"203.0.113.{source}")
        assert peers.url_of(HONEST) == HONEST_URL
        assert peers.has_answered(HONEST_URL)

    def test_of_strangers_whose_urls_all_answer_leave_a_place_for_a_manager_that_calls(self) -> None:
        """One machine has any number of names, and each of its ports may have a manager."""
        peers = PeerDirectory([OWN], HOME)
        places = [f"http://name{number % 100}.evil.example:{number // 100 + 1}" for number in range(2_000)]
        for number, place in enumerate(places):
            key = number.to_bytes(32)
            peers.add_party_info(PartyInfo(place, (place,), {key: place, bytes([1]) + key[1:]: place}), answered=place)
        peers.add_party_info(PartyInfo(HONEST_URL, (HONEST_URL,), {HONEST: HONEST_URL}), "192.0.2.1")
        assert peers.pop_new_callers() == [HONEST_URL]
        assert peers.url_of(HONEST) == HONEST_URL
        peers.add_party_info(PartyInfo(HONEST_URL, (), {HONEST: HONEST_URL}), answered=HONEST_URL)
        assert peers.has_answered(HONEST_URL)
        assert peers.is_key_of_called_manager(HONEST)

    def test_do_not_outlive_a_restart(self) -> None:
        kept = flooded().confirmed_keys
        assert kept == {OLD: OLD_URL}
        assert flooded(kept).url_of(OLD) == OLD_URL

    def test_kept_by_an_earlier_version_give_way_to_managers_that_answer(self) -> None:
        false = {number.to_bytes(32): f"http://203.0.{number // 250}.{number % 250}" for number in range(16_383)}
        peers = PeerDirectory([OWN], HOME, known=false)
        assert len(peers.party_info.keys) <= MAX_PARTY_INFO_KEYS
        peers.add_party_info(PartyInfo(HONEST_URL, (), {HONEST: HONEST_URL}), answered=HONEST_URL)
        assert peers.url_of(HONEST) == HONEST_URL

    def test_a_question_has_a_bounded_answer_that_begins_with_the_best_known(self) -> None:
        peers = PeerDirectory([OWN], HOME)
        peers.add_party_info(PartyInfo(OLD_URL, (), {OLD: OLD_URL}), answered=OLD_URL)
        for source in range(12):
            long = {
                bytes([source, number]) + bytes(30): f"http://a/{'x' * 1_900}{source}.{number}" for number in range(99)
            }
            peers.add_party_info(PartyInfo(None, tuple(long.values()), long), f"203.0.113.{source}")
        answer = peers.encode_own_party_info()
        assert len(answer) <= MAX_PARTY_INFO_BYTES
        assert list(decode_orion_party_info(answer).keys)[:2] == [OWN, OLD]

    def test_of_a_configured_manager_s_host_do_not_push_the_operator_s_urls_out(self) -> None:
        others = [f"http://member{number}.example" for number in range(MAX_URLS_PER_SOURCE + 9)]
        peers = PeerDirectory([OWN], HOME, others)
        for source in range(FLOODERS):
            peers.add_party_info(false_view(source), f"203.0.113.{source}")
        assert set(others) <= set(peers.party_info.urls)


class TestUrls:
    @pytest.mark.parametrize("url", ["http://a\n2026 | WARN | forged", "http://a\x1b[2J", "http://a b", "javascript:1"])
    def test_that_are_none_are_not_taken(self, url: str) -> None:
        peers = PeerDirectory([OWN], HOME)
        peers.add_party_info(PartyInfo(url, (url,), {HONEST: url}))
        assert peers.party_info == PartyInfo(HOME, (HOME,), {OWN: HOME})

    def test_that_may_not_be_called_are_not_taken(self) -> None:
        peers = PeerDirectory([OWN], HOME, may_call=lambda url: "internal" not in url)
        peers.add_party_info(PartyInfo(None, ("http://internal",), {HONEST: "http://internal"}))
        assert peers.party_info == PartyInfo(HOME, (HOME,), {OWN: HOME})

    def test_of_a_manager_that_did_not_answer_and_then_calls_are_due_again(self) -> None:
        peers = PeerDirectory([OWN], HOME)
        view = PartyInfo(HONEST_URL, (), {})
        peers.add_party_info(view, "192.0.2.1")
        peers.pop_new_callers()
        peers.mark_silent(HONEST_URL)
        peers.add_party_info(view, "192.0.2.1")
        assert peers.pop_new_callers() == [HONEST_URL]


class TestBoundedTable:
    def test_of_one_source_the_newest_stay(self) -> None:
        table = BoundedTable[int, str](10, 3)
        for number in range(5):
            assert table.put(number, "", "a", TrustLevel.HEARD)
        assert sorted(key for key, _ in table.items()) == [2, 3, 4]

    def test_an_entry_without_a_place_stays_as_it_was(self) -> None:
        table = BoundedTable[int, str](2, 9)
        table.put(1, "kept", "a", TrustLevel.ANSWERED)
        table.put(2, "kept", "b", TrustLevel.ANSWERED)
        assert not table.put(3, "", "c", TrustLevel.HEARD)
        assert not table.put(3, "", "c", TrustLevel.ANSWERED)
        assert dict(table.items()) == {1: "kept", 2: "kept"}

    def test_the_source_with_most_entries_gives_way(self) -> None:
        table = BoundedTable[str, None](4, 9)
        for key in ("a1", "a2", "a3", "b1"):
            table.put(key, None, key[0], TrustLevel.HEARD)
        assert table.put("c1", None, "c", TrustLevel.HEARD)
        assert {key for key, _ in table.items()} == {"a2", "a3", "b1", "c1"}
        assert not table.put("c2", None, "c", TrustLevel.HEARD)

    def test_its_bounds_may_be_as_large_as_a_view(self) -> None:
        assert MAX_KEYS_PER_SOURCE < MAX_PARTY_INFO_KEYS
        assert MAX_URLS_PER_SOURCE < MAX_PARTY_INFO_URLS
