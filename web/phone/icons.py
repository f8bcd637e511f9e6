"""Writes the page's icons as PNG from icon.svg, with Chromium: python web/phone/icons.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent / "public"
SIZES = {"icon-180": (180, True), "icon-192": (192, False), "icon-512": (512, False), "icon-maskable": (512, True)}

if __name__ == "__main__":
    svg = (FOLDER / "icon.svg").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, (side, filled) in SIZES.items():
            page = browser.new_page(viewport={"width": side, "height": side})
            # Systems cut their own shape out of a filled square; what is drawn stays inside of it.
            drawn = svg.replace('rx="104"', "") if filled else svg
            ground = "#6d4228" if filled else "transparent"
            scale = 80 if name == "icon-maskable" else 100
            page.set_content(
                f"<body style='margin:0;background:{ground};display:grid;place-items:center;height:100vh'>"
                f"<div style='width:{scale}%;height:{scale}%;line-height:0'>{drawn}</div>"
            )
            page.screenshot(path=FOLDER / f"{name}.png", omit_background=True)
        browser.close()
