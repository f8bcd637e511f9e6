"""What the sample shop sells: one row for each kind of product, with its prices, materials, patterns and shape choices.

Nothing is computed here; `plan` draws products from these rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CLOTHES = ("hanger", "flat", "crop")
SMALL = ("angle", "flat")
SHOES = ("angle", "crop")

_SOLID = ("plain", "plain", "plain")
_EVERYDAY = (*_SOLID, "melange", "breton", "stripes", "multistripe")
_PRINTS = ("floral", "floral", "leaves", "dots", "leopard")
_CHECKS = ("gingham", "tartan", "windowpane")
_SUITING = (*_SOLID, "plain", "pinstripe", "windowpane", "houndstooth")

Choices = dict[str, tuple[str, ...]]
Material = tuple[str, str]


@dataclass(frozen=True)
class Kind:
    """One kind of product.

    Attributes:
        name: noun in the title.
        path: category path.
        shape: name of the drawing function.
        genders: whom it is made for, repeated to make it more frequent.
        price: lowest and highest usual price in euros.
        materials: (words in the catalogue, texture) pairs.
        patterns: pattern names, repeated to make them more frequent.
        seasons: seasons it is sold in.
        traits: shape choices; the first word is the plain case.
        views: views besides front, usual ones first.
        group: colour group in `palette`.
        share: how many of the 64 places in each run of the catalogue it takes.
        stands: True when it stands on the floor in photos.
        gloss: mirror-like reflection of its main material.
    """

    name: str
    path: str
    shape: str
    genders: tuple[str, ...]
    price: tuple[int, int]
    materials: tuple[Material, ...]
    patterns: tuple[str, ...] = _SOLID
    seasons: tuple[str, ...] = ("Spring", "Summer", "Autumn", "Winter")
    traits: Choices = field(default_factory=dict)
    views: tuple[str, ...] = CLOTHES
    group: str = "fashion"
    share: int = 1
    stands: bool = False
    gloss: float = 0.03


_ALL = ("Women", "Men", "Unisex", "Women", "Men", "Girls", "Boys")
_GROWN = ("Women", "Men")
_HERS = ("Women", "Women", "Women", "Girls")
_WARM = ("Spring", "Summer")
_COLD = ("Autumn", "Winter")
_JERSEY = (("Cotton", "jersey"), ("Organic Cotton", "jersey"), ("Cotton Blend", "jersey"))
_WOVEN = (("Cotton", "poplin"), ("Linen", "linen"), ("Cotton Poplin", "poplin"))
_FLOWING = (("Viscose", "poplin"), ("Satin", "satin"), ("Cotton", "poplin"), ("Linen", "linen"))
_KNITTED = (("Wool", "knit"), ("Merino", "jersey"), ("Cashmere Blend", "wool"), ("Chunky Wool", "chunky"), ("Cable Wool", "cable"),
            ("Ribbed Cotton", "rib"))  # fmt: skip
_HIDES = (("Leather", "leather"), ("Suede", "suede"), ("Smooth Leather", "smooth"))
_TOPS, _OUTER, _LOWER = "Apparel > Topwear > ", "Apparel > Outerwear > ", "Apparel > Bottomwear > "

KINDS: tuple[Kind, ...] = (
    Kind("T-shirt", _TOPS + "T-shirts", "tshirt", _ALL, (12, 39), _JERSEY,
         (*_EVERYDAY, "plain", "dots", "tiedye", "camouflage", "leaves", "gradient", "floral"), _WARM,
         {"neckline": ("crew", "v", "scoop", "crew"), "sleeve": ("short", "short", "elbow", "long"),
          "detail": ("none", "pocket", "print", "ringer", "none")}, share=4),
    Kind("Tank Top", _TOPS + "Tank tops", "tank", ("Women", "Women", "Men"), (9, 29), (*_JERSEY, ("Ribbed Cotton", "rib")),
         (*_EVERYDAY, "tiedye", "gradient", "leopard"), ("Summer",), {"neckline": ("scoop", "v", "square"), "strap": ("wide", "thin")}),
    Kind("Shirt", _TOPS + "Shirts", "shirt", ("Men", "Men", "Women", "Boys"), (25, 89), (*_WOVEN, ("Denim", "denim")),
         (*_SOLID, "bengal", "gingham", "tartan", "dots", "windowpane", "leaves", "floral"),
         traits={"sleeve": ("long", "long", "short"), "pocket": ("one", "none", "two"), "collar": ("classic", "band", "wide")}, share=3),
    Kind("Polo", _TOPS + "Polo shirts", "polo", ("Men", "Men", "Women", "Boys"), (19, 65), (("Cotton Pique", "canvas"), *_JERSEY),
         (*_SOLID, "stripes", "multistripe", "breton"), _WARM, {"sleeve": ("short", "short", "long"), "tip": ("none", "tipped")}),
    Kind("Blouse", _TOPS + "Blouses", "blouse", ("Women",), (25, 79), _FLOWING, (*_SOLID, *_PRINTS, "gradient"),
         ("Spring", "Summer", "Autumn"), {"neckline": ("v", "boat", "square", "high"), "sleeve": ("puff", "bell", "long"),
                                          "front": ("ruffle", "bow", "plain", "buttons")}, share=2),
    Kind("Sweater", _TOPS + "Sweaters", "sweater", _ALL, (35, 129), _KNITTED,
         (*_SOLID, "breton", "stripes", "argyle", "zigzag", "melange"), _COLD, {"neckline": ("crew", "v", "high", "boat")}, share=2),
    Kind("Cardigan", _TOPS + "Cardigans", "cardigan", ("Women", "Women", "Men"), (39, 139), _KNITTED, (*_SOLID, "melange", "stripes"),
         ("Autumn", "Winter", "Spring"), {"length": ("hip", "long", "cropped"), "pockets": ("yes", "no")}),
    Kind("Hoodie", _TOPS + "Hoodies & sweatshirts", "hoodie", _ALL, (29, 79), (("Cotton Fleece", "jersey"), ("Cotton", "jersey")),
         (*_SOLID, "melange", "tiedye", "camouflage", "gradient"), ("Autumn", "Winter", "Spring"),
         {"closing": ("pullover", "zip"), "detail": ("none", "print", "stripe")}, share=2),
    Kind("Blazer", _OUTER + "Blazers", "blazer", ("Women", "Men"), (69, 249), (("Wool", "wool"), ("Linen", "linen"), ("Stretch Twill", "twill"),
         ("Herringbone Wool", "herringbone")), _SUITING,
         traits={"breast": ("single", "double"), "lapel": ("notch", "peak")}, group="tailored", share=2),
    Kind("Bomber Jacket", _OUTER + "Jackets", "bomber", ("Men", "Women", "Unisex", "Boys"), (49, 149), (("Nylon", "satin"), ("Suede", "suede"),
         ("Cotton Twill", "twill")), (*_SOLID, "camouflage"), ("Spring", "Autumn"), gloss=0.12),
    Kind("Denim Jacket", _OUTER + "Jackets", "trucker", _ALL, (45, 119), (("Denim", "denim"),), ("plain",), ("Spring", "Autumn"),
         {"collar": ("plain", "cord")}, group="denim"),
    Kind("Biker Jacket", _OUTER + "Jackets", "biker", _GROWN, (99, 329), (("Leather", "leather"), ("Faux Leather", "leather")), ("plain",),
         ("Autumn", "Spring"), group="leather", gloss=0.45),
    Kind("Puffer Jacket", _OUTER + "Jackets", "puffer", _ALL, (59, 199), (("Recycled Nylon", "puffer"), ("Down", "puffer")), ("plain",),
         ("Winter",), {"sleeves": ("yes", "yes", "gilet"), "hood": ("no", "yes")}, gloss=0.22),
    Kind("Coat", _OUTER + "Coats", "coat", ("Women", "Women", "Men"), (99, 399), (("Wool", "wool"), ("Cotton Gabardine", "twill"),
         ("Boucle Wool", "fleece"), ("Herringbone Wool", "herringbone")), (*_SOLID, "plain", "houndstooth", "tartan", "windowpane"), _COLD,
         {"style": ("overcoat", "trench", "wrap"), "length": ("knee", "midi")}, group="tailored", share=2),
    Kind("Dress", "Apparel > Dresses > Dresses", "dress", _HERS, (35, 159), (*_FLOWING, ("Cotton Jersey", "jersey")),
         ("plain", "plain", *_PRINTS, *_PRINTS, "gingham", "stripes", "gradient", "zigzag"), ("Spring", "Summer", "Summer", "Autumn"),
         {"cut": ("aline", "sheath", "maxi", "wrap", "tiered", "slip"), "neckline": ("v", "scoop", "square", "boat", "sweetheart"),
          "sleeve": ("none", "short", "puff", "long", "none")}, share=5),
    Kind("Skirt", _LOWER + "Skirts", "skirt", _HERS, (19, 89), (("Viscose", "poplin"), ("Satin", "satin"), ("Wool", "wool"), ("Cotton", "twill")),
         ("plain", "plain", *_PRINTS, *_CHECKS, "gradient", "houndstooth"),
         traits={"cut": ("aline", "pleated", "pencil", "mini", "tiered")}, share=3),
    Kind("Swimsuit", "Apparel > Swimwear > Swimsuits", "swimsuit", _HERS, (19, 79), (("Recycled Nylon", "satin"),),
         (*_SOLID, *_PRINTS, "stripes", "gradient"), ("Summer",), {"neckline": ("scoop", "v", "sweetheart"), "strap": ("thin", "wide", "one")},
         views=SMALL, gloss=0.12),
    Kind("Jeans", _LOWER + "Jeans", "jeans", _ALL, (35, 119), (("Denim", "denim"), ("Stretch Denim", "denim")), ("plain",),
         traits={"leg": ("straight", "slim", "skinny", "wide", "flare"), "wash": ("clean", "faded", "faded", "ripped")}, group="denim", share=3),
    Kind("Trousers", _LOWER + "Trousers", "trousers", ("Women", "Men"), (35, 129), (("Cotton Twill", "twill"), ("Wool", "wool"), ("Linen", "linen"),
         ("Corduroy", "cord")), (*_SUITING, "tartan"),
         traits={"leg": ("straight", "tapered", "wide"), "front": ("flat", "pleats")}, group="tailored", share=2),
    Kind("Shorts", _LOWER + "Shorts", "shorts", _ALL, (15, 55), (("Cotton Twill", "twill"), ("Linen", "linen"), ("Cotton", "poplin"),
         ("Denim", "denim")), (*_SOLID, "plain", *_CHECKS, "leaves", "bengal"), ("Summer",), {"waist": ("fly", "drawstring")}),
    Kind("Leggings", _LOWER + "Leggings", "leggings", ("Women", "Women", "Girls"), (15, 65), (("Recycled Polyamide", "jersey"), ("Cotton Jersey", "jersey")),
         (*_SOLID, "plain", "leopard", "gradient", "tiedye"), traits={"panel": ("none", "side", "knee")}, gloss=0.1),
    Kind("Sneakers", "Footwear > Casual shoes > Sneakers", "sneaker", _ALL, (39, 149), (("Leather", "leather"), ("Canvas", "canvas"), ("Suede", "suede"),
         ("Knit", "jersey")), _SOLID, traits={"style": ("court", "runner", "hightop", "slipon"), "sole": ("white", "white", "gum", "dark")},
         views=SHOES, share=4, stands=True, gloss=0.2),
    Kind("Boots", "Footwear > Boots > Boots", "boot", ("Women", "Men", "Women"), (69, 249), _HIDES, ("plain",), _COLD,
         {"style": ("chelsea", "laceup", "kneehigh", "heeled")}, SHOES, "leather", 3, True, 0.4),
    Kind("Heels", "Footwear > Heels > Pumps", "heel", ("Women",), (39, 179), (*_HIDES, ("Patent Leather", "smooth"), ("Satin", "satin")),
         (*_SOLID, "plain", "leopard"), traits={"heel": ("stiletto", "block", "kitten", "platform"), "upper": ("court", "slingback", "ankle", "mary")},
         views=SHOES, group="leather", share=2, stands=True, gloss=0.5),
    Kind("Sandals", "Footwear > Sandals > Sandals", "sandal", ("Women", "Women", "Men", "Unisex"), (25, 99), _HIDES, ("plain",), ("Summer",),
         {"style": ("strappy", "slide", "footbed", "toepost")}, ("flat", "crop"), "leather", 2, False, 0.3),
    Kind("Loafers", "Footwear > Formal shoes > Loafers", "loafer", ("Men", "Women", "Men"), (59, 199), _HIDES, ("plain",),
         traits={"style": ("penny", "tassel", "horsebit", "oxford")}, views=SHOES, group="leather", share=2, stands=True, gloss=0.5),
    Kind("Ballet Flats", "Footwear > Flats > Ballet flats", "ballet", ("Women", "Women", "Girls"), (29, 99), (*_HIDES, ("Satin", "satin")),
         (*_SOLID, "leopard"), _WARM, {"toe": ("round", "pointed"), "detail": ("bow", "strap", "none")}, SHOES, "leather", 1, True, 0.35),
    Kind("Tote Bag", "Bags > Tote bags", "tote", ("Women", "Unisex"), (19, 189), (("Canvas", "canvas"), ("Leather", "leather"), ("Straw", "straw")),
         (*_SOLID, "stripes", "floral", "leaves"), traits={"handle": ("long", "short"), "detail": ("none", "print", "base", "pocket")},
         views=SMALL, share=2, stands=True, gloss=0.2),
    Kind("Handbag", "Bags > Handbags", "handbag", ("Women",), (49, 349), (("Leather", "leather"), ("Smooth Leather", "smooth"), ("Suede", "suede"),
         ("Croc-Effect Leather", "quilted")), ("plain",), traits={"form": ("trapeze", "flap", "bucket", "hobo", "bowling"), "metal": ("gold", "silver")},
         views=("angle", "crop"), group="leather", share=3, stands=True, gloss=0.4),
    Kind("Crossbody Bag", "Bags > Crossbody bags", "crossbody", ("Women", "Women", "Unisex"), (29, 199), (("Leather", "leather"),
         ("Quilted Leather", "quilted"), ("Smooth Leather", "smooth")), ("plain",),
         traits={"form": ("camera", "flap", "halfmoon"), "strap": ("leather", "chain"), "metal": ("gold", "silver")},
         views=SMALL, group="leather", gloss=0.4),
    Kind("Clutch", "Bags > Clutches", "clutch", ("Women",), (25, 129), (("Satin", "satin"), ("Leather", "leather"), ("Suede", "suede"),
         ("Quilted Leather", "quilted")), (*_SOLID, "leopard", "gradient"), traits={"form": ("envelope", "frame", "pouch"), "metal": ("gold", "silver")},
         views=SMALL, group="leather", gloss=0.35),
    Kind("Backpack", "Bags > Backpacks", "backpack", ("Unisex", "Men", "Women", "Girls", "Boys"), (29, 149), (("Canvas", "canvas"),
         ("Recycled Nylon", "poplin"), ("Leather", "leather")), (*_SOLID, "plain", "camouflage", "floral", "dots"),
         traits={"form": ("classic", "rolltop", "flap"), "straps": ("leather", "same")}, views=SMALL, share=2, stands=True, gloss=0.15),
    Kind("Watch", "Accessories > Watches", "watch", _GROWN, (49, 399), (("Leather Strap", "leather"), ("Steel Bracelet", "smooth"),
         ("Mesh Bracelet", "straw"), ("Silicone Strap", "smooth")), ("plain",),
         traits={"case": ("round", "round", "square"), "markers": ("batons", "romans", "dots", "numbers"),
                 "dial": ("white", "black", "navy", "green", "cream", "blush"), "sub": ("none", "none", "chrono", "small")},
         views=SMALL, group="timepiece", share=3, gloss=0.9),
    Kind("Sunglasses", "Accessories > Eyewear", "sunglasses", ("Women", "Men", "Unisex"), (19, 159), (("Acetate", "smooth"), ("Metal", "smooth")),
         ("plain",), _WARM, {"frame": ("wayfarer", "round", "cateye", "aviator", "square"), "lens": ("grey", "brown", "green", "blue", "rose")},
         SMALL, "frames", 2, False, 0.8),
    Kind("Cap", "Accessories > Headwear > Caps", "cap", _ALL, (12, 39), (("Cotton Twill", "twill"), ("Suede", "suede"), ("Corduroy", "cord")),
         (*_SOLID, "camouflage"), _WARM, {"badge": ("none", "patch", "letter"), "brim": ("same", "contrast")}, ("angle", "crop"), stands=True),
    Kind("Beanie", "Accessories > Headwear > Beanies", "beanie", _ALL, (12, 45), (("Wool", "rib"), ("Chunky Wool", "chunky"), ("Cable Wool", "cable")),
         (*_SOLID, "stripes", "zigzag", "melange"), ("Winter",), {"top": ("plain", "pompom"), "cuff": ("yes", "no")}, SMALL),
    Kind("Hat", "Accessories > Headwear > Hats", "hat", ("Women", "Women", "Men"), (25, 119), (("Straw", "straw"), ("Wool Felt", "suede"),
         ("Paper Straw", "straw")), ("plain",), ("Summer", "Spring", "Autumn"), {"form": ("fedora", "sun", "bucket", "boater")},
         ("angle", "crop"), "straw", stands=True),
    Kind("Scarf", "Accessories > Scarves", "scarf", ("Women", "Men", "Unisex"), (15, 99), (("Wool", "wool"), ("Cashmere Blend", "wool"),
         ("Silk", "satin"), ("Chunky Wool", "chunky")), ("plain", "tartan", "tartan", "houndstooth", "stripes", "floral", "zigzag", "dots"), _COLD,
         {"tie": ("loop", "folded", "hanging"), "fringe": ("yes", "no")}, SMALL, share=2),
    Kind("Belt", "Accessories > Belts", "belt", _GROWN, (15, 89), (("Leather", "leather"), ("Suede", "suede"), ("Smooth Leather", "smooth")), ("plain",),
         traits={"buckle": ("frame", "round", "plate"), "metal": ("silver", "gold")}, views=SMALL, group="leather", gloss=0.4),
    Kind("Tie", "Accessories > Ties", "tie", ("Men",), (19, 69), (("Silk", "satin"), ("Wool", "wool"), ("Knitted Silk", "knit")),
         ("plain", "stripes", "dots", "tartan", "floral", "houndstooth", "multistripe"), traits={"width": ("classic", "slim")}, views=SMALL, gloss=0.12),
    Kind("Gloves", "Accessories > Gloves", "gloves", _GROWN, (15, 79), (("Leather", "leather"), ("Wool", "knit"), ("Suede", "suede")),
         ("plain",), _COLD, {"cuff": ("plain", "knit", "long")}, SMALL, "leather", gloss=0.25),
    Kind("Socks", "Accessories > Socks", "socks", _ALL, (5, 19), (("Cotton", "jersey"), ("Wool", "rib")),
         ("plain", "stripes", "argyle", "dots", "breton", "zigzag", "multistripe"), traits={"length": ("crew", "ankle", "knee")}, views=SMALL),
    Kind("Necklace", "Accessories > Jewellery > Necklaces", "necklace", ("Women",), (15, 149), (("Gold-Plated Brass", "smooth"),
         ("Sterling Silver", "smooth")), ("plain",), traits={"pendant": ("drop", "disc", "pearls", "bar", "heart"), "stone": ("none", "colour")},
         views=("flat", "angle"), group="metal", share=2, gloss=1.0),
    Kind("Earrings", "Accessories > Jewellery > Earrings", "earrings", ("Women",), (9, 99), (("Gold-Plated Brass", "smooth"), ("Sterling Silver", "smooth")),
         ("plain",), traits={"form": ("hoops", "drops", "studs", "tassels"), "stone": ("colour", "none", "pearl")},
         views=("flat", "angle"), group="metal", gloss=1.0),
)  # fmt: skip
