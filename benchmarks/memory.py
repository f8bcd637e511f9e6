"""Peak memory of ``lapel add`` for 4,000 and for 40,000 products, each in a process of its own.

python benchmarks/memory.py [--encoder default]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from shops import machine, shop

CHILD = """
import resource, sys
from lapel.service import AddRequest, add_to_store
source, products, store, encoder, limit = sys.argv[1:]
add_to_store(store, AddRequest(source, products or None, limit=int(limit)), encoder=encoder)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", default="default")
    encoder = parser.parse_args().encoder
    peaks = []
    print(machine())
    with tempfile.TemporaryDirectory() as work:
        arguments = shop(Path(work))
        source, products = arguments[0], arguments[2] if len(arguments) > 1 else ""
        for limit in (4_000, 40_000):
            command = [sys.executable, "-c", CHILD, source, products, f"{work}/shop{limit}", encoder, str(limit)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout.split()[-1]) / 1024)  # Linux gives KiB
            print(f"{limit:6,} products   peak {peaks[-1]:6.0f} MiB")
    print(f"ratio             {peaks[1] / peaks[0]:6.2f}   (aim: flat)")


if __name__ == "__main__":
    main()
