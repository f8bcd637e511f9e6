"""What colours look like by their names, for the dots beside them."""

from __future__ import annotations

# Shops' names of colours; a name that is not here has no dot.
COLOURS = """
amber #e0a030, apricot #f6b98a, aqua #4cc5c9, beige #dcc9a8, black #17171a, blue #2f5fb3, blush #e9c1bc,
bronze #8c6239, brown #6b4428, burgundy #6d1a2c, camel #b98a55, champagne #ead9bd, charcoal #3c4044,
coffee brown #4b3021, cognac #94522d, copper #b06a3b, coral #f07a63, cream #f5ecd7, dark #2b2b2e, denim #45648c,
ecru #e9dfc8, emerald #16805a, fluorescent green #7cf03a, forest green #23492f, fuchsia #d0267e, gold #c9a13b,
gray #8b8f94, green #2f8047, grey #8b8f94, grey melange #a9adb1, gunmetal #4b4f54, indigo #33336b, ivory #f7f2e3,
khaki #8f8455, lavender #b3a2d8, light blue #9cc3e6, light grey #cfd1d3, lilac #c0a5d6, lime #b5d334,
lime green #8fce3a, magenta #c22f86, maroon #651f2b, mauve #a98097, metallic #a3a7ad, mid blue #5b86b8, mint #a5dcc3,
mushroom brown #a1907d, mustard #d0a02c, natural #e6dac3, navy #1f2a4d, navy blue #1f2a4d, nude #e3c0a5,
off white #f4f1e8, olive #6c6b35, orange #e57c23, peach #f8bf9c, petrol #1d5563, pink #ec93ae, plum #5f2a4c,
purple #6d3f96, red #c22f34, rose #d9798c, rose gold #c98f7f, royal blue #2447b0, rust #a8502a, sage #9caf8b,
salmon #f29380, sand #d8c29c, sea green #3c8f77, silver #c3c7cc, skin #e5bd9e, sky #8cc4e8, sky blue #8cc4e8,
steel #8595a1, tan #c29a6b, taupe #8c7f72, teal #1c7478, terracotta #bd5f41, tortoise #6a4423, turquoise #37b5b0,
turquoise blue #2aa9c0, violet #7a4fb0, white #ffffff, wine #5e1b2d, yellow #f0c93a
"""
SWATCHES = dict(entry.strip().rsplit(" ", 1) for entry in COLOURS.split(","))
SWATCHES["multi"] = "conic-gradient(#c22f34, #f0c93a, #2f8047, #2f5fb3, #6d3f96, #c22f34)"


def swatch(name: str) -> str:
    """How a colour's name looks, as CSS; ``Bottle Green`` is shown as green. Empty when it is not known."""
    known = name.casefold()
    return SWATCHES.get(known) or SWATCHES.get(known.rpartition(" ")[2]) or ""
