"""What Lighthouse says of the phone page: performance, accessibility and best practices, as on a slow phone.

python phone_lighthouse.py --store STORE [--runs 3]

Lighthouse comes from npm (npx lighthouse@12.2.3), Chromium from the machine. Its performance is that of a phone with a
processor four times slower and a slow network, computed from what it sees here; on a busy machine it is worse than on
an idle one. The best of the runs is told, and all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import lapel
from phone_device import served

LIGHTHOUSE = "lighthouse@12.2.3"
CATEGORIES = ("performance", "accessibility", "best-practices")
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"


def scores(address: str, out: Path, command: list[str]) -> dict[str, float]:
    """One run: a score of 100 for each category; what is not full is printed."""
    asked = [*command, f"{address}/m/", "--quiet", "--output=json", f"--output-path={out}"]
    asked += [f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={FLAGS}"]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
    subprocess.run(asked, check=True, env={**os.environ, "CHROME_PATH": chromium})
    told = json.loads(out.read_text(encoding="utf-8"))
    for name, audit in told["audits"].items():
        if audit["score"] is not None and audit["score"] < 0.9 and audit["scoreDisplayMode"] != "informative":
            print(f"  {name}: {audit['score']} {audit.get('displayValue', '')}")
    return {name: round(100 * told["categories"][name]["score"]) for name in CATEGORIES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lighthouse", default="", help="its command, where it is installed already")
    given = parser.parse_args()
    command = [given.lighthouse] if given.lighthouse else ["npx", "--yes", LIGHTHOUSE]
    with lapel.open_store(given.store) as store, served(store) as address, tempfile.TemporaryDirectory() as folder:
        runs = [scores(address, Path(folder) / f"{run}.json", command) for run in range(given.runs)]
    print(json.dumps({"runs": runs, "best": {name: max(run[name] for run in runs) for name in CATEGORIES}}, indent=1))


if __name__ == "__main__":
    main()
