"""What a test suite of the node's users may import: a running network as a pytest fixture."""
