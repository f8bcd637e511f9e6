"""Pictures of every page and state, light and dark, on a desk, a tablet and a phone: ``make screenshots``, then look
at them. What a machine can see, it says: axe's serious findings, texts that cannot be read, and what is wider than the
screen; then the command fails.

python -m browser.screenshots .demo OUT [STATE ...]    (in tests/; .demo is what 'lapel demo' made)
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw
from playwright.sync_api import Page, sync_playwright

from browser.access import serious, sideways
from browser.chromium import FLAGS, chromium_path, go, served
from browser.contrast import faint
from inputs.page import boutique, rename

PRODUCT = "W0012"
SIZES = {
    "desktop": {"width": 1440, "height": 900},
    "tablet": {"width": 768, "height": 1024},
    "phone": {"width": 375, "height": 800},
}


def rest(page: Page) -> None:
    """Wait until the script has run and every picture is there."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(600)
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


WITH_AXE = {("desktop", "light"), ("tablet", "dark"), ("phone", "light")}  # it takes longer than the picture
PATHS = {
    "results": f"?product={PRODUCT}",
    "filtered": f"?product={PRODUCT}&colour=Black&colour=Brown&price=20-250",
    "words": "?q=red+dress",
    "none-passes": f"?product={PRODUCT}&colour=Teal&price=7-9",
    "product": f"product?id={PRODUCT}",
    "no-product": "product",
    "discover": "discover",
    "map": "map",
    "catalogue": "catalogue",
    "models": "catalogue",
    "duplicates": "insight?question=duplicates",
    "labels": "insight?question=labels",
    "trends": "insight?question=trends",
    "watch": "insight?question=watch",
    "price": "insight?question=price",
    "prove": "prove",
    "status": "status",
}
SHOP_PATHS = {"shop-filtered": "?product=B004&size=M&size=L&currency=EUR&price=12-34&on_sale=yes"}
ASKED = {"duplicates", "labels", "trends", "prove"}  # pages whose first button is pressed

Shoot = Callable[[str], None]


def photo_states(page: Page, photo: Path, shoot: Shoot) -> None:
    """The start page, and what becomes of a picture."""
    go(page, "")
    page.wait_for_selector(".lapel-hero")
    shoot("start")
    upload = page.locator(".st-key-upload input[type=file]")
    upload.set_input_files(files=[{"name": "shirt.jpg", "mimeType": "image/jpeg", "buffer": b"hello" * 300}])
    page.wait_for_selector("[role=alert]")
    shoot("bad-picture")
    upload.set_input_files(files=[{"name": "scene.png", "mimeType": "image/png", "buffer": on_a_floor(photo)}])
    page.wait_for_selector(".st-key-part-photo-")
    shoot("photo")
    page.get_by_role("button", name="Refine").click()
    page.wait_for_selector(".crop .frame")
    shoot("photo-refined")
    page.keyboard.press("Escape")
    page.locator(".gallery .card button[data-action=why]").first.click()
    page.wait_for_selector(".lapel-why")
    shoot("why")
    page.keyboard.press("Escape")


def states(page: Page, photo: Path, wanted: Callable[[str], bool], shoot: Shoot) -> None:
    """Walk through the pages of the sample wardrobe."""
    if wanted("photo"):
        photo_states(page, photo, shoot)
    for name, path in PATHS.items():
        if not wanted(name):
            continue
        go(page, path)
        page.wait_for_url(f"**/{path.partition('&')[0]}*")
        rest(page)
        if name in ASKED:
            page.get_by_role("button", name=re.compile("^(Look for it|Measure)$")).first.click()
            page.wait_for_timeout(1000)
            page.get_by_role("button", name="Stop").wait_for(state="detached", timeout=300_000)
        if name == "models":
            page.get_by_role("tab", name="Models").click()
        if name == "map":
            page.frame_locator("iframe[title=Map]").locator("canvas").first.wait_for(timeout=300_000)
        shoot(name)


def shop_states(page: Page, wanted: Callable[[str], bool], shoot: Shoot) -> None:
    """The page of a shop with addresses, currencies, sizes, own columns, and names that break layouts."""
    for name, path in SHOP_PATHS.items():
        if wanted(name):
            go(page, path)
            page.wait_for_selector(".lapel-count")
            shoot(name)


def shooter(page: Page, out: Path, told: list[str]) -> Shoot:
    """Takes a state in every size and scheme, as PNG, and tells what is wrong in it."""

    def shoot(name: str) -> None:
        for size, viewport in SIZES.items():
            for scheme in ("light", "dark"):
                page.set_viewport_size(viewport)  # type: ignore[arg-type]
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
                rest(page)
                page.screenshot(path=out / f"{name}-{size}-{scheme}.png")
                wrong = [*sideways(page), *faint(page), *(serious(page) if (size, scheme) in WITH_AXE else ())]
                told.extend(f"{name}, {size}, {scheme}: {each}" for each in wrong)
        page.set_viewport_size(SIZES["desktop"])  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        print(f"{name}: looked at", flush=True)

    return shoot


def main() -> int:
    """Serve the demo's store and take the pictures. Returns 1 where something is wrong in one of them."""
    demo, out, *chosen = sys.argv[1:]
    out_folder, told = Path(out), list[str]()
    out_folder.mkdir(parents=True, exist_ok=True)
    photo = sorted((Path(demo) / "wardrobe" / "images").glob("W00*_flat.jpg"))[0]

    def wanted(name: str) -> bool:
        return not chosen or name in chosen

    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(demo) / "shop", Path(folder) / "demo.log") as address,
        served(boutique(Path(folder)), Path(folder) / "shop.log") as shop,
        sync_playwright() as playwright,
    ):
        rename(Path(folder) / "shop")
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        for root, walk in (
            (address, lambda page, shoot: states(page, photo, wanted, shoot)),
            (shop, lambda page, shoot: shop_states(page, wanted, shoot)),
        ):
            page = browser.new_page(viewport=SIZES["desktop"], reduced_motion="reduce")  # type: ignore[arg-type]
            page.set_default_timeout(120_000)
            page.goto(root)
            page.wait_for_selector(".st-key-foot")
            walk(page, shooter(page, out_folder, told))
            page.close()
        browser.close()
    print("\n".join(told) or "Nothing is wrong that a machine can see.")
    return int(bool(told))


if __name__ == "__main__":
    raise SystemExit(main())
