"""What the benchmarks run on: the real catalogue when it is there, else the sample wardrobe; each says which."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CATALOGUE = Path(__file__).parents[2] / "shared" / "data" / "fashion-products"


def shop(work: Path) -> list[str]:
    """The arguments of ``lapel add`` for the catalogue to measure on."""
    if (CATALOGUE / "images.zip").exists():
        return [str(CATALOGUE / "images.zip"), "--products", str(CATALOGUE / "products.csv")]
    from lapel.sources.wardrobe import draw_wardrobe

    draw_wardrobe(work / "wardrobe")
    return [str(work / "wardrobe" / "products.csv")]


def machine() -> str:
    """One line about this machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            model,
        )
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"
