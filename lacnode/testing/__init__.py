"""The parts that test suites of the node's users may import: a running network, also as a pytest fixture."""
