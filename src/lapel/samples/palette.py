"""Colours with the names a shop uses, and which of them go together.

A colour name goes in; red, green, blue from 0 to 1 as the dyed material looks in neutral light come out.
"""

from __future__ import annotations

import numpy as np

from lapel.samples.fabric import RGB

_HEX = {
    "Black": "1f1f22",
    "White": "f1efea",
    "Ivory": "ece4d2",
    "Grey": "8f9195",
    "Light Grey": "c4c5c7",
    "Charcoal": "404348",
    "Navy": "1f2b4d",
    "Blue": "2f5fae",
    "Sky Blue": "9cc3e4",
    "Teal": "1d7378",
    "Turquoise": "4cb8b3",
    "Green": "2f7d4c",
    "Forest Green": "23452f",
    "Olive": "6c6b3b",
    "Sage": "a3b199",
    "Mint": "b5dcc8",
    "Mustard": "d0982b",
    "Yellow": "f0cf4b",
    "Orange": "e07a33",
    "Rust": "a4492a",
    "Coral": "ee7f6c",
    "Red": "c1272f",
    "Burgundy": "641d2d",
    "Pink": "e890ae",
    "Fuchsia": "c42b77",
    "Blush": "ebc8c1",
    "Lilac": "bda9d6",
    "Purple": "5d3f83",
    "Beige": "d4bf9f",
    "Camel": "bb8a55",
    "Taupe": "94826f",
    "Brown": "5f4030",
    "Tan": "aa6f41",
    "Cognac": "8f4d24",
    "Indigo": "2b3a61",
    "Mid Blue": "557aa8",
    "Light Blue": "96b4d1",
    "Gold": "d8b05c",
    "Silver": "c6c8cc",
    "Rose Gold": "d9a48d",
    "Gunmetal": "4b4e54",
    "Tortoise": "6b3d1f",
    "Natural": "d9bd8c",
}

GROUPS: dict[str, tuple[str, ...]] = {
    "fashion": (
        *("Black", "White", "Navy") * 4,
        *("Ivory", "Grey", "Light Grey", "Charcoal", "Beige", "Olive", "Burgundy", "Sage", "Blush") * 2,
        "Black",
        "White",
        "Ivory",
        "Grey",
        "Light Grey",
        "Charcoal",
        "Navy",
        "Blue",
        "Sky Blue",
        "Teal",
        "Turquoise",
        "Green",
        "Forest Green",
        "Olive",
        "Sage",
        "Mint",
        "Mustard",
        "Yellow",
        "Orange",
        "Rust",
        "Coral",
        "Red",
        "Burgundy",
        "Pink",
        "Fuchsia",
        "Blush",
        "Lilac",
        "Purple",
        "Beige",
        "Camel",
        "Brown",
    ),
    "tailored": (
        *("Black", "Navy", "Charcoal", "Camel", "Beige", "Grey") * 2,
        "Black",
        "Navy",
        "Charcoal",
        "Grey",
        "Light Grey",
        "Camel",
        "Beige",
        "Olive",
        "Burgundy",
        "Brown",
        "Forest Green",
        "Ivory",
        "Teal",
        "Rust",
        "Blush",
    ),
    "denim": ("Indigo", "Mid Blue", "Light Blue", "Black", "Grey", "White", "Charcoal", "Ivory"),
    "leather": (
        *("Black", "Brown", "Tan", "Cognac") * 2,
        "Black",
        "Brown",
        "Tan",
        "Cognac",
        "Burgundy",
        "Navy",
        "Taupe",
        "Beige",
        "White",
        "Red",
        "Forest Green",
        "Grey",
        "Blush",
        "Mustard",
        "Teal",
    ),
    "metal": ("Gold", "Silver", "Rose Gold"),
    "timepiece": ("Silver", "Gold", "Rose Gold", "Black", "Gunmetal"),
    "frames": ("Black", "Tortoise", "Gold", "Silver", "Navy", "Red", "Ivory", "Green", "Blush", "Gunmetal"),
    "straw": ("Natural", "Camel", "Ivory", "Black", "Navy", "Grey", "Burgundy", "Olive", "Beige", "Brown"),
}


def colour(name: str) -> RGB:
    """Red, green, blue of a colour name, 0 to 1."""
    number = int(_HEX[name], 16)
    return ((number >> 16) / 255, (number >> 8 & 255) / 255, (number & 255) / 255)


def brightness(value: RGB) -> float:
    """How light a colour looks, 0 to 1."""
    return 0.3 * value[0] + 0.59 * value[1] + 0.11 * value[2]


def companions(name: str, rng: np.random.Generator) -> tuple[RGB, RGB]:
    """Second and third colour that go with a main colour: one clearly lighter or darker, one accent.

    Args:
        name: the main colour.
        rng: the only source of chance.
    """
    light = brightness(colour(name)) > 0.5
    second = (
        ("Navy", "Black", "Burgundy", "Forest Green", "Red", "Teal", "Brown", "Blue", "Rust", "Fuchsia")
        if light
        else ("White", "Ivory", "Sky Blue", "Beige", "Blush", "Mustard", "Sage", "White", "Coral", "Light Grey")
    )
    accents = ("Mustard", "Coral", "Teal", "Red", "Olive", "Pink", "Sage", "Ivory", "Camel", "Sky Blue")
    pick = [n for n in second if n != name]
    first = pick[int(rng.integers(len(pick)))]
    rest = [n for n in accents if n not in (name, first)]
    return colour(first), colour(rest[int(rng.integers(len(rest)))])
