"""Deliberate faults, one at a time, each of which the tests named with it must notice: do the tests bite?

`make mutants`, or `python -m tests.mutants [NAME ...]`.
"""
