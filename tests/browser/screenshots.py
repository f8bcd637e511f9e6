"""Pictures of every state of the page, light and dark, desktop and phone: ``make screenshots``, then look at them.

python -m browser.screenshots .demo OUT     (in tests/; .demo is what 'lapel demo' made)
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

from PIL import Image, ImageChops, ImageDraw
from playwright.sync_api import Browser, Page, sync_playwright

from browser.chromium import DESKTOP, FLAGS, PHONE
from lapel.apps.ui import command, free_port

PRODUCT = "W0012"


def rest(page: Page) -> None:
    """Wait until the script has run and every picture is there."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(900)
    page.wait_for_function("[...document.images].every(image => image.complete)")


def on_a_floor(photo: Path) -> bytes:
    """A shop's picture, cut out by its white, on a wooden floor: a PNG."""
    product = Image.open(photo).convert("RGB").resize((450, 600))
    floor = Image.new("RGB", (720, 900))
    pen = ImageDraw.Draw(floor)
    for board in range(9):
        pen.rectangle((board * 80, 0, board * 80 + 78, 900), fill=(150 - 6 * (board % 4), 104 - 5 * (board % 3), 70))
    darkest = ImageChops.darker(ImageChops.darker(*product.split()[:2]), product.split()[2])
    floor.paste(product, (130, 170), darkest.point(lambda value: 0 if value > 235 else 255))
    stream = io.BytesIO()
    floor.save(stream, "PNG")
    return stream.getvalue()


def states(page: Page, address: str, photo: Path) -> list[tuple[str, bytes]]:
    """Walk through the page."""
    shots = []

    def shoot(name: str) -> None:
        rest(page)
        shots.append((name, page.screenshot()))

    page.goto(address)
    page.wait_for_selector(".lapel-hero")
    shoot("start")
    bad = {"name": "shirt.jpg", "mimeType": "image/jpeg", "buffer": b"hello" * 300}
    page.set_input_files("input[type=file]", files=[bad])
    page.wait_for_selector("[role=alert]")
    shoot("bad-picture")
    page.goto(address)
    page.wait_for_selector(".lapel-hero")
    rest(page)
    page.set_input_files("input[type=file]", photo)
    page.wait_for_selector(".lapel-asked")
    shoot("photo")
    page.goto(address)
    page.wait_for_selector(".lapel-hero")
    rest(page)
    page.set_input_files(
        "input[type=file]", files=[{"name": "scene.png", "mimeType": "image/png", "buffer": on_a_floor(photo)}]
    )
    page.wait_for_selector(".lapel-asked")
    shoot("photo-cut-out")
    page.get_by_role("radio", name="Whole picture").click()
    shoot("photo-whole")
    page.goto(f"{address}/?product={PRODUCT}&colour=Black&colour=Brown&price=20-250")
    page.wait_for_selector(".lapel-count")
    shoot("filtered")
    page.goto(f"{address}/?product={PRODUCT}&colour=Teal&price=7-9")
    page.wait_for_selector(".lapel-empty")
    shoot("nothing")
    return shots


def shoot_all(browser: Browser, address: str, photo: Path, out: Path) -> None:
    """Every state in every size and scheme, as PNG."""
    for size, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=1)  # type: ignore[arg-type]
            for name, png in states(page, address, photo):
                (out / f"{name}-{size}-{scheme}.png").write_bytes(png)
            page.close()


def main() -> None:
    """Serve the demo's store and take the pictures."""
    demo, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    photo = sorted((demo / "wardrobe" / "images").glob("W00*_flat.jpg"))[0]
    port = free_port("127.0.0.1", 8701)
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(command(demo / "shop", host="127.0.0.1", port=port, headless=True))
    try:
        for _ in range(150):
            try:
                urlopen(f"{address}/_stcore/health").close()
                break
            except OSError:
                time.sleep(0.2)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
            shoot_all(browser, address, photo, out)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
