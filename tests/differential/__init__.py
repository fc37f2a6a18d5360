"""Random blocks and calls on both engines. `python -m tests.differential` runs many; a test runs a few."""
