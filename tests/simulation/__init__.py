"""Whole networks of validators on a virtual clock, in one process, deterministic from a seed.

`python -m tests.simulation --seeds 2000` runs many; `--seed 17` replays one and tells what happened.
"""
