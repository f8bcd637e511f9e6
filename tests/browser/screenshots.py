"""Pictures of every page and state, light and dark, on a desk, a tablet and a phone: ``make screenshots``, then look
at them.

python -m browser.screenshots .demo OUT     (in tests/; .demo is what 'lapel demo' made)
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw
from playwright.sync_api import Browser, Page, sync_playwright

from browser.chromium import FLAGS, served
from inputs.page import boutique

PRODUCT = "W0012"
SIZES = {
    "desktop": {"width": 1440, "height": 900},
    "tablet": {"width": 768, "height": 1024},
    "phone": {"width": 375, "height": 800},
}


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


PATHS = {
    "results": f"?product={PRODUCT}",
    "filtered": f"?product={PRODUCT}&colour=Black&colour=Brown&price=20-250",
    "words": "?q=red+dress",
    "none-passes": f"?product={PRODUCT}&colour=Teal&price=7-9",
    "product": f"product?id={PRODUCT}",
    "discover": "discover",
    "catalogue": "catalogue",
    "prove": "prove",
    "status": "status",
}
SHOP_PATHS = {"shop-filtered": "?product=B004&size=M&size=L&currency=EUR&price=12-34&on_sale=yes"}


def states(page: Page, address: str, photo: Path, shoot: Callable[[str], None]) -> None:
    """Walk through the pages of the sample wardrobe."""
    page.goto(address)
    page.wait_for_selector(".lapel-hero")
    shoot("start")
    upload = page.locator(".st-key-upload input[type=file]")
    upload.set_input_files(files=[{"name": "shirt.jpg", "mimeType": "image/jpeg", "buffer": b"hello" * 300}])
    page.wait_for_selector("[role=alert]")
    shoot("bad-picture")
    scene = {"name": "scene.png", "mimeType": "image/png", "buffer": on_a_floor(photo)}
    upload.set_input_files(files=[scene])
    page.wait_for_selector(".st-key-part-photo-")
    shoot("photo")
    page.get_by_role("button", name="Refine").click()
    page.wait_for_selector(".crop .frame")
    shoot("photo-refined")
    page.keyboard.press("Escape")
    page.locator(".gallery .card button[data-action=why]").first.click()
    page.wait_for_selector(".lapel-why")
    shoot("why")
    for name, path in PATHS.items():
        page.goto(f"{address}/{path}")
        page.wait_for_selector(".st-key-foot")
        shoot(name)


def shop_states(page: Page, address: str, shoot: Callable[[str], None]) -> None:
    """The page of a shop with addresses, currencies, sizes and own columns."""
    for name, path in SHOP_PATHS.items():
        page.goto(f"{address}/{path}")
        page.wait_for_selector(".lapel-count")
        shoot(name)


def shoot_all(browser: Browser, address: str, shop: str, photo: Path, out: Path) -> None:
    """Every state in every size and scheme, as PNG."""
    for size, viewport in SIZES.items():
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=1)  # type: ignore[arg-type]

            def shoot(name: str, page: Page = page, ending: str = f"{size}-{scheme}.png") -> None:
                rest(page)
                page.screenshot(path=out / f"{name}-{ending}")

            states(page, address, photo, shoot)
            shop_states(page, shop, shoot)
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
