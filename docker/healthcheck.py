"""Exit 0 while the node in this container says it is alive.

Asks `/liveness` where `LACNODE_HEALTH_URL` points (the JSON-RPC port by default). Standard library only: the check runs
every few seconds for years.
"""

import os
import sys
import urllib.request

URL = os.environ.get("LACNODE_HEALTH_URL", "http://127.0.0.1:8545/liveness")

try:
    with urllib.request.urlopen(URL, timeout=2) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    print(f"{URL}: {error}", file=sys.stderr)
    sys.exit(1)
