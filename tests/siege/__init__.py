"""Attacks on a running network of four validators, and what each costs it.

`make siege` runs all of them. An attack sends what a stranger, an RPC caller, a sender of transactions or a dishonest
validator can send. The report gives the block interval with and without the attack, the growth of memory and log of each
node, and whether the bound of the attack holds.

`attacks/` has one module for each kind of attack. `watch.py` measures from outside, as a peer and as an RPC caller.
`siege.py` runs one attack after the other.
"""
