"""A page of pictures that a person can look through: one HTML file, no server, no script from elsewhere, opens offline.

Findings go in (:class:`lapel.insight.findings.Findings`), a file comes out. Small images are inside the file, from the
store's thumbnails; what the file has no room for is counted in words, never left out in silence.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from PIL import Image, ImageOps

from lapel.core.errors import InputError, LapelError
from lapel.core.images import decode
from lapel.core.text import counted, reason_of
from lapel.engine.context import StoreContext
from lapel.insight.findings import Picture, Section
from lapel.sources import read_uri

SECTIONS = 200  # of a sheet: more is not looked through, and the table has them all
PICTURES = 12  # of a section
EDGE = 180  # pixels, the longer side of a small image: 5 kB each
QUALITY = 78

_STYLE = """
:root{color-scheme:light dark;--ink:#1f242b;--faint:#5d6673;--paper:#fff;--card:#f5f6f8;--line:#dfe3e8;
--good:#157f45;--warn:#8a5a00;--bad:#c22f2f;--chart:#1f5fbf}
@media(prefers-color-scheme:dark){:root{--ink:#eceff3;--faint:#a5afbc;--paper:#14171b;--card:#1e2329;--line:#343b44;
--good:#4ecb85;--warn:#e0a83e;--bad:#ff7b7b;--chart:#7db2ff}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:20px 16px 60px}h1{font-size:24px;margin:0 0 4px}
h2{font-size:16px;margin:0}p{margin:2px 0 8px;color:var(--faint);overflow-wrap:anywhere}
section{border-top:1px solid var(--line);padding:14px 0;content-visibility:auto;contain-intrinsic-size:auto 280px}
ul{display:flex;flex-wrap:wrap;gap:12px;list-style:none;margin:0;padding:0}
li{width:140px;background:var(--card);border:2px solid var(--line);border-radius:8px;padding:6px;font-size:12px;
overflow-wrap:anywhere}
li img,li div{display:block;width:100%;height:160px;object-fit:contain;background:#fff;border-radius:4px}
li div{display:grid;place-items:center;color:#5d6673}li b{display:block;margin-top:5px}li span{display:block;
color:var(--faint)}li.good{border-color:var(--good)}li.warn{border-color:var(--warn)}li.bad{border-color:var(--bad)}
a{color:inherit}a:focus-visible{outline:3px solid var(--good);outline-offset:2px}
figure{margin:6px 0 12px;max-width:620px}svg{display:block;width:100%;height:auto}
svg text{fill:var(--faint);font-size:12px}
.grid{stroke:var(--line)}.line{fill:none;stroke:var(--chart);stroke-width:2}.dot{fill:var(--chart)}
.band{fill:var(--chart);opacity:.18}.ahead{stroke:var(--chart);stroke-width:2;stroke-dasharray:3 3}
.open{fill:var(--paper);stroke:var(--chart);stroke-width:2}summary{cursor:pointer;color:var(--faint);font-size:13px}
table{border-collapse:collapse;font-size:13px;margin-top:6px}
th,td{text-align:left;font-weight:400;padding:2px 14px 2px 0}
@media(max-width:480px){svg text{font-size:17px}}
@media(max-width:480px){li{width:calc(50% - 6px)}}
"""


def write_picture_sheet(
    context: StoreContext, path: str | Path, *, title: str, summary: str, sections: Iterable[Section]
) -> None:
    """Write a sheet.

    Args:
        context: The store that the photos are of; only read.
        path: The HTML file.
        title: What was asked.
        summary: What was found, in a sentence or two.
        sections: What is shown, the most telling first; at most 200 of 12 pictures each.

    Raises:
        InputError: it cannot be written there.
    """
    rest = iter(sections)
    shown = list(islice(rest, SECTIONS))
    more = sum(1 for _ in rest)
    read = _reader(context)
    body = "".join(_section(section, read) for section in shown)
    if more:
        body += f"<section><p>{counted(more, 'more section')} not shown here. The table has them all.</p></section>"
    if not shown:
        body = "<section><p>There is nothing to show.</p></section>"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        f'initial-scale=1"><title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>{body}</main></body></html>\n"
    )
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"The picture sheet cannot be written to {path}: {reason_of(error)}. Name a folder that can be written to."
        ) from error


def _section(section: Section, read: Callable[[int | bytes], str]) -> str:
    pictures = "".join(_picture(picture, read) for picture in section.pictures[:PICTURES])
    more = len(section.pictures) - PICTURES
    text = f"{section.text} {counted(more, 'more picture')} not shown." if more > 0 else section.text
    about = f"<p>{html.escape(text.strip())}</p>" if text.strip() else ""
    shown = f"<ul>{pictures}</ul>" if pictures else ""
    return f"<section><h2>{html.escape(section.title)}</h2>{about}{section.figure}{shown}</section>"


def _picture(picture: Picture, read: Callable[[int | bytes], str]) -> str:
    shown = read(picture.photo)
    name = html.escape(picture.title)
    image = f'<img src="{shown}" alt="{name}" loading="lazy">' if shown else "<div>cannot be read</div>"
    lines = "".join(f"<span>{html.escape(line)}</span>" for line in picture.lines)
    if picture.link.startswith(("http://", "https://")):
        image = f'<a href="{html.escape(picture.link, quote=True)}" rel="noreferrer">{image}</a>'
    return f'<li class="{picture.tone}">{image}<b>{name}</b>{lines}</li>'


def _reader(context: StoreContext) -> Callable[[int | bytes], str]:
    """Gives a small image as a ``data:`` address, or nothing where the photo cannot be read."""

    def read(photo: int | bytes) -> str:
        try:
            if isinstance(photo, bytes):
                return small_image(decode(photo))
            entry = context.catalog.entries([photo]).get(photo)
            if entry is None:
                return ""
            own = context.thumbnails.get([entry[1].sha256], EDGE).get(entry[1].sha256)
            return small_image(decode(own or read_uri(entry[1].uri)))
        except (LapelError, OSError):
            return ""

    return read


def small_image(image: Image.Image, edge: int = EDGE) -> str:
    """An upright RGB image as a ``data:`` address of a WebP, its longer side ``edge`` pixels at most."""
    stream = io.BytesIO()
    ImageOps.contain(image, (edge, edge), Image.Resampling.LANCZOS).save(stream, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
