"""Adding products end to end (unzip, decode, scale, encode, write) against the encoder alone on ready pixels, in one
run.

    python benchmarks/ingest.py [--pictures 4000]

The encoder alone is timed before and after, and the mean of the two is what adding is compared with. Processor time is
counted beside the clock's, as it says more on a machine that does something else too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from lapel.core.images import decode
from lapel.encoders import open_encoder
from lapel.engine.context import open_context
from lapel.engine.features import CATALOG_FEATURES
from lapel.engine.ingest import ingest
from lapel.sources import open_source
from lapel.sources.table import read_table
from shops import machine, shop


def measured(work: Callable[[], object], count: int) -> np.ndarray:
    """Seconds a picture: by the clock, and of all processors together."""
    clock, processors = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - clock, time.process_time() - processors]) / count


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
        images = [decode(source.read(uri)) for uri in uris]
        pixels = np.stack([encoder.preprocessing.apply(image) for image in images])
        encoder.encode_pixels(pixels[:256])
        batches = [slice(at, at + 64) for at in range(0, len(uris), 64)]  # as adding has them

        def encode() -> None:
            for batch in batches:
                encoder.encode_pixels(pixels[batch])

        def derive() -> None:
            for feature in CATALOG_FEATURES:
                for batch in batches:
                    feature.derive([feature.sample(image) for image in images[batch]])

        before = measured(encode, len(uris))
        with open_context(Path(work) / "shop", create=True) as store:
            _ = store.encoder
            adding = measured(lambda: ingest(store, rows, source=source), len(uris))
        alone = (before + measured(encode, len(uris))) / 2
        features = measured(derive, len(uris))
    print(f"{len(uris):,} pictures of {table.parent.name}; {machine()}")
    print(f"encoder alone    {1 / alone[0]:7.0f} pictures/s, {1e3 * alone[1]:.2f} ms of processors each")
    print(f"adding           {1 / adding[0]:7.0f} pictures/s, {1e3 * adding[1]:.2f} ms of processors each")
    print(f"features         {1e3 * features[1]:7.2f} ms of processors each: {features[1] / adding[1]:.1%} of adding")
    print(
        f"ratio            {alone[0] / adding[0]:7.2f}   (aim 0.90 or more), {alone[1] / adding[1]:.2f} of processors"
    )


if __name__ == "__main__":
    main()
