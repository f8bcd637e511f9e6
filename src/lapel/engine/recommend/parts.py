"""What of an outfit a product is, read off its category path, and which parts go together.

A path such as ``Apparel > Topwear > Shirts`` is read from narrow to wide until a word of a part is met. What no word
names is a part of its own by the second level of the path: the tree says that much itself.
"""

from __future__ import annotations

from functools import lru_cache

from lapel.core.words import tokens

#: Words of each part, singular; how much an outfit wants it.
PARTS: dict[str, tuple[float, frozenset[str]]] = {
    part: (weight, frozenset(words.split()))
    for part, weight, words in (
        ("nightwear", 0.0, "nightwear loungewear night nightdress pyjama pajama sleepwear bathrobe swimwear swimsuit"),
        ("whole", 0.8, "dress saree sari jumpsuit gown romper dungaree tracksuit suit"),
        ("underwear", 0.0, "innerwear underwear bra brief boxer trunk lingerie camisole vest"),
        ("outer", 0.5, "outerwear jacket coat blazer parka waistcoat shrug"),
        ("bottom", 1.0, "bottomwear jean trouser short skirt legging pant jegging capri churidar salwar patiala"),
        ("top", 1.0, "topwear shirt tshirt t-shirt top blouse sweater cardigan hoodie sweatshirt polo kurta tunic"),
        ("shoes", 1.0, "shoe footwear sneaker boot heel pump sandal loafer flat flop trainer slipper"),
        ("socks", 0.2, "sock stocking tights"),
        ("bag", 0.6, "bag handbag backpack clutch tote crossbody wallet purse rucksack"),
        ("watch", 0.3, "watch"),
        ("jewellery", 0.4, "jewellery jewelry necklace earring ring bracelet bangle pendant cufflink"),
        ("eyewear", 0.3, "eyewear sunglass sunglasses glasses"),
        ("headwear", 0.3, "headwear cap hat beanie headband"),
        ("scarf", 0.3, "scarf scarves stole muffler shawl dupatta"),
        ("belt", 0.4, "belt suspender"),
        ("tie", 0.2, "tie"),
        ("gloves", 0.2, "glove"),
    )
}
#: What takes the place of each other.
CONFLICTS = frozenset(
    frozenset(pair) for pair in (("whole", "top"), ("whole", "bottom"), ("nightwear", "top"), ("nightwear", "bottom"))
)
#: Words of what is for a part and none itself, such as shoe laces.
EXTRAS = frozenset("accessory accessories laces insole insoles cleaner polish care repair spare".split())
OTHER_WEIGHT = 0.02  # of parts that only the tree knows, such as perfume


@lru_cache(maxsize=16_384)
def part_of(path: tuple[str, ...]) -> str:
    """The part that a category path means.

    >>> part_of(("Apparel", "Topwear", "Shirts")), part_of(("Accessories", "Watches")), part_of(("Home", "Lamps"))
    ('top', 'watch', 'Lamps')
    >>> part_of(("Accessories", "Shoe Care", "Shoe Laces"))
    'Shoe Care'
    """
    for level in reversed(path):
        words = {word.removesuffix("s") for word in tokens(level)} | set(tokens(level))
        if len(words) > 2 and words & EXTRAS:
            break
        words |= {word[:-2] for word in words if word.endswith("es")}
        for part, (_, known) in PARTS.items():
            if words & known:
                return part
    return path[min(1, len(path) - 1)] if path else ""


def wanted(part: str) -> float:
    """How much an outfit wants a part, 0..1."""
    return PARTS[part][0] if part in PARTS else OTHER_WEIGHT


def together(part: str, other: str) -> bool:
    """Whether two parts can be worn together: they are not the same, and none takes the other's place.

    >>> together("top", "bottom"), together("whole", "top"), together("shoes", "shoes")
    (True, False, False)
    """
    return bool(part and other) and part != other and frozenset((part, other)) not in CONFLICTS
