"""What people ask, from JSON to a query: the fields are those of :class:`lapel.core.types.Query`.

The model is made of the query's own fields, so one that a query gets one day can be asked for over HTTP without a
change here. Pictures come as a file of the form, or as links.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, create_model

from lapel.apps.api.problems import ProblemError, from_validation
from lapel.core.errors import QueryError
from lapel.core.types import Condition, Filter, Part, Query
from lapel.service import Access

MAX_FOUND = 10_000  # k and offset together
MAX_PARTS = 16
MAX_TEXT = 1000  # characters of words, ids and conditions
MAX_WIDTH = 4096  # numbers of a vector
OWN = ("image", "where", "parts", "colours")  # read otherwise, or of no use over HTTP
Text = Annotated[str, pydantic.Field(max_length=MAX_TEXT)]
# Of several kinds: each has its own limits, as a limit of all of them would be asked of a kind that cannot have it.
HINTS: dict[str, Any] = {
    "vector": list[float] | None,
    "least": Annotated[float, pydantic.Field(ge=-1, le=1)] | Text | None,
    "facets": bool | Annotated[list[str], pydantic.Field(max_length=50)],
}
LIMITS: dict[str, Any] = {
    "k": pydantic.Field(10, ge=1, le=MAX_FOUND, description="How many products to find."),
    "least": pydantic.Field(None, description="Only products with at least this score, a cosine, or this verdict."),
    "colour": pydantic.Field(None, max_length=MAX_TEXT, description="A colour by name or as #rrggbb."),
    "colour_weight": pydantic.Field(None, ge=0, le=1, description="How much a picture's colours count."),
    "diversity": pydantic.Field(0.0, ge=0, le=1, description="How much hits should differ from each other."),
    "max_per": pydantic.Field("", max_length=MAX_TEXT, description="Hits of each value of a field, as brand:2."),
    "text": pydantic.Field(None, max_length=MAX_TEXT, description="What it looks like, in words."),
    "product_id": pydantic.Field(None, max_length=MAX_TEXT, description="More like this product of the shop."),
    "vector": pydantic.Field(None, max_length=MAX_WIDTH, description="A unit vector of the shop's model."),
    "fingerprint": pydantic.Field("", max_length=64, description="The model that made the vector; another is refused."),
    "group": pydantic.Field("", max_length=MAX_TEXT, description="A field of which each value comes once."),
    "facets": pydantic.Field([], description="Fields whose values are counted; true for all useful ones."),
    "exclude": pydantic.Field([], max_length=MAX_FOUND, description="Ids of products to leave out."),
}
LOOK = pydantic.Field(None, description="How much shape, colour and pattern count, 0..4, such as {'colour': 2}.")
LINK = pydantic.Field(None, max_length=4096, description="An http or https link to a picture on the public web.")
CONFIG = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


def _json_type(hint: Any) -> Any:
    """A type that JSON has and pydantic checks; None for a field of another kind."""
    if hint in (str, int, float, bool, type(None)):
        return hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    origin, inner = get_origin(hint), [each for each in get_args(hint) if each is not Ellipsis]
    if origin is Literal:
        return hint
    known = [_json_type(each) for each in inner]
    if not known or None in known:
        return None
    if origin in (Union, types.UnionType):
        return Union[tuple(known)]  # noqa: UP007 - made at run time
    if origin is tuple and Ellipsis not in get_args(hint):
        return tuple[tuple(known)]  # type: ignore[misc]
    if origin in (tuple, list, set, frozenset) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return list[known[0]]  # type: ignore[valid-type]
    return None


def _default(each: Field[Any]) -> Any:
    value = each.default_factory() if each.default_factory is not MISSING else each.default
    return list(value) if isinstance(value, (tuple, frozenset, set)) else value


def _model(name: str, source: type, **more: Any) -> type[BaseModel]:
    hints = get_type_hints(source)
    made: dict[str, Any] = {}
    for each in fields(source):
        hint = HINTS[each.name] if each.name in HINTS else _json_type(hints[each.name])
        if each.init and each.name not in OWN and not each.name.startswith("_") and hint is not None:
            made[each.name] = (hint, LIMITS.get(each.name, _default(each)))
    return cast("type[BaseModel]", create_model(name, __config__=CONFIG, **{**made, **more}))


PartRequest = _model("Part", Part, image_url=(str | None, LINK))
PartRequest.__doc__ = "One thing to look for, with a weight; below 0 it is what the answer should be unlike."
SearchRequest = _model(
    "SearchRequest",
    Query,
    image_url=(str | None, LINK),
    look=(dict[str, float] | str | None, LOOK),
    where=(
        list[str] | str,
        pydantic.Field([], max_length=50, description="Conditions, such as gender=Women or price<2000."),
    ),
    offset=(int, pydantic.Field(0, ge=0, le=MAX_FOUND, description="Hits to pass over.")),
    parts=(list[PartRequest], pydantic.Field([], max_length=MAX_PARTS, description="Several things to look for.")),  # type: ignore[valid-type]
)
SearchRequest.__doc__ = "What to look for. Give at least one of text, product_id, image_url, vector and parts."
ExplainRequest = create_model(
    "ExplainRequest",
    __base__=SearchRequest,
    hit_id=(Text, pydantic.Field(min_length=1, description="The product of the answer that is asked about.")),
)
ExplainRequest.__doc__ = "What was looked for, as in a search, and the product that was found."


class Question:
    """A query that was read, but for its pictures.

    Args:
        text: The JSON.
        model: What it may hold; with an ``ExplainRequest`` the answer is about its one product.

    Raises:
        ProblemError: it cannot be used.
    """

    def __init__(self, text: bytes | str, model: type[BaseModel] = SearchRequest) -> None:
        try:
            asked = model.model_validate_json(text or b"{}")
        except pydantic.ValidationError as error:
            raise from_validation(error.errors(include_url=False, include_input=False, include_context=False)) from None
        given = dict(asked)
        self.hit_id: str = given.pop("hit_id", "")
        self.offset: int = given.pop("offset")
        self.image_url: str | None = given.pop("image_url")
        self._where: list[str] | str = given.pop("where")
        self._parts: list[dict[str, Any]] = [dict(part) for part in given.pop("parts")]
        self._fields = given
        if self.offset + given["k"] > MAX_FOUND:
            raise ProblemError(
                422, "too_deep", f"offset and k together are at most {MAX_FOUND:,}. Narrow the search with 'where'."
            )
        for name in ("text", "product_id", "group"):
            _check_text(given.get(name), name)
        _check_text(self.hit_id, "hit_id")

    @property
    def links(self) -> list[str]:
        """Links to pictures, in their order: the query's own first."""
        more = [part["image_url"] for part in self._parts if part.get("image_url")]
        return ([self.image_url] if self.image_url else []) + more

    def query(self, access: Access, image: bytes | None, linked: dict[str, bytes]) -> Query:
        """The query. Pictures are decoded here.

        Args:
            access: Who asks.
            image: The file of the form.
            linked: What the links lead to.

        Raises:
            LapelError: it cannot be used.
        """
        where = self._where if isinstance(self._where, list) else [self._where]
        own = {name: _value(name, value) for name, value in self._fields.items()}
        parts = []
        for part in self._parts:
            link = part.pop("image_url", None)
            read = {name: _value(name, value) for name, value in part.items()}
            parts.append(Part(image=linked[link] if link else None, **read))
        if image is not None and self.image_url:
            raise QueryError("Give either a file 'image' or an image_url; for two pictures use 'parts'.")
        if self.image_url:
            image = linked[self.image_url]
        named = [self._fields.get("group"), (self._fields.get("max_per") or "").rpartition(":")[0].strip()]
        facets = self._fields["facets"]  # of all fields: answers.shown leaves out those that are not shown
        for name in (*(facets if isinstance(facets, list) else ()), *filter(None, named)):
            access.check_field(name)
        own["k"] += self.offset
        wanted = Filter.parse(where)
        if self.hit_id:
            own["k"] = 1
            wanted = Filter((*wanted.conditions, Condition("id", "=", (self.hit_id,))))
        return Query(image=image, where=access.narrowed(wanted), parts=tuple(parts), **own)


def _value(name: str, value: Any) -> Any:
    if name == "vector" and value is not None:
        with np.errstate(over="ignore"):  # too large for 32 bits is infinite, which a query refuses in words
            return np.asarray(value, np.float32)
    if isinstance(value, list):
        return frozenset(value) if name == "exclude" else tuple(value)
    return value


def _check_text(value: str | None, name: str) -> None:
    if value and "\0" in value:
        raise ProblemError(422, "invalid_fields", f"The field '{name}' holds a NUL character. Leave it out.")
