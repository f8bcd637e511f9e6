"""What the server answers beside the page: thumbnails and photos by address, and the pictures of the cache.

So a gallery of any length costs a run of the page nothing, and a browser fetches what is near its screen and keeps it.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from PIL import Image

from lapel.apps.ui.map_cache import cached_map
from lapel.apps.ui.page_table import PAGES
from lapel.apps.ui.picture_cache import PICTURES
from lapel.apps.ui.shops import open_shop
from lapel.core.errors import LapelError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

LARGE = 1400  # pixels of the longer side of a photo on a product's page
QUALITY = 88
FOR_GOOD = "private, max-age=31536000, immutable"  # the address holds the hash of the photo
NEVER = "no-store"
HANGER = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 300 400'><rect width='300' height='400' fill='#efece6'/>"
    "<g fill='none' stroke='#8c8377' stroke-width='5' stroke-linejoin='round' stroke-linecap='round'>"
    "<path d='M150 168c0-12 16-12 16-26a16 16 0 0 0-32 0'/><path d='M150 168l88 56a10 10 0 0 1-6 18H68a10 10 0 0"
    " 1-6-18z'/></g></svg>"
)


def routes(folder: Path, *, write: bool) -> list[BaseRoute]:
    """The routes of one shop.

    Args:
        folder: The shop folder.
        write: Whether the page opens it for writing; it is the same store then.
    """
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import Route

    def answer(jpeg: bytes | None, keep: str) -> Response:
        if jpeg is None:  # a tile that says so is more to a visitor than a status
            return Response(HANGER, media_type="image/svg+xml", headers={"Cache-Control": NEVER})
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": keep, "X-Robots-Tag": "noindex"})

    def thumbnail(request: Request) -> Response:
        """Starlette runs what is no coroutine in a thread: nobody waits for the disk."""
        try:
            store = open_shop(folder, write=write)
            return answer(store.thumbnail(request.path_params["key"]), _keep(request))
        except LapelError:
            return answer(None, NEVER)

    def picture(request: Request) -> Response:
        key = request.path_params["key"]
        try:
            store = open_shop(folder, write=write)
            try:
                return answer(_jpeg(store.image(key)), _keep(request))
            except LapelError:  # it is hosted elsewhere, or gone
                return answer(store.thumbnail(key), NEVER)
        except LapelError:
            return answer(None, NEVER)

    def asked(request: Request) -> Response:
        photo = PICTURES.get(request.path_params["token"])
        return answer(None if photo is None else photo.jpeg, NEVER)

    def found(request: Request) -> Response:
        photo = PICTURES.get(request.path_params["token"])
        return answer(None if photo is None else photo.product_tile or photo.tile, NEVER)

    def map_page(request: Request) -> Response:
        found = cached_map(folder)
        if found is None:
            return Response("There is no map yet. Open the page Map.", 404, media_type="text/plain")
        kept = FOR_GOOD if request.query_params.get("v") == found.digest else NEVER
        return Response(found.page, media_type="text/html", headers={"Cache-Control": kept})

    def below_a_page(page: str, request: Request) -> Response:
        """An address such as ``/product/W0012``, written by hand: to the page, which Streamlit would leave white."""
        rest = request.path_params["rest"]
        if "text/html" not in request.headers.get(
            "accept", ""
        ):  # Streamlit's script, which guesses where its server is
            return Response(status_code=404)
        query = urlencode({"id": rest}) if page == "product" and rest else request.url.query
        return RedirectResponse(f"{'../' * (rest.count('/') + 1)}{page}{f'?{query}' if query else ''}")

    def start(request: Request) -> Response:
        """The first page by its name: its address is that of the server."""
        return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")

    return [
        Route(f"/{PAGES[0].name}", start),
        *(Route(f"/{page}/{{rest:path}}", partial(below_a_page, page)) for page in (row.name for row in PAGES)),
        Route("/map-page", map_page),
        Route("/thumbnail/{key:int}", thumbnail),
        Route("/picture/{key:int}", picture),
        Route("/asked/{token}", asked),
        Route("/found/{token}", found),
    ]


def _keep(request: Request) -> str:
    return FOR_GOOD if request.query_params.get("v") else NEVER


def _jpeg(image: Image.Image) -> bytes:
    image.thumbnail((LARGE, LARGE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
