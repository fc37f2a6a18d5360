"""What a reader process loads: each megabyte of modules counts for every reader."""

import subprocess
import sys

from lacnode.rpc.readers.reader_child import READER_PROGRAM

LOADED = """
from lacnode.rpc.methods import calls, eth_state, eth_transactions
print("\\n".join(name for name, module in sys.modules.items() if module is not None))
"""

NOT_NEEDED = {
    "rich",
    "trio",
    "h11",
    "lacnode.chain.blockchain",
    "lacnode.consensus.bft.controller",
    "lacnode.rpc.method_list",
}
"""What the node needs beside it, or nothing."""


def test_a_reader_does_not_load_what_the_node_alone_needs() -> None:
    program = READER_PROGRAM.replace("main()\n", LOADED)
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(output.stdout.split())
    assert "lacnode.rpc.methods.calls" in loaded
    assert loaded & NOT_NEEDED == set()
    assert not any(name.startswith("lacnode.privacy.") for name in loaded)
