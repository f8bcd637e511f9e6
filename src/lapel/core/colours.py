"""Colours as people see and name them: CIELAB (CIE 1976, D65), names, and what was read of a query's image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Linear light by 8-bit value (IEC 61966-2-1), and linear RGB -> XYZ relative to D65 white.
_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4)
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_TO_XYZ /= _TO_XYZ.sum(axis=1, keepdims=True)
_FROM_XYZ = np.linalg.inv(_TO_XYZ).tolist()
_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])

# One to six points of each name in sRGB: the eleven basic terms of Berlin and Kay, and four that shops add.
_NAMED = """
black #101012 #26262a, white #fafafa #e9e9e6 #cfcfcc, grey #8b8f94 #5c6066 #a9acaf, red #c4202a #8e1520,
pink #f0a3b8 #e0457b, orange #f07f1e #d9601a, yellow #f5d31f #e6c84a, green #2f8047 #7ab648 #2f4a34 #5e6b38,
blue #2f5fb3 #6fa3d8 #45648c #1e28be #0000ff #a9cfe4, turquoise #2fb5b0 #1d7478, navy #1b2440 #26335c #000080,
purple #6b3f8f #b3a2d8 #4a2547 #7a28d0 #4b0082, brown #6b4428 #8f6239 #42291d, beige #dcc9a8 #c9b08a, cream #f5ecd7
"""
NAME_SPREAD = 10.0  # CIELAB: how far apart two names' points must be for a colour between them to be one of them
CERTAINTY = ((0.55, "sure"), (0.35, "fairly sure"), (0.0, "not sure"))  # of a confidence, from each number on


@dataclass(frozen=True)
class NamedColour:
    """One colour of a product.

    Attributes:
        name: In English, such as ``navy``.
        rgb: As the web writes it, ``#1b2440``: the mean of what has this name.
        share: How much of the product it takes, 0..1.
    """

    name: str
    rgb: str
    share: float


@dataclass(frozen=True, eq=False)
class ColourReading:
    """What colours a query's image has, as far as light and cut-out show.

    Attributes:
        colours: Up to four, the largest first.
        confidence: 0..1, how sure the main colour is: less for several colours, for colours between two names, for
            little product in the image, and for light that has a colour itself.
        histogram: (7,436,) float32, a distribution over cells of CIELAB; see :mod:`lapel.engine.colours`.
        on_white: Whether the product is on white, as shops show theirs.
    """

    colours: tuple[NamedColour, ...]
    confidence: float
    histogram: NDArray[np.float32] = field(repr=False)
    on_white: bool = False

    @property
    def certainty(self) -> str:
        """The confidence in words: ``sure``, ``fairly sure`` or ``not sure``."""
        return next(words for least, words in CERTAINTY if self.confidence >= least)

    def __eq__(self, other: object) -> bool:
        """Whether the same was read."""
        return (
            isinstance(other, ColourReading)
            and (self.colours, self.confidence, self.on_white) == (other.colours, other.confidence, other.on_white)
            and np.array_equal(self.histogram, other.histogram)
        )

    __hash__ = None  # type: ignore[assignment]  # it holds an array


class LaterReading(ColourReading):
    """Of a product on white, whose answer is in the order of the vector alone: what it has is read when somebody looks.

    Args:
        read: Reads it; never None, as enough of it can be seen.
    """

    def __init__(self, read: Callable[[], ColourReading | None]) -> None:
        self.__dict__.update(on_white=True, _read=read)

    def __getattr__(self, name: str) -> Any:
        if name not in ("colours", "confidence", "histogram"):
            raise AttributeError(name)
        found: ColourReading | None = self._read()
        assert found is not None
        self.__dict__.update(vars(found))
        return self.__dict__[name]


@dataclass(frozen=True)
class AskedColour:
    """A colour that is looked for, as a store has it.

    Attributes:
        asked: A name or ``#rrggbb``, as it was given.
        rgb: What it is, as the web writes it; empty for a name that only the store knows.
        names: The store's own names of colours that count as it; none where no name is near.
    """

    asked: str
    rgb: str
    names: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it was picked by eye and not named."""
        return self.asked.startswith("#")

    @property
    def note(self) -> str:
        """In words for people.

        >>> AskedColour("petrol", "#1f4f5f", ("Teal",)).note
        "the colour 'petrol' (#1f4f5f), here 'Teal'"
        """
        rgb = f" ({self.rgb})" if self.rgb and not self.exact else ""
        other = [name for name in self.names if name.casefold() != self.asked.casefold()]
        here = f", here {' or '.join(repr(name) for name in other)}" if other else ""
        return f"the colour '{self.asked}'{rgb}{here}"


def to_lab(rgb: NDArray[np.floating[Any]] | NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 3) sRGB, 0..255, to whole steps -> (n, 3) CIELAB relative to D65."""
    xyz = _LINEAR[rgb if rgb.dtype == np.uint8 else np.rint(rgb).astype(np.intp)] @ _TO_XYZ.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29)
    lab: NDArray[np.float64] = f @ _TO_LAB.T
    lab[:, 0] -= 16
    return lab


def lab_of(rgb: str) -> NDArray[np.float64]:
    """``#rrggbb`` -> (3,) CIELAB."""
    lab: NDArray[np.float64] = to_lab(np.array([[int(rgb[at : at + 2], 16) for at in (1, 3, 5)]], np.float64))[0]
    return lab


def to_rgb(lab: NDArray[np.floating[Any]]) -> str:
    """(3,) CIELAB -> the nearest sRGB colour, ``#rrggbb``.

    >>> to_rgb(to_lab(np.array([[27.0, 36.0, 64.0]]))[0])
    '#1b2440'
    """
    # Number by number: of one colour, arrays take five times as long.
    y = (float(lab[0]) + 16) / 116
    xyz = [f**3 if f > 6 / 29 else (f - 4 / 29) * 108 / 841 for f in (y + lab[1] / 500, y, y - lab[2] / 200)]
    linear = [min(1.0, max(0.0, sum(map(mul, row, xyz)))) for row in _FROM_XYZ]
    coded = [each * 12.92 if each <= 0.0031308 else 1.055 * each ** (1 / 2.4) - 0.055 for each in linear]
    return "#" + "".join(f"{round(each * 255):02x}" for each in coded)


def name_shares(lab: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(n, 3) CIELAB -> (n, names) how much each colour is each of :data:`NAMES`; rows sum to 1, and the nearest name
    has most.

    >>> NAMES[int(name_shares(to_lab(np.array([[20.0, 30.0, 60.0]])))[0].argmax())]
    'navy'
    """
    # Axis by axis: the same sums as over a third axis, in less than half the time.
    one, two, three = ((np.asarray(lab)[:, None, axis] - _POINTS[:, axis]) ** 2 for axis in range(3))
    squares = one + two + three
    near = np.exp((squares.min(axis=1, keepdims=True) - squares) / (2 * NAME_SPREAD**2))
    shares = np.maximum.reduceat(near, _STARTS, axis=1)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)


def _points() -> tuple[list[str], NDArray[np.float64]]:
    names, points = [], []
    for row in _NAMED.replace("\n", " ").split(","):
        name, *colours = row.split()
        for colour in colours:
            names.append(name)
            points.append([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return names, to_lab(np.array(points, np.float64))


_WORDS, _POINTS = _points()
NAMES = tuple(dict.fromkeys(_WORDS))
_STARTS = [_WORDS.index(name) for name in NAMES]
