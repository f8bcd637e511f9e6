"""Pictures of every state of the page, light and dark, on a desk, a tablet and a phone: ``make screenshots``, then look
at them.

python -m browser.screenshots .demo OUT     (in tests/; .demo is what 'lapel demo' made)
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw
from playwright.sync_api import Browser, Page, sync_playwright

from browser.chromium import FLAGS, PHONE, served
from inputs.page import boutique, heavy

PRODUCT = "W0012"
SIZES = {"desktop": {"width": 1280, "height": 900}, "tablet": {"width": 768, "height": 1024}, "phone": PHONE}


def rest(page: Page) -> None:
    """Wait until the script has run and every picture is there."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(900)
    page.wait_for_function(
        "!document.querySelector('[data-testid=stSkeleton]') && [...document.images].every(image => image.complete)"
    )


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


def shop_states(page: Page, address: str) -> list[tuple[str, bytes]]:
    """Walk through the page of a shop with addresses, currencies, sizes and own columns."""
    shots = []

    def shoot(name: str) -> None:
        rest(page)
        shots.append((f"shop-{name}", page.screenshot()))

    page.goto(address)
    page.wait_for_selector(".lapel-hero")
    rest(page)
    for name, content in (("IMG_0001.HEIC", b"hello" * 300), ("big.jpg", heavy(21))):
        page.set_input_files("input[type=file]", {"name": name, "mimeType": "image/heic", "buffer": content})
        page.wait_for_selector(f"[data-testid=stAlert]:has-text('{'Not' if 'HEIC' in name else 'MB'}')")
        shoot(name.partition(".")[0])
    page.goto(f"{address}/?product=B004&size=M&size=L&currency=EUR&price=12-34&on_sale=yes")
    page.wait_for_selector(".lapel-count")
    shoot("filtered")
    page.goto(f"{address}/?product=B004")
    page.wait_for_selector(".lapel-count")
    page.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 460)")
    shoot("scrolled")
    opener = page.get_by_test_id("stExpandSidebarButton")
    if opener.is_visible():
        opener.click()
    page.get_by_role("button", name="More filters").click()
    shoot("filters")
    return shots


def shoot_all(browser: Browser, address: str, shop: str, photo: Path, out: Path) -> None:
    """Every state in every size and scheme, as PNG."""
    for size, viewport in SIZES.items():
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=1)  # type: ignore[arg-type]
            for name, png in [*states(page, address, photo), *shop_states(page, shop)]:
                (out / f"{name}-{size}-{scheme}.png").write_bytes(png)
            page.close()


def main() -> None:
    """Serve the demo's store and take the pictures."""
    demo, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    photo = sorted((demo / "wardrobe" / "images").glob("W00*_flat.jpg"))[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        served(demo / "shop", Path(folder) / "demo.log") as address,
        served(boutique(Path(folder)), Path(folder) / "shop.log") as shop,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        shoot_all(browser, address, shop, photo, out)
        browser.close()


if __name__ == "__main__":
    main()
