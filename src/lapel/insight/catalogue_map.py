"""The catalogue as a map in one HTML file: what looks alike lies together, pictures instead of dots as one zooms.

A store goes in, a page comes out that needs no server, no network and no library: the pictures as WebP sheets, the
texts and numbers packed (zlib), the program of ``map_page.js``. The same store and seed give the same bytes.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lapel.core.errors import InputError, LapelError
from lapel.core.filters import NO_FILTER
from lapel.core.images import decode
from lapel.core.text import counted, reason_of
from lapel.core.types import Filter, Photo
from lapel.engine.context import StoreContext
from lapel.insight.clusters import Clusters, checked_levels, described, kept_groups
from lapel.insight.kept_file import Arrays, read_kept, write_kept
from lapel.insight.map_layout import FILE, KeptMap, Layout, lay_out
from lapel.insight.product_rows import ProductRows, Progress, read_products
from lapel.sources import read_uri

LEAST = 4
MOST = 60_000  # products of one page; of more, as many are drawn
PIXELS = 11_000_000  # of all small pictures together: 2 MB at this quality
WIDTHS = (12, 60)  # pixels of a small picture, at least and at most; it is 3 wide and 4 high
SHEET = 2048  # pixels, the longest side of a sheet: what every browser decodes
QUALITY = 38  # of WebP: small pictures are seen small
LARGE = (90, 120)  # pixels of the picture of a group
LARGE_QUALITY = 60
PAGE = 2048  # thumbnails read at once
WHITE = (255, 255, 255)
TILES = "map-tiles.npz"  # the small pictures, in the store's folder: 33 MB at most; may be deleted
FACETS = (("category", "Kind"), ("gender", "Gender"), ("colour", "Colour"))
NOTHING = "not known"
STAGES = 100  # parts of the work, for progress


@dataclass(frozen=True)
class CatalogueMap:
    """A map.

    Attributes:
        html: The page. Inside another page a click on a product is told to that page, with
            ``postMessage({lapel: {product: id}})``.
        clusters: The groups that it names.
        layout: Where each product is.
        unreadable: Products whose picture cannot be read: they are shown as a grey tile.
        not_shown: Products left out, as one page holds 60,000.
    """

    html: str = field(repr=False)
    clusters: Clusters
    layout: Layout = field(repr=False)
    unreadable: int = 0
    not_shown: int = 0

    def summary(self) -> str:
        """What is on it."""
        shown = counted(len(self.clusters.products), "product")
        kept = f", {self.layout.kept:,} of them where they were before" if self.layout.kept else ""
        lost = f" {counted(self.unreadable, 'picture')} cannot be read." if self.unreadable else ""
        more = f" {self.not_shown:,} more are not on it: one page holds {MOST:,}." if self.not_shown else ""
        size = len(self.html.encode()) / 1e6
        return f"A map of {shown}{kept}: {size:.1f} MB.{lost}{more}{self.clusters.products.note}"

    def save(self, path: str | Path) -> None:
        """Write the page, whole or not at all.

        Raises:
            InputError: it cannot be written there.
        """
        path = Path(path)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.html, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise InputError(
                f"The map cannot be written to {path}: {reason_of(error)}. Name a file in a folder that exists."
            ) from error
        finally:
            part.unlink(missing_ok=True)


def catalogue_map(
    context: StoreContext,
    *,
    where: Filter = NO_FILTER,
    levels: Sequence[int] = (),
    seed: int = 0,
    fresh: bool = False,
    title: str = "",
    progress: Progress | None = None,
) -> CatalogueMap:
    """Make a map of a store. Where the store can be written to, it keeps where everything is (``map.npz``), its small
    groups and small pictures: the next map begins with them, and new products go beside what looks like them.

    Args:
        context: The store.
        where: Which products.
        levels: How many groups each level has, see :func:`lapel.insight.clusters.find_clusters`.
        seed: The same store, seed and map of before give the same page.
        fresh: Group and lay it out anew, whatever was kept.
        title: Of the page; the name of the store's folder by default.
        progress: Called with the parts done, and how many there are.

    Raises:
        QueryError: fewer than four products, or all with the same picture.
    """

    def tell(done: float) -> None:
        if progress is not None:
            progress(round(done), STAGES)

    tell(0)
    everything = read_products(context, where, least=LEAST)
    products = drawn(everything, seed)
    counts = checked_levels(products, levels)
    groups = kept_groups(context, products, counts, where=where, seed=seed, fresh=fresh)
    tell(15)
    found = described(products, groups, seed)
    tell(20)
    mark = f"{context.catalog.setting('identity')} {context.model.fingerprint} {seed} {where}"  # whose keys those are
    layout = _layout(context, products, mark, seed, fresh, lambda done, total: tell(20 + 50 * done / total))
    order = _reading_order(layout)
    tiles = Tiles.of(context, [products.photos[row] for row in order], lambda share: tell(70 + 25 * share))
    page = _page(context, found, layout, order, tiles, title or context.folder.resolve().name)
    tell(STAGES)
    return CatalogueMap(page, found, layout, tiles.unreadable, len(everything) - len(products))


def drawn(products: ProductRows, seed: int, most: int = MOST) -> ProductRows:
    """At most so many of the products, drawn by a seed, in their order."""
    if len(products) <= most:
        return products
    rows = np.sort(np.random.default_rng(seed).permutation(len(products))[:most])
    return ProductRows(
        tuple(products.products[row] for row in rows),
        tuple(products.photos[row] for row in rows),
        products.vectors[rows],
        products.left_out,
    )


def _layout(context: StoreContext, products: ProductRows, mark: str, seed: int, fresh: bool, tell: Progress) -> Layout:
    """Where everything is: as kept, if it is of the same model, filter and seed; the rows by rising key."""
    kept = None if fresh else KeptMap.read(context.folder / FILE, mark)
    order = np.argsort(products.keys, kind="stable")
    layout = None
    if kept is not None:
        layout = kept.extended(products.keys[order], products.vectors[order])
    if layout is None:
        layout = lay_out(products.vectors[order], seed=seed, progress=tell)
    if layout.kept < len(products):
        KeptMap(products.keys[order], layout, mark).write(context)
    cells = np.empty_like(layout.cells)
    cells[order] = layout.cells
    return Layout(cells, layout.columns, layout.rows, layout.kept)


def _reading_order(layout: Layout) -> NDArray[np.int64]:
    """The products block by block of the map, so that those seen together stand on one sheet."""
    column, row = layout.cells.T
    return np.lexsort((column % 32, row, column // 32)).astype(np.int64)


@dataclass(frozen=True)
class Tiles:
    """Small pictures on sheets, left to right and top to bottom.

    Attributes:
        width: Pixels of a small picture; its height is a third more.
        across: Small pictures of a row of a sheet.
        per_sheet: Of a sheet.
        sheets: WebP files.
        colours: (n, 3) uint8, the mean colour of each picture's middle.
        unreadable: Pictures that cannot be read.
    """

    width: int
    across: int
    per_sheet: int
    sheets: tuple[bytes, ...]
    colours: NDArray[np.uint8]
    unreadable: int

    @classmethod
    def of(cls, context: StoreContext, photos: Sequence[Photo], tell: Callable[[float], None]) -> Tiles:
        """Make them."""
        fitting = int(np.sqrt(PIXELS / len(photos) * 3 / 4))
        width = min(max(fitting, WIDTHS[0]), WIDTHS[1]) // 3 * 3
        height = width * 4 // 3
        pixels, colours, readable = _tile_pixels(context, photos, (width, height), lambda share: tell(0.8 * share))
        across, down = SHEET // width, SHEET // height
        sheets: list[bytes] = []
        for start in range(0, len(photos), across * down):
            some = pixels[start : start + across * down]
            wide, high = min(across, len(some)), -(-len(some) // across)
            places = np.full((high * wide, height, width, 3), 255, np.uint8)
            places[: len(some)] = some
            rows = places.reshape(high, wide, height, width, 3).swapaxes(1, 2)
            sheet = Image.fromarray(rows.reshape(high * height, wide * width, 3))
            stream = io.BytesIO()
            sheet.save(stream, "WEBP", quality=QUALITY, method=4)
            sheets.append(stream.getvalue())
            tell(0.8 + 0.2 * (start + len(some)) / len(photos))
        return cls(width, across, across * down, tuple(sheets), colours, int((~readable).sum()))


def _tile_pixels(
    context: StoreContext, photos: Sequence[Photo], size: tuple[int, int], tell: Callable[[float], None]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """The (n, height, width, 3) pixels of small pictures, the (n, 3) mean colours of their middles, and which can be
    read. Those of before are taken from ``map-tiles.npz``; those that were made are kept, also when it is stopped."""
    names = np.array([int(photo.sha256[:16], 16) for photo in photos], np.uint64)
    pixels = np.full((len(photos), size[1], size[0], 3), 200, np.uint8)
    colours = np.full((len(photos), 3), 200, np.uint8)
    done = np.zeros(len(photos), np.bool_)
    kept = read_kept(context.folder / TILES, f"1 {size}", ("names", "pixels", "colours"))
    if kept is not None and len(kept["names"]) and kept["pixels"].shape == (len(kept["names"]), *pixels.shape[1:]):
        at = np.searchsorted(kept["names"], names).clip(0, len(kept["names"]) - 1)
        done = kept["names"][at] == names
        pixels[done], colours[done] = kept["pixels"][at[done]], kept["colours"][at[done]]
    made = np.flatnonzero(~done)
    try:
        images = small_pictures(context, [photos[row] for row in made.tolist()], size)
        for count, (row, image) in enumerate(zip(made.tolist(), images, strict=True)):
            if image is not None:
                pixels[row], colours[row], done[row] = np.asarray(image), _middle_colour(image), True
            if count % PAGE == 0:
                tell(count / len(made))
    finally:
        if done[made].any():
            names, first = np.unique(names[done], return_index=True)
            rows = np.flatnonzero(done)[first]
            arrays: Arrays = {"names": names, "pixels": pixels[rows], "colours": colours[rows]}
            write_kept(context, TILES, f"1 {size}", arrays)
    return pixels, colours, done


def small_pictures(
    context: StoreContext, photos: Sequence[Photo], size: tuple[int, int]
) -> Iterator[Image.Image | None]:
    """Each photo in a size, on white, from the store's thumbnails where there are; None for what cannot be read."""
    for start in range(0, len(photos), PAGE):
        some = photos[start : start + PAGE]
        own = context.thumbnails.get([photo.sha256 for photo in some], size[0])
        for photo in some:
            try:
                image = decode(own.get(photo.sha256) or read_uri(photo.uri))
            except (LapelError, OSError):
                yield None
                continue
            small = ImageOps.contain(image.convert("RGB"), size, Image.Resampling.LANCZOS)
            whole = Image.new("RGB", size, WHITE)
            whole.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
            yield whole


def _middle_colour(image: Image.Image) -> NDArray[np.uint8]:
    """The mean colour of what is not white in the middle of a picture: what a dot of it shows."""
    pixels = np.asarray(image)
    high, wide = pixels.shape[:2]
    middle = pixels[high // 5 : -(high // 5) or None, wide // 5 : -(wide // 5) or None].reshape(-1, 3)
    product = middle[middle.min(axis=1) < 235]
    chosen = product if len(product) > len(middle) // 12 else middle
    return np.asarray(chosen.mean(axis=0).astype(np.uint8))


def _page(
    context: StoreContext, found: Clusters, layout: Layout, order: NDArray[np.int64], tiles: Tiles, title: str
) -> str:
    """The whole HTML."""
    products = [found.products.products[row] for row in order]
    facets, columns = [], [layout.cells[order, 0], layout.cells[order, 1], found.groups[-1][order]]
    for name, label in FACETS:
        known = [product.category[-1] if product.category else "" for product in products]
        if name != "category":
            known = [getattr(product, name) for product in products]
        if not any(known):
            continue
        values = sorted(set(known), key=lambda text: (text == "", text.casefold(), text))
        number = {value: place for place, value in enumerate(values)}
        columns.append(np.array([number[text] for text in known], np.int64))
        facets.append({"label": label, "values": [value or NOTHING for value in values]})
    texts = "\0".join(
        "\n".join(_line(text) for text in column)
        for column in (
            [product.id for product in products],
            [product.title for product in products],
            [product.price for product in products],
            [product.url for product in products],
        )
    )
    about = {
        "title": title,
        "count": len(products),
        "grid": [layout.columns, layout.rows],
        "tile": [tiles.width, tiles.width * 4 // 3, tiles.across, tiles.per_sheet],
        "facets": facets,
        "levels": len(found.groups),
        "clusters": _clusters(found, layout),
    }
    large, places = _large(context, found)
    about["large"] = [*LARGE, places]
    data = {
        "about": json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode(),
        "columns": np.stack(columns).astype("<u2").tobytes(),
        "colours": tiles.colours.tobytes(),
        "texts": texts.encode(),
    }
    blocks = [_block(name, zlib.compress(value, 9)) for name, value in data.items()]
    blocks += [_block(f"sheet{number}", sheet) for number, sheet in enumerate((*tiles.sheets, large))]
    folder = resources.files("lapel.insight")
    page, style, program = (folder.joinpath(f"map_page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    parts = {"title": html.escape(title), "style": style, "data": "".join(blocks), "program": program}
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text, 1)
    return page


def _clusters(found: Clusters, layout: Layout) -> list[list[Any]]:
    """Level, number, parent, name, size, and where: column and row of the densest part, and the box of most of it."""
    told: list[list[Any]] = []
    for level, groups in enumerate(found.groups):
        for each in found.level(level):
            cells = layout.cells[groups == each.number]
            middle = np.median(cells, axis=0)
            near = cells[np.argsort(np.abs(cells - middle).sum(axis=1), kind="stable")[0]]
            low, high = np.quantile(cells, (0.03, 0.97), axis=0, method="nearest")
            told.append([level, each.number, each.parent, each.name, each.size, *map(int, (*near, *low, *high))])
    return told


def _large(context: StoreContext, found: Clusters) -> tuple[bytes, list[int]]:
    """A sheet with the pictures of the groups' middles, each once, and for each group its place on it."""
    keys = [each.medoid_key for each in found.clusters]
    known = {photo.key: photo for photo in found.products.photos}
    different = list(dict.fromkeys(keys))
    across = SHEET // LARGE[0]
    sheet = Image.new("RGB", (LARGE[0] * min(across, len(different)), LARGE[1] * -(-len(different) // across)), WHITE)
    for place, image in enumerate(small_pictures(context, [known[key] for key in different], LARGE)):
        if image is not None:
            sheet.paste(image, (place % across * LARGE[0], place // across * LARGE[1]))
    stream = io.BytesIO()
    sheet.save(stream, "WEBP", quality=LARGE_QUALITY, method=4)
    number = {key: place for place, key in enumerate(different)}
    return stream.getvalue(), [number[key] for key in keys]


def _block(name: str, data: bytes) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(data).decode("ascii")}</script>\n'


def _line(text: str) -> str:
    """A text without what separates texts."""
    return " ".join(text.replace("\0", " ").split())
