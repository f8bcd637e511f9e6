"""Find the very product: val pictures, distorted as a screenshot or a phone would, searched among all products of a
shop.

    python benchmarks/same_product.py [--encoder default] [--encoder runs/mine] [--queries 1000] [--sheet runs/same.png]

Right when the first answer is the product itself, or one of its group (products that share a picture or a title in the
catalogue's own column ``group``). Every encoder, ImageNet features and perceptual hashing are measured on the same
distorted pictures (:mod:`distortions`). Without ``split`` in its table, a shop's products are all asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from contact import Row, save_sheet
from encoders import ImageEncoder, add_arguments, encode_shop, encoders_of
from lapel.core.metrics import proportion
from lapel.core.vectors import Vectors
from lapel.indexes import open_index
from lapel.insight.distortions import DISTORTIONS, MILD, enlarge
from shops import Shop, machine, open_shop

AIMS = {"mean of the six mild ones": 95.0, "cluttered scene": 75.0, "phone photo": 65.0}
CHUNK = 200  # distorted pictures held at once: 50 MB
EXAMPLES, SHOWN = 3, 6  # rows of a sheet a distortion, and answers a row


@dataclass(frozen=True)
class Asked:
    """The products that are asked for.

    Attributes:
        shop: Where they are searched.
        rows: (q,) their positions in the shop.
        groups: What each product of the shop counts as.
    """

    shop: Shop
    rows: NDArray[np.int64]
    groups: NDArray[np.str_]

    def right(self, found: NDArray[np.int64], at: slice) -> NDArray[np.bool_]:
        """(q, k) positions found for the queries ``at`` -> (q, k) whether each is the product or of its group."""
        same: NDArray[np.bool_] = self.groups[found] == self.groups[self.rows[at]][:, None]
        return same


@dataclass
class Column:
    """One encoder's answers.

    Attributes:
        encoder: The encoder.
        vectors: The shop's, (n, dim).
        right: For each distortion whether each query's first answer was right.
        rows: Examples for the sheet.
    """

    encoder: ImageEncoder
    vectors: Vectors
    right: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def choose(shop: Shop, queries: int) -> Asked:
    """Draw the queries, always the same ones: from the table's val rows where it has a split."""
    splits = shop.values("split")
    of_val = np.array([row for row, split in enumerate(splits) if split == "val"] or range(len(splits)), np.int64)
    rows = np.sort(np.random.default_rng(7).permutation(of_val)[:queries])
    groups = [group or f"id {product.id}" for product, group in zip(shop.products, shop.values("group"), strict=True)]
    return Asked(shop, rows, np.array(groups))


def measure(asked: Asked, columns: Sequence[Column]) -> None:
    """Distort every query in every way, once, and fill each column with what its encoder finds."""
    indexes = []
    for column in columns:
        index = open_index("exact:", dim=column.vectors.shape[1])
        index.add(np.arange(len(column.vectors)), column.vectors)
        indexes.append(index)
    steps = [(number, name, at) for number, name in enumerate(DISTORTIONS) for at in range(0, len(asked.rows), CHUNK)]
    for number, name, start in track(steps, "distorting, encoding, searching"):
        at = slice(start, start + CHUNK)
        changed = [
            DISTORTIONS[name](enlarge(asked.shop.image(row)), np.random.default_rng((number, start + place)))
            for place, row in enumerate(asked.rows[at].tolist())
        ]
        for column, index in zip(columns, indexes, strict=True):
            found = index.search(column.encoder.encode(changed), SHOWN).keys
            right = asked.right(found, at)
            column.right[name] = np.append(column.right.get(name, np.empty(0, bool)), right[:, 0])
            if start == 0:
                for place in range(min(EXAMPLES, len(changed))):
                    pictures = [asked.shop.image(row) for row in found[place].tolist()]
                    answers = list(zip(pictures, right[place].tolist(), strict=True))
                    column.rows.append(Row(f"{name} · {column.encoder.name}", changed[place], answers))


def show(columns: Sequence[Column]) -> None:
    """Print the table."""
    print(f"{'':26}" + "".join(f"{column.encoder.name:>24}" for column in columns) + f"{'aim':>8}")
    for name in DISTORTIONS:
        estimates = [proportion(column.right[name].astype(np.float64)) for column in columns]
        cells = "".join(f"{100 * e.value:10.1f} [{100 * e.low:4.1f}, {100 * e.high:5.1f}]" for e in estimates)
        print(f"{name:26}{cells}" + (f"{AIMS[name]:8.0f}" if name in AIMS else ""))
        if name == MILD[-1]:
            means = [100 * float(np.mean([column.right[mild].mean() for mild in MILD])) for column in columns]
            name = "mean of the six mild ones"
            print(f"{name:26}" + "".join(f"{mean:10.1f}{'':14}" for mean in means) + f"{AIMS[name]:8.0f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--sheet", type=Path, help="write examples of the first encoder as a PNG")
    parser.add_argument("--queries", type=int, default=1000)
    wanted = parser.parse_args(arguments)
    shop = open_shop(wanted.data, wanted.products, wanted.cache)
    asked = choose(shop, wanted.queries)
    columns = [Column(encoder, encode_shop(encoder, shop, wanted.cache)) for encoder in encoders_of(wanted)]
    print(f"Recall@1 in %, {len(asked.rows):,} pictures among {len(shop.products):,} products; {machine()}")
    measure(asked, columns)
    show(columns)
    if wanted.sheet:
        save_sheet(wanted.sheet, columns[0].rows)


if __name__ == "__main__":
    main()
