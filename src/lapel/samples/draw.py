"""Draws a planned wardrobe into a folder: one JPEG for each photo, the catalogue as `products.csv`, and what it was
made from.

The folder appears all at once when everything is drawn. A folder that already holds the same wardrobe is left alone.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from lapel.core.errors import SourceError
from lapel.core.machine import cores
from lapel.samples.canvas import Drawing
from lapel.samples.plan import DEFAULT_PRODUCTS, DEFAULT_SEED, WardrobeProduct, plan_wardrobe
from lapel.samples.scene import photograph, plan_shot
from lapel.samples.shapes import lay_out, pose_of

DRAWING_VERSION = 1
"""Raised by one whenever a change makes any picture look different, so that old folders are drawn again."""

COLUMNS = (
    "id",
    "title",
    "category",
    "gender",
    "brand",
    "colour",
    "season",
    "price",
    "currency",
    "in_stock",
    "pattern",
    "material",
    "pictures",
)
_QUALITY = 88
_FEW = 12  # so few products are drawn sooner than helpers are started
_CHUNK = (
    8  # products handed to a helper at a time: short enough for smooth progress, long enough to hide the handing over
)


@dataclass(frozen=True)
class WardrobeSummary:
    """What `draw_wardrobe` left in the folder.

    Attributes:
        folder: the folder itself; `products.csv` is in it.
        products: number of products.
        photos: number of photos.
        drawn: False when the folder already held this wardrobe.
    """

    folder: Path
    products: int
    photos: int
    drawn: bool


def render_photo(product: WardrobeProduct, view: str) -> Image.Image:
    """Draw one photo of a planned product.

    Args:
        product: from `plan_wardrobe`.
        view: one of `product.views`.

    Returns:
        450 x 600 RGB picture; the same bytes every time.
    """
    if view not in product.views:
        raise ValueError(f"{product.id} has the views {', '.join(product.views)}, not {view!r}")
    return _photo(product, view, lay_out(product, pose_of(product, view)))


def draw_wardrobe(
    folder: Path,
    *,
    products: int = DEFAULT_PRODUCTS,
    seed: int = DEFAULT_SEED,
    progress: Callable[[int, int], None] | None = None,
) -> WardrobeSummary:
    """Draw the sample wardrobe into a folder, or find it there.

    Args:
        folder: is created; an existing one must be empty or hold an older wardrobe, which is replaced.
        products: how many products.
        seed: another seed draws another wardrobe.
        progress: called with (photos drawn, photos in all) from time to time, and at the end.

    Returns:
        Counts, and whether anything had to be drawn.

    Raises:
        SourceError: the folder holds something that is not a wardrobe.
    """
    planned = plan_wardrobe(products, seed)
    photos = sum(len(product.views) for product in planned)
    made_from = {"products": products, "seed": seed, "version": DRAWING_VERSION, "photos": photos}
    if (folder / "products.csv").is_file() and _made_from(folder) == made_from:
        return WardrobeSummary(folder, products, photos, drawn=False)
    if folder.exists() and _made_from(folder) is None and (not folder.is_dir() or any(folder.iterdir())):
        raise SourceError(f"{folder} holds something else than a sample wardrobe. Name an empty or a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (fresh / "images").mkdir()
        done = 0
        for count in _draw_all(planned, fresh):
            done += count
            if progress is not None:
                progress(done, photos)
        _write_catalogue(planned, fresh / "products.csv")
        (fresh / "wardrobe.json").write_text(json.dumps(made_from, indent=2) + "\n", encoding="utf-8")
        fresh.chmod(0o755)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return WardrobeSummary(folder, products, photos, drawn=True)


def _photo(product: WardrobeProduct, view: str, drawing: Drawing) -> Image.Image:
    rng = np.random.default_rng([product.seed, crc32(view.encode()), 1])
    pairs = product.stands and product.category.startswith("Footwear")
    return photograph(drawing, plan_shot(view, rng, stands=product.stands, pairs=pairs), rng)


def _draw_products(products: tuple[WardrobeProduct, ...], folder: Path) -> int:
    """Draw and save all photos of some products; returns how many there were."""
    count = 0
    for product in products:
        drawings: dict[str, Drawing] = {}
        for view, name in zip(product.views, product.pictures, strict=True):
            pose = pose_of(product, view)
            if pose not in drawings:
                drawings[pose] = lay_out(product, pose)
            _photo(product, view, drawings[pose]).save(folder / name, quality=_QUALITY)
            count += 1
    return count


def _draw_all(products: tuple[WardrobeProduct, ...], folder: Path) -> Iterator[int]:
    """Draw everything on all processors, yielding how many photos each finished chunk had."""
    workers = cores()
    if workers == 1 or len(products) <= _FEW:
        for product in products:
            yield _draw_products((product,), folder)
        return
    pool: Executor
    if threading.active_count() > 1:
        # A process forked beside other threads may wait for ever for a lock that one of them held.
        pool = ThreadPoolExecutor(workers)
    else:
        # Forked helpers start at once and do not run the caller's main module again.
        way = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        pool = ProcessPoolExecutor(workers, mp_context=way)
    try:
        chunks = [products[i : i + _CHUNK] for i in range(0, len(products), _CHUNK)]
        for future in as_completed([pool.submit(_draw_products, chunk, folder) for chunk in chunks]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_catalogue(products: tuple[WardrobeProduct, ...], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for p in products:
            stock = "true" if p.in_stock else "false"
            writer.writerow(
                (
                    p.id,
                    p.title,
                    p.category,
                    p.gender,
                    p.brand,
                    p.colour,
                    p.season,
                    p.price,
                    p.currency,
                    stock,
                    p.pattern,
                    p.material,
                    "|".join(p.pictures),
                )
            )


def _made_from(folder: Path) -> dict[str, int] | None:
    """What the wardrobe in a folder was made from, or None when there is none."""
    try:
        found = json.loads((folder / "wardrobe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Give the finished folder its name; an older wardrobe of that name goes away."""
    old = fresh.with_name(fresh.name + "-old")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
