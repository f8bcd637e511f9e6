"""Schemathesis against a running server of a tiny shop: no 5xx, and every answer as the OpenAPI text says.

    pip install schemathesis
    python benchmarks/api_fuzz.py --examples 340    # more than 10,000 cases

It says every minute how many requests were answered so far, by status, and at the end once more: that count is the
server's own (``/metrics``; what is no HTTP at all never gets so far). Schemathesis is no dependency of Lapel's
development: it pins others. ``--python`` names an environment that has it.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from api_shop import fill

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


EVERY_SECONDS = 60.0


def counted(address: str) -> dict[str, int]:
    """Requests answered so far, all of them and by status."""
    told: collections.Counter[str] = collections.Counter()
    for line in httpx.get(f"{address}/metrics", timeout=600).text.splitlines():
        found = re.match(r'lapel_requests_total\{.*route="/v1/.*status="(\d+)".*\} ([\d.e+]+)', line)
        if found:
            told[found[1]] += int(float(found[2]))
    return {"requests": sum(told.values()), **dict(sorted(told.items()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=40, help="of each route")
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
            fuzz = subprocess.Popen([*run, *more, "--seed", str(asked.seed)])
            while True:
                try:
                    code = fuzz.wait(EVERY_SECONDS)
                except subprocess.TimeoutExpired:
                    print(json.dumps(counted(address)), file=sys.stderr, flush=True)
                    continue
                print(json.dumps({**counted(address), "failed": bool(code)}), flush=True)
                sys.exit(code)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
