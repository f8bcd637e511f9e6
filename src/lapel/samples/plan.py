"""Plans the sample wardrobe: which products exist, what they are called, cost and look like, before any is drawn.

A number of products and a seed go in; frozen `WardrobeProduct` values come out. A product depends on the seed and its
own
place only, so the first hundred of a large wardrobe are the same as a wardrobe of one hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar
from zlib import crc32

import numpy as np

from lapel.samples.fabric import Fabric, mixed
from lapel.samples.kinds import KINDS, Kind
from lapel.samples.palette import GROUPS, colour, companions

_T = TypeVar("_T")

DEFAULT_PRODUCTS = 640
DEFAULT_SEED = 7

# Invented names, with a factor on the usual price.
BRANDS: tuple[tuple[str, float], ...] = (
    ("Alder & Finch", 1.0),
    ("Marlowe Quay", 1.25),
    ("Northmere", 0.9),
    ("Tilde & Thorne", 1.1),
    ("Oakhaven Mills", 0.85),
    ("Sable Row", 1.5),
    ("Luma Vale", 0.8),
    ("Kestrel Lane", 1.0),
    ("Brindle Yard", 0.75),
    ("Fennick", 0.95),
    ("Ostara Loom", 1.2),
    ("Petra Lindqvale", 1.6),
    ("Halden Works", 0.9),
    ("Juniper Hythe", 1.05),
    ("Corvane", 1.45),
    ("Maren Holtby", 1.3),
    ("Quillonne", 1.35),
    ("Verrazo Studio", 1.55),
    ("Stellan Grove", 1.1),
    ("Wrenfield", 0.7),
    ("Delphine Marsh", 1.25),
    ("Orrin Vale", 1.0),
    ("Tamsin Rook", 1.15),
    ("Pellworth", 0.85),
    ("Driftmoor", 0.95),
    ("Vashti Lane", 1.2),
)

_PATTERN_WORDS = {
    "plain": "",
    "melange": "Melange",
    "stripes": "Striped",
    "breton": "Breton-Stripe",
    "multistripe": "Multi-Stripe",
    "pinstripe": "Pinstripe",
    "bengal": "Bengal-Stripe",
    "gingham": "Gingham",
    "tartan": "Tartan",
    "windowpane": "Windowpane",
    "houndstooth": "Houndstooth",
    "dots": "Polka-Dot",
    "argyle": "Argyle",
    "zigzag": "Zigzag",
    "gradient": "Ombre",
    "tiedye": "Tie-Dye",
    "camouflage": "Camouflage",
    "leopard": "Leopard-Print",
    "floral": "Floral",
    "leaves": "Leaf-Print",
}

# Words in the title for shape choices, in the order they are read.
_TRAIT_WORDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("length", {"long": "Longline", "cropped": "Cropped", "midi": "Midi", "ankle": "Ankle", "knee": "Knee-Length"}),
    ("sleeve", {"long": "Long-Sleeve", "elbow": "Half-Sleeve", "puff": "Puff-Sleeve", "bell": "Bell-Sleeve"}),
    (
        "neckline",
        {
            "v": "V-Neck",
            "scoop": "Scoop-Neck",
            "boat": "Boat-Neck",
            "square": "Square-Neck",
            "high": "High-Neck",
            "crew": "Crew-Neck",
            "sweetheart": "Sweetheart",
        },
    ),
    ("breast", {"double": "Double-Breasted", "single": "Single-Breasted"}),
    ("closing", {"zip": "Zip-Up"}),
    (
        "cut",
        {
            "aline": "A-Line",
            "sheath": "Sheath",
            "maxi": "Maxi",
            "wrap": "Wrap",
            "tiered": "Tiered",
            "slip": "Slip",
            "pleated": "Pleated",
            "pencil": "Pencil",
            "mini": "Mini",
        },
    ),
    (
        "leg",
        {
            "straight": "Straight-Leg",
            "slim": "Slim",
            "skinny": "Skinny",
            "wide": "Wide-Leg",
            "flare": "Flared",
            "tapered": "Tapered",
        },
    ),
    ("heel", {"stiletto": "Stiletto", "block": "Block-Heel", "kitten": "Kitten-Heel", "platform": "Platform"}),
    ("upper", {"slingback": "Slingback", "ankle": "Ankle-Strap", "mary": "Mary Jane"}),
    (
        "style",
        {
            "court": "Court",
            "runner": "Running",
            "hightop": "High-Top",
            "slipon": "Slip-On",
            "chelsea": "Chelsea",
            "laceup": "Lace-Up",
            "kneehigh": "Knee-High",
            "heeled": "Heeled",
            "strappy": "Strappy",
            "slide": "Slide",
            "footbed": "Footbed",
            "toepost": "Toe-Post",
            "penny": "Penny",
            "tassel": "Tassel",
            "horsebit": "Horsebit",
            "oxford": "Oxford",
            "trench": "Trench",
            "wrap": "Wrap",
            "overcoat": "Classic",
        },
    ),
    (
        "form",
        {
            "trapeze": "Trapeze",
            "flap": "Flap",
            "bucket": "Bucket",
            "hobo": "Hobo",
            "bowling": "Bowling",
            "camera": "Camera",
            "halfmoon": "Half-Moon",
            "envelope": "Envelope",
            "frame": "Frame",
            "pouch": "Pouch",
            "rolltop": "Roll-Top",
            "fedora": "Fedora",
            "sun": "Wide-Brim",
            "boater": "Boater",
            "hoops": "Hoop",
            "drops": "Drop",
            "studs": "Stud",
            "tassels": "Tassel",
        },
    ),
    ("frame", {"wayfarer": "D-Frame", "round": "Round", "cateye": "Cat-Eye", "aviator": "Aviator", "square": "Square"}),
    ("case", {"round": "Round", "square": "Square"}),
    ("sub", {"chrono": "Chronograph"}),
    ("pendant", {"drop": "Drop", "disc": "Disc", "pearls": "Pearl", "bar": "Bar", "heart": "Heart"}),
    ("top", {"pompom": "Pompom"}),
    ("sleeves", {"gilet": "Sleeveless"}),
    ("toe", {"pointed": "Pointed"}),
    ("width", {"slim": "Slim"}),
)


@dataclass(frozen=True)
class WardrobeProduct:
    """A product of the sample wardrobe: its row in the catalogue and everything needed to draw it.

    Attributes:
        id: `W0001` and so on.
        kind: name of its row in `KINDS`.
        title, category, gender, brand, colour, season, pattern, material: catalogue words; category is a path like
            `Apparel > Topwear > T-shirts`.
        price: in `currency`, two decimals.
        in_stock: False for about one in twelve.
        views: names of its photos, `front` first, two or three.
        shape: name of the drawing function.
        stands: True when it stands on the floor in photos.
        fabric, trim: main and second material.
        traits: chosen shape words, (name, word) pairs.
        design: number of the design; colourways of one design share it.
        seed: number of this very product.
    """

    id: str
    kind: str
    title: str
    category: str
    gender: str
    brand: str
    colour: str
    season: str
    price: Decimal
    currency: str
    in_stock: bool
    pattern: str
    material: str
    views: tuple[str, ...]
    shape: str
    stands: bool
    fabric: Fabric
    trim: Fabric
    traits: tuple[tuple[str, str], ...]
    design: int
    seed: int

    @property
    def pictures(self) -> tuple[str, ...]:
        """Paths of the photos relative to the wardrobe's folder, in the order of `views`."""
        return tuple(f"images/{self.id}_{view}.jpg" for view in self.views)

    def trait(self, name: str) -> str:
        """The chosen word for a shape choice, or "none"."""
        return dict(self.traits).get(name, "none")

    def vary(self, name: str, low: float, high: float) -> float:
        """A measure between `low` and `high` that belongs to the design: the same for all its colourways and photos."""
        return low + (high - low) * (crc32(f"{self.design}/{name}".encode()) / 0xFFFFFFFF)


def plan_wardrobe(products: int = DEFAULT_PRODUCTS, seed: int = DEFAULT_SEED) -> tuple[WardrobeProduct, ...]:
    """Plan a wardrobe without drawing it.

    Args:
        products: how many, at least 1.
        seed: another seed gives another wardrobe.

    Returns:
        Products in catalogue order. Product i does not depend on `products`.
    """
    if products < 1:
        raise ValueError(f"a wardrobe needs at least 1 product, not {products}")
    return tuple(_product(index, seed) for index in range(products))


@lru_cache(maxsize=1)
def _places() -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS for _ in range(kind.share))


@lru_cache(maxsize=64)
def _order(run: int, seed: int) -> tuple[int, ...]:
    """The order of the places in one run of the catalogue, so that kinds are mixed like on a shop's page."""
    return tuple(np.random.default_rng([seed, 11, run]).permutation(len(_places())).tolist())


def _design_run(run: int, place: int, seed: int) -> int:
    """The run whose design this run repeats in another colour, or `run` itself for a new design."""
    if _places()[place].group == "metal":
        return run  # jewellery comes in too few colours for colourways
    while run > 0 and np.random.default_rng([seed, 12, run, place]).random() < 0.22:
        run -= 1
    return run


def _colours_before(run: int, place: int, seed: int) -> list[str]:
    """Colours that earlier colourways of the same design already have."""
    first = _design_run(run, place, seed)
    taken: list[str] = []
    for earlier in range(first, run):
        taken.append(_colour(earlier, place, seed, taken))
    return taken


def _colour(run: int, place: int, seed: int, taken: list[str]) -> str:
    kind = _places()[place]
    rng = np.random.default_rng([seed, 13, run, place])
    material = _choose(np.random.default_rng([seed, 14, _design_run(run, place, seed), place]), kind.materials)
    if "Gold" in material[0] or "Silver" in material[0]:
        return "Silver" if "Silver" in material[0] else str(rng.choice(["Gold", "Rose Gold"]))
    group = "denim" if material[1] == "denim" else kind.group
    names = [n for n in GROUPS[group] if n not in taken]
    return names[int(rng.integers(len(names)))]


def _choose(rng: np.random.Generator, options: tuple[_T, ...]) -> _T:
    return options[int(rng.integers(len(options)))]


def _product(index: int, seed: int) -> WardrobeProduct:
    size = len(_places())
    run, place = index // size, _order(index // size, seed)[index % size]
    kind, design_run = _places()[place], _design_run(run, place, seed)
    material, texture = _choose(np.random.default_rng([seed, 14, design_run, place]), kind.materials)
    own = np.random.default_rng([seed, 15, run, place])
    rng = np.random.default_rng([seed, 16, design_run, place])
    pattern = "plain" if texture in ("denim", "cable", "leather") else _choose(rng, kind.patterns)
    gender, season = _choose(rng, kind.genders), _choose(rng, kind.seasons)
    brand, tier = _choose(rng, BRANDS)
    traits = tuple((name, _choose(rng, options)) for name, options in kind.traits.items())
    price = _price(kind, tier, gender, rng)
    number = int(rng.integers(1 << 30))
    scale = float(rng.uniform(13, 34))
    name = _colour(run, place, seed, _colours_before(run, place, seed))
    seed_here = int(own.integers(1 << 30))
    fabric, trim = _fabrics(kind, name, pattern, (material, texture), scale, number, seed_here)
    extra = own.permutation(len(kind.views)).tolist()[: 2 if own.random() < 0.42 else 1]
    words = [
        brand,
        "Men's" if gender == "Men" else "" if gender == "Unisex" else gender + ("'" if gender[-1] == "s" else "'s"),
        _PATTERN_WORDS[pattern],
        material,
        *_shape_words(traits),
        kind.name,
        name,
    ]
    return WardrobeProduct(
        id=f"W{index + 1:04d}",
        kind=kind.name,
        title=" ".join(w for w in words if w),
        category=kind.path,
        gender=gender,
        brand=brand,
        colour=name,
        season=season,
        price=price,
        currency="EUR",
        in_stock=bool(own.random() >= 0.08),
        pattern=pattern,
        material=material,
        views=("front", *(kind.views[i] for i in sorted(extra))),
        shape=kind.shape,
        stands=kind.stands,
        fabric=fabric,
        trim=trim,
        traits=traits,
        design=number,
        seed=seed_here,
    )


def _shape_words(traits: tuple[tuple[str, str], ...]) -> list[str]:
    chosen = dict(traits)
    return [words[chosen[name]] for name, words in _TRAIT_WORDS if name in chosen and chosen[name] in words]


def _price(kind: Kind, tier: float, gender: str, rng: np.random.Generator) -> Decimal:
    low, high = kind.price
    usual = low + (high - low) * float(rng.beta(1.6, 2.6))
    euros = max(3, round(usual * tier * (0.7 if gender in ("Girls", "Boys") else 1.0)))
    return Decimal(euros) + _choose(rng, (Decimal("0.90"), Decimal("0.95"), Decimal("0.99"), Decimal("0.00")))


def _fabrics(
    kind: Kind, name: str, pattern: str, material: tuple[str, str], scale: float, design: int, seed: int
) -> tuple[Fabric, Fabric]:
    """Main and second material of a product."""
    words, texture = material
    rng = np.random.default_rng([seed, 17])
    second, third = companions(name, rng)
    if pattern == "camouflage":  # tones of one colour: foreign ones look like a mistake
        second, third = mixed(colour(name), (0.12, 0.13, 0.09), 0.6), mixed(colour(name), (0.45, 0.43, 0.30), 0.55)
    elif pattern == "leopard":
        second, third = (0.13, 0.09, 0.07), mixed(colour(name), (0.55, 0.33, 0.16), 0.6)
    gloss = kind.gloss + {"satin": 0.18, "puffer": 0.05}.get(texture, 0.0)
    if words in ("Patent Leather", "Smooth Leather"):
        gloss = min(1.0, gloss + 0.3)
    if texture in ("suede", "canvas", "wool", "twill", "jersey"):
        gloss = min(gloss, 0.05)
    small = 0.7 if kind.name in ("Tie", "Socks", "Clutch", "Ballet Flats", "Heels", "Beanie") else 1.0
    main = Fabric((colour(name), second, third), pattern, texture, scale * small, gloss, design % 100_000)
    trims = tuple(colour(n) for n in ("Brown", "Tan", "Black", "Cognac"))
    trim = Fabric((trims[design % 4], second, third), "plain", "leather", scale, 0.35, design % 100_000)
    return main, trim
