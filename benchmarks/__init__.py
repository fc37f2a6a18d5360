"""Measurements of the promises: `python -m benchmarks` runs them all and writes `benchmarks/results/`.

A benchmark is a module with `measure() -> list[Measure]`. Ratios are taken within one run. Nothing here is a test.
"""
