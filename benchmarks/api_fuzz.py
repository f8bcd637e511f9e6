"""Schemathesis against a running server of a tiny shop: no 5xx, and every answer as the OpenAPI text says.

    pip install schemathesis
    python benchmarks/api_fuzz.py --examples 450    # about 10,000 cases, an hour of a busy core

Schemathesis is no dependency of Lapel's development: it pins others. ``--python`` names an environment that has it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from api_shop import fill

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=40, help="of each of the 24 routes")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--port", type=int, default=18917)
    parser.add_argument("--python", default=sys.executable, help="a Python that has schemathesis")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shop = fill(Path(folder) / "shop")
        line = [sys.executable, "-m", "lapel", "api", "--store", str(shop), "--port", str(asked.port), "--no-keys"]
        server = subprocess.Popen([*line, "--rate", "1000000"], env=os.environ)
        address = f"http://127.0.0.1:{asked.port}"
        try:
            while True:
                try:
                    if httpx.get(f"{address}/v1/ready", timeout=60).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            run = [asked.python, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--checks", CHECKS]
            more = ["--max-examples", str(asked.examples), "--phases", "coverage,fuzzing", "--continue-on-failure"]
            sys.exit(subprocess.run([*run, *more, "--seed", str(asked.seed)], check=False).returncode)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
