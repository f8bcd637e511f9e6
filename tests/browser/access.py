"""What a page keeps from some people: axe's serious findings, frames included, and what is wider than the screen."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SERIOUS = ("serious", "critical")
SIDEWAYS = """
() => {
  const found = [];
  for (const one of [document.documentElement, ...document.querySelectorAll('[data-testid=stMain], [role=dialog]')])
    if (one.scrollWidth > one.clientWidth) found.push(`${one.tagName}: ${one.scrollWidth} > ${one.clientWidth}`);
  return found;
}
"""


def serious(page: Page) -> list[str]:
    """What axe calls serious or critical on a page and in its frames: rules, each with the places."""
    for frame in page.frames:
        if not frame.is_detached() and not frame.evaluate("'axe' in window"):
            frame.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
    return [
        f"{one['id']}: {[node['html'][:200] for node in one['nodes']][:5]}" for one in found if one["impact"] in SERIOUS
    ]


def sideways(page: Page) -> list[str]:
    """What needs scrolling sideways: the page, its main part, or a dialog."""
    found: list[str] = page.evaluate(SIDEWAYS)
    return found
