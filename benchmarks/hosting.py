"""What it costs that pictures live elsewhere: small pictures while adding, a move, a feed run again, a round through
all pictures.

    python benchmarks/hosting.py [--pictures 3000]

Adding is measured with and without small pictures, turn by turn, on the catalogue at hand and on drawn photos of 450 x
600 pixels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from lapel.engine.context import StoreContext, open_context
from lapel.engine.feeds import plan_sync
from lapel.engine.hosting import move
from lapel.engine.ingest import ingest
from lapel.engine.media_check import check_media
from lapel.samples import draw_wardrobe
from lapel.sources import open_source
from lapel.sources.link_checker import LinkChecker
from lapel.sources.photos import photo_rows
from shops import machine, shop


def add(where: Path, folder: Path, pictures: int, *, small: bool) -> float:
    """Add pictures to a new store; returns pictures a second."""
    source = open_source(where)
    with open_context(folder, create=True) as store:
        rows = islice(photo_rows(source), pictures)
        done = ingest(store, rows, source=source, small=store.thumbnails if small else None)
        if small:
            size = store.thumbnails.size()
            print(f"  {size.photos:,} photos with small pictures, {size.bytes / size.photos / 1e3:.1f} kB each")
    return done.photos_added / done.seconds


def timed(what: str, work: Callable[[], Any], count: int) -> None:
    """Do it and print how long it took."""
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    print(f"{what:44} {seconds:7.2f} s  {count / seconds:10,.0f} photos/s  {found}")


def upkeep(store: StoreContext, where: Path) -> None:
    """A move there and back, a feed run again with a tenth missing, and a round."""
    count = store.catalog.counts().photos
    source = open_source(where)
    timed(
        "move all pictures, and back",
        lambda: [move(store, a, b).photos for a, b in ((where, "s3://x"), ("s3://x", where))],
        count,
    )
    rows = list(photo_rows(source))[:count]
    timed(
        "a table that lacks a tenth, taken as the whole",
        lambda: plan_sync(store.catalog, "", rows[: int(0.9 * count)]).apply(store.catalog),
        count,
    )
    timed("the index follows", lambda: len(store.index), count)
    timed("the whole table again", lambda: plan_sync(store.catalog, "", rows).apply(store.catalog), count)
    rounds = LinkChecker()
    timed("a round through all pictures", lambda: dict(check_media(store, rounds).states), count)
    rounds.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=3000)
    pictures = parser.parse_args().pictures
    print(machine())
    with tempfile.TemporaryDirectory() as work:
        drawn = Path(work) / "drawn"
        draw_wardrobe(drawn, products=500)
        catalogue = Path(shop(Path(work))[0])
        for name, where in (("the catalogue at hand", catalogue), ("drawn, 450 x 600", drawn)):
            print(name)
            rates: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(3):
                for small in (False, True):
                    rates[small].append(add(where, Path(work) / f"{name[:5]}-{turn}-{small}", pictures, small=small))
            with_small, without = max(rates[True]), max(rates[False])
            print(
                f"  adding: {with_small:,.0f} pictures/s with small pictures, {without:,.0f} without:"
                f" {with_small / without:.2f}"
            )
        with open_context(Path(work) / "the c-0-True") as store:
            upkeep(store, catalogue)


if __name__ == "__main__":
    main()
