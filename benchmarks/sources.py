"""Adding pictures from a Google Drive that this machine plays, 50 ms late with each answer, against adding them from a
local ZIP.

    python benchmarks/sources.py [--pictures 5000] [--rounds 2] [--latency 0.05] [--encoder small]

Turn by turn, each into a new store and with an empty cache. Then once more with faults in 2 % of the answers (429, 403,
500, cut, slow): every picture must be there, once, with its own bytes.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from lapel.engine.context import open_context
from lapel.engine.ingest import ingest
from lapel.sources import open_source
from lapel.sources.photos import photo_rows
from lapel.sources.stream import Streamed
from shops import machine, shop


def pack(count: int, work: Path) -> Path:
    """A ZIP of so many pictures of the benchmarks' shop."""
    arguments = shop(work)
    source = open_source(arguments[0] if len(arguments) > 1 else Path(arguments[-1]).parent)
    path = work / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, uri in enumerate(islice(source.walk(), count)):
            archive.writestr(f"part{number % 10}/{number:06d}.jpg", source.read(uri))
    source.close()
    return path


def serve(archive: Path, latency: float, faults: float) -> None:
    """Play a Drive that holds an archive's pictures, until standard input ends."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from loopback.drive import DriveServer, error

    kinds = [error(429), error(403, "userRateLimitExceeded"), error(500), "cut", "slow"]
    chance = random.Random(7)
    with DriveServer(latency=latency) as drive, zipfile.ZipFile(archive) as pictures:
        top = drive.folder("Shop")
        folders: dict[str, str] = {}
        for name in pictures.namelist():
            folder, _, file = name.partition("/")
            if folder not in folders:
                folders[folder] = drive.folder(folder, top)
            drive.file(file, pictures.read(name), folders[folder])
        drive.fault = lambda _: chance.choice(kinds) if chance.random() < faults else None
        print(drive.root, top, flush=True)
        sys.stdin.read()


@contextmanager
def drive(archive: Path, latency: float, faults: float = 0.0) -> Iterator[str]:
    """The address of a Drive folder served by another process."""
    words = [sys.executable, __file__, "--serve", str(archive), "--latency", str(latency), "--faults", str(faults)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        root, folder = server.stdout.readline().split()
        os.environ |= {"LAPEL_DRIVE_ENDPOINT": root, "LAPEL_DRIVE_KEY": "good-key"}
        try:
            yield f"gdrive://{folder}"
        finally:
            server.stdin.close()


def add(where: str, work: Path, encoder: str) -> tuple[float, list[str]]:
    """Pictures a second from opening the source to the last one written, and the hashes of what is stored."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        os.environ["LAPEL_CACHE"] = str(Path(folder) / "cache")
        with open_context(Path(folder) / "shop", create=True, encoder=encoder) as store:
            look = store.encoder  # opened before the clock runs
            began = time.perf_counter()
            with closing(open_source(where)) as source:
                report = ingest(store, photo_rows(source), source=source)
                seconds = time.perf_counter() - began
                if isinstance(source, Streamed):
                    print(f"  {source.cache.fetched:,} fetched, {source.cache.size / 1e6:,.0f} MB kept", end="")
            keys = store.catalog.vector_keys(look.fingerprint)
            hashes = [photo.sha256 for _, photo in store.catalog.entries(keys).values()]
    print(f"  {report.photos_added:,} added, {report.photos_rejected} left out, {report.photos_added / seconds:.0f}/s")
    return report.photos_added / seconds, hashes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds added to each request")
    parser.add_argument("--faults", type=float, default=0.02, help="share of the last run's requests that fail")
    parser.add_argument("--encoder", default="default", help="a faster one leaves less time to fetch")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.latency, options.faults)
        return
    rates: dict[str, list[float]] = {"zip": [], "drive": []}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        archive = pack(options.pictures, work)
        with drive(archive, options.latency) as address:
            places = {"zip": str(archive), "drive": address}
            add(places["zip"], work, options.encoder)  # what is compiled or cached once is not measured
            for number in range(options.rounds):
                for name in sorted(places, reverse=number % 2 == 0):
                    print(name, end="")
                    rate, hashes = add(places[name], work, options.encoder)
                    rates[name].append(rate)
        with drive(archive, options.latency, options.faults) as address:
            print(f"drive, faults in {options.faults:.0%}", end="")
            faulty, found = add(address, work, options.encoder)
    zipped, driven = (statistics.median(rates[name]) for name in ("zip", "drive"))
    print(
        f"{options.pictures:,} pictures, {1000 * options.latency:.0f} ms added to each request; {options.encoder};"
        f" {machine()}"
    )
    print(f"local ZIP {zipped:.0f}/s, Drive {driven:.0f}/s, ratio {driven / zipped:.2f} (aim 0.8)")
    lost, twice = Counter(hashes) - Counter(found), Counter(found) - Counter(hashes)
    print(f"with faults {faulty:.0f}/s: {lost.total()} pictures lost, {twice.total()} twice")


if __name__ == "__main__":
    main()
