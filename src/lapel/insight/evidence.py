"""One finding as a page that can be handed on: both pictures, where they agree, how likely it is a copy, where and when
it was found, what was decided, and the hash that the log had.

One HTML file, no server, opens offline. Where the model gives maps of places, both pictures are shown with what their
places add to the score (:mod:`lapel.engine.explanation`).
"""

from __future__ import annotations

import html

import numpy as np
from PIL import Image

from lapel.catalog.watching import Finding, LogCheck
from lapel.core.images import decode
from lapel.engine.context import StoreContext
from lapel.engine.explanation import hit_map
from lapel.insight.copy_check import compare, small_picture
from lapel.insight.explanation_sheet import heatmap
from lapel.insight.picture_sheet import small_image

EDGE = 420  # pixels of a picture
_STYLE = """
:root{color-scheme:light dark;--ink:#1f242b;--faint:#5d6673;--paper:#fff;--line:#dfe3e8}
@media(prefers-color-scheme:dark){:root{--ink:#eceff3;--faint:#a5afbc;--paper:#14171b;--line:#343b44}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:960px;margin:0 auto;padding:20px 16px 60px}h1{font-size:22px;margin:0 0 12px}
div{display:flex;flex-wrap:wrap;gap:16px}figure{margin:0;flex:1 1 260px;max-width:100%}
img{width:100%;height:320px;object-fit:contain;background:#fff;border:1px solid var(--line);border-radius:8px}
figcaption{color:var(--faint);font-size:13px;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:minmax(90px,160px) 1fr;gap:4px 12px;margin:20px 0}dt{color:var(--faint)}
dd{margin:0;overflow-wrap:anywhere}
"""


def evidence_page(context: StoreContext, found: Finding, pictures: tuple[bytes, bytes], log: LogCheck) -> str:
    """The page of one finding.

    Args:
        context: The store, whose model says where two pictures agree.
        found: What was found.
        pictures: The bank's picture, empty where no bank was asked, and what was found, as files.
        log: What a look at the log says now.
    """
    own, upload = (decode(each) if each else None for each in pictures)
    assert upload is not None
    shown = [(upload, f"Found: {found.place}")]
    likely, geometry = f"that it shows: {found.entry_name}", {}
    if own is not None:
        shown = [(own, f"In the bank '{found.bank}': {found.entry_name}"), *shown, *_maps(context, own, upload)]
        likely, geometry = "that one picture was made of the other", _geometry(own, upload)
    figures = "".join(
        f'<figure><img src="{small_image(image, EDGE)}" alt="{html.escape(text, quote=True)}">'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
        for image, text in shown
    )
    told = {
        "Probability": f"{found.chance:.1%} {likely}" + (", mirrored" if found.mirrored else ""),
        "Where": found.place,
        "First found": found.at,
        "Seen there": f"{found.seen} times" if found.seen > 1 else "once",
        "SHA-256 of the file": found.upload,
        "SHA-256 in the bank": found.entry or "no bank was asked",
        "State": found.state + (f", {found.decided_at}" if found.decided_at else ""),
        "Decided by": found.decided_by or "nobody yet",
        "Note": found.note or "none",
        "Log": f"{log.lines} lines, {'as they were written' if log.sound else 'CHANGED'}; last hash {log.head}",
        **geometry,
    }
    facts = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in told.items())
    title = f"Finding {found.id}: {found.bank}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        f'initial-scale=1"><title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>'
        f"<h1>{html.escape(title)}</h1><div>{figures}</div><dl>{facts}</dl></main></body></html>\n"
    )


def _geometry(own: Image.Image, upload: Image.Image) -> dict[str, str]:
    """What of the bank's picture lies in the other one."""
    (first, ratio), (second, other) = small_picture(own), small_picture(upload)
    found = compare(first[None], second[None], np.array([[ratio, other]]))
    left, top = found.maps[0] @ np.array([0, 0, 1])
    right, bottom = found.maps[0] @ np.array([1, 1, 1])
    return {
        "Lies in it": f"from {max(0, left):.0%} to {min(1, right):.0%} of its width, from {max(0, top):.0%} to"
        f" {min(1, bottom):.0%} of its height"
    }


def _maps(context: StoreContext, own: Image.Image, upload: Image.Image) -> list[tuple[Image.Image, str]]:
    """Both pictures with what their places add to the score; none where the model gives no maps."""
    encoder = context.encoder
    if not encoder.has_spatial:
        return []
    vectors = encoder.encode([own, upload])
    return [
        (heatmap(own, hit_map(encoder, own, vectors[1])), "Bright: where the bank's picture is like what was found"),
        (heatmap(upload, hit_map(encoder, upload, vectors[0])), "Bright: where what was found is like the bank's"),
    ]
