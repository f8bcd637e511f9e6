"""Tiny copies of the public data sets, and an encoder for them that a person can follow.

Each picture is one shade of red, and :class:`AngleEncoder` takes a shade for an angle in degrees: the nearest picture
is the one of the nearest shade.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors
from lapel.encoders import Encoder
from public_data_sets import BenchmarkReport

Rows = list[tuple[str, str, str, int]]  # name, item, split, shade

# Queries: a at 10 finds a at 12 first; b at 40 finds a at 42, then b at 45; c at 90 finds b at 80, a at 75, then c at
# 120.
SHOP: Rows = [
    ("img/WOMEN/Dresses/id_a/01_1_front.jpg", "id_a", "query", 10),
    ("img/WOMEN/Dresses/id_a/01_2_side.jpg", "id_a", "gallery", 12),
    ("img/WOMEN/Dresses/id_a/01_3_back.jpg", "id_a", "gallery", 42),
    ("img/WOMEN/Dresses/id_a/01_4_full.jpg", "id_a", "gallery", 75),
    ("img/MEN/Jackets_Vests/id_b/01_1_front.jpg", "id_b", "query", 40),
    ("img/MEN/Jackets_Vests/id_b/01_2_side.jpg", "id_b", "gallery", 45),
    ("img/MEN/Jackets_Vests/id_b/01_3_back.jpg", "id_b", "gallery", 80),
    ("img/MEN/Denim/id_c/01_1_front.jpg", "id_c", "query", 90),
    ("img/MEN/Denim/id_c/01_2_side.jpg", "id_c", "gallery", 120),
    *(
        (f"img/WOMEN/Shorts/id_t{item}/01_{n}_front.jpg", f"id_t{item}", "train", 200)
        for item in range(4)
        for n in (1, 2)
    ),
]
# Two chairs at 10 and 20, two lamps at 19 and 60, a third lamp at 64.
PRODUCTS: Rows = [
    ("bicycle_final/1_0.JPG", "1", "train", 1),
    ("bicycle_final/1_1.JPG", "1", "train", 2),
    ("coffee_maker_final/2_0.JPG", "2", "train", 3),
    ("chair_final/3_0.JPG", "3", "test", 10),
    ("chair_final/3_1.JPG", "3", "test", 20),
    ("lamp_final/4_0.JPG", "4", "test", 19),
    ("lamp_final/4_1.JPG", "4", "test", 60),
    ("lamp_final/4_2.JPG", "4", "test", 64),
]


class AngleEncoder(Encoder):
    """The red of a picture's middle, in degrees, as a direction in the plane."""

    name = "angle"
    spec = "angle:"
    dim = 2
    fingerprint = "0123456789abcdef"
    preprocessing = Preprocessing(height=8, width=8)

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        angle = np.radians(pixels[:, 4, 4, 0].astype(np.float32))
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def draw(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), (shade, 0, 0)).save(path, "PNG")  # exact; the content decides, not the name


def in_shop_list(rows: Rows) -> str:
    lines = [f"{name:60} {item} {split:10}" for name, item, split, _ in rows]  # padded, as the official one is
    return "\n".join([str(len(rows)), "image_name item_id evaluation_status", *lines, ""])


def products_list(rows: Rows, split: str) -> str:
    lines = [f"{number} {item} 1 {name}" for number, (name, item, part, _) in enumerate(rows, 1) if part == split]
    return "\n".join(["image_id class_id super_class_id path", *lines, ""])


def write_in_shop(folder: Path, rows: Rows) -> Path:
    """A copy of In-Shop as it is unpacked."""
    for name, _, _, shade in rows:
        draw(folder / "Img" / name, shade)
    (folder / "Eval").mkdir()
    (folder / "Eval" / "list_eval_partition.txt").write_text(in_shop_list(rows))
    return folder


def write_products(folder: Path, rows: Rows) -> Path:
    """A copy of Online Products as it is unpacked."""
    for name, _, _, shade in rows:
        draw(folder / name, shade)
    for split in ("train", "test"):
        (folder / f"Ebay_{split}.txt").write_text(products_list(rows, split))
    return folder


def shares(report: BenchmarkReport) -> dict[int, float]:
    return {k: estimate.value for k, estimate in report.recall.items()}
