"""Who came before it was permitted."""

from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.refused_dialers import MAX_REFUSED_DIALERS, RefusedDialers


def enode(number: int) -> Enode:
    return Enode(number.to_bytes(64), "10.0.0.1", 30303, None)


def test_the_newest_are_taken_once_they_are_permitted() -> None:
    turned_away = RefusedDialers()
    for number in range(MAX_REFUSED_DIALERS + 1):
        turned_away.add(enode(number))
    permitted = {enode(number).id for number in range(3)}
    assert turned_away.pop_permitted(lambda node: node.id in permitted) == [enode(1), enode(2)]
    assert turned_away.pop_permitted(lambda node: node.id in permitted) == []


def test_who_comes_again_is_new_again() -> None:
    turned_away = RefusedDialers()
    for number in (*range(MAX_REFUSED_DIALERS), 0, MAX_REFUSED_DIALERS):
        turned_away.add(enode(number))
    assert enode(0) in turned_away.pop_permitted(lambda _: True)
