"""How well every text on a page can be read: WCAG's contrast, painted by the browser itself, so that mixed and
see-through colours count.

axe leaves out what it cannot compute, such as ``color-mix``.
"""

from __future__ import annotations

from playwright.sync_api import Page

FAINT = """
() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const paint = layers => {
    for (const layer of layers) { pen.fillStyle = layer; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const channel = value => value / 255 <= .04045 ? value / 255 / 12.92 : ((value / 255 + .055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) => .2126 * channel(red) + .7152 * channel(green) + .0722 * channel(blue);
  const faint = [], roots = [document.body];  // parts of our own have roots of their own
  for (const root of roots)
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) roots.push(one.shadowRoot);
  const above = one => one.parentElement ?? one.getRootNode().host;
  const app = getComputedStyle(document.querySelector(".stApp")).backgroundColor;
  const walkers = roots.map(root => document.createTreeWalker(root, NodeFilter.SHOW_TEXT));
  for (const texts of walkers) while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), place = texts.currentNode.parentElement;
    if (!text || !place.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (place.closest("script, style, .lapel-hidden, .live, [disabled], [aria-disabled=true]")) continue;
    if (place.closest("[data-testid=stSliderTickBar], [data-testid=stSliderThumbValue]")) continue;
    if (place.closest("label")?.querySelector("input:disabled")) continue;  // WCAG asks nothing of what cannot be used
    const layers = [];
    for (let one = place; one; one = above(one)) layers.unshift(getComputedStyle(one).backgroundColor);
    const ground = light(paint([app, ...layers])), style = getComputedStyle(place);
    const ink = light(paint([app, ...layers, style.color]));
    const contrast = (Math.max(ground, ink) + .05) / (Math.min(ground, ink) + .05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)}: ${text.slice(0, 60)}`);
  }
  return faint;
}
"""


def faint(page: Page) -> list[str]:
    """The texts of a page with less contrast than WCAG's AA asks for, each behind its contrast."""
    found: list[str] = page.evaluate(FAINT)
    return found
