"""Senders that are remembered by transaction hash."""

from lacnode.crypto.recent_senders import RecentSenders


def test_the_oldest_senders_are_forgotten() -> None:
    senders = RecentSenders(max_senders=3)
    for number in range(5):
        senders.add(bytes([number]) * 32, bytes([number]) * 20)
    assert [senders.get(bytes([number]) * 32) for number in range(5)] == [
        None,
        None,
        bytes([2]) * 20,
        bytes([3]) * 20,
        bytes([4]) * 20,
    ]


def test_a_sender_kept_again_takes_no_other_ones_place() -> None:
    senders = RecentSenders(max_senders=2)
    for number in (0, 1, 1, 1):
        senders.add(bytes([number]) * 32, bytes([number]) * 20)
    assert senders.get(bytes(32)) == bytes(20)


def test_several_are_asked_for_at_once_in_their_order() -> None:
    senders = RecentSenders()
    for number in (1, 3):
        senders.add(bytes([number]) * 32, bytes([number]) * 20)
    asked = senders.get_all([bytes([number]) * 32 for number in (3, 2, 1)])
    assert asked == [bytes([3]) * 20, None, bytes([1]) * 20]
