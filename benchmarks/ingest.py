"""Adding products end to end (unzip, decode, scale, encode, write) against the encoder alone on ready pixels, in one
run.

    python benchmarks/ingest.py [--pictures 4000]

The encoder alone is timed before and after, and the mean of the two is what adding is compared with.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from lapel.core.images import decode
from lapel.encoders import Encoder, open_encoder
from lapel.engine.context import open_context
from lapel.engine.ingest import ingest
from lapel.sources import open_source
from lapel.sources.table import read_table
from shops import machine, shop


def encoder_only(encoder: Encoder, pixels: np.ndarray) -> float:
    """Pictures a second, in the batches that adding uses."""
    began = time.perf_counter()
    for at in range(0, len(pixels), 64):
        encoder.encode_pixels(pixels[at : at + 64])
    return len(pixels) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=4000)
    wanted = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as work:
        arguments = shop(Path(work))
        table = Path(arguments[-1])
        source = open_source(arguments[0] if len(arguments) > 1 else table.parent)
        rows = list(islice(read_table(table), wanted))
        encoder = open_encoder("default")
        uris = [
            uri for row in rows for uri in ([source.find(name) for name in row.pictures] or [source.find_id(row.id)])
        ]
        pixels = np.stack([encoder.preprocessing.apply(decode(source.read(uri))) for uri in uris])
        encoder.encode_pixels(pixels[:256])
        before = encoder_only(encoder, pixels)
        with open_context(Path(work) / "shop", create=True) as store:
            began = time.perf_counter()
            report = ingest(store, rows, source=source)
            adding = report.photos_added / (time.perf_counter() - began)
        after = encoder_only(encoder, pixels)
    alone = (before + after) / 2
    print(f"{report.photos_added:,} pictures of {table.parent.name}; {machine()}")
    print(f"encoder alone    {before:7.0f} then {after:.0f} pictures/s")
    print(f"adding           {adding:7.0f} pictures/s")
    print(f"ratio            {adding / alone:7.2f}   (aim 0.90 or more)")


if __name__ == "__main__":
    main()
