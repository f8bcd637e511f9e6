"""What people do with products: an event is checked when it is made. A person comes in as any text and is only ever
stored as a hash.

>>> Event("e1", "anna", "1163", "like", "2026-11-29T10:00:00Z").at
1795946400.0
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from lapel.core.errors import InputError
from lapel.core.text import shortened

#: What may happen, and how much it says of what somebody likes; a table stores their places.
KINDS = ("view", "like", "dislike", "cart", "buy", "dismiss")
MAX_ID = 500  # characters of an event's, a product's and a list's id
MAX_NAMED = 20  # problems and products that a report names
OLDEST = 946_684_800.0  # 2000: what is earlier is rather a clock that was never set


@dataclass(frozen=True)
class Event:
    """One thing that one person did with one product.

    Attributes:
        id: The shop's own; an event of the same id is the same event, however often it comes.
        person: Who, any text.
        product: The product's id; it may be one that is not there yet.
        kind: ``view``, ``like``, ``dislike``, ``cart``, ``buy`` or ``dismiss``.
        time: When: seconds since 1970, or ISO 8601, in UTC where it names no other zone.
        list_id: The list it came from, see :attr:`lapel.SearchResult.list_id`; empty when it came from none.
        at: The time in seconds since 1970.

    Raises:
        InputError: something of it cannot be used.
    """

    id: str
    person: str
    product: str
    kind: str
    time: float | str
    list_id: str = ""
    at: float = field(init=False, default=0.0, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("id", "person", "product", "list_id"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise InputError(f"An event's {name} is a text; found {type(text).__name__} {text!r:.60}.")
            if name != "list_id" and not text:
                raise InputError(f"An event needs an {name}." if name == "id" else f"An event needs a {name}.")
            if name != "person" and not (text.isascii() and "\0" not in text and len(text) <= MAX_ID):
                _check_text(name, text)
        if self.kind not in KINDS:
            raise InputError(f"An event's kind is one of {', '.join(KINDS)}; found {self.kind!r:.60}.")
        object.__setattr__(self, "at", seconds_of(self.time))

    @classmethod
    def of(cls, value: Event | Mapping[str, Any]) -> Event:
        """An event, or the one that a mapping with these names means; names beside them are passed over.

        Raises:
            InputError: it is neither, or something of it cannot be used.
        """
        if isinstance(value, Event):
            return value
        if not isinstance(value, Mapping):
            raise InputError(f"An event is a lapel.Event or a mapping; found {type(value).__name__} {value!r:.60}.")
        missing = [name for name in NEEDED if value.get(name) is None]
        if missing:
            raise InputError(f"An event needs {', '.join(NEEDED)}; this one has no {missing[0]}.")
        list_id = value.get("list_id")
        found = {name: value[name] for name in NEEDED}
        return cls(**found, list_id="" if list_id is None else list_id)


NEEDED = tuple(each.name for each in fields(Event) if each.name not in ("list_id", "at"))


def _check_text(name: str, text: str) -> None:
    if len(text) > MAX_ID:
        raise InputError(f"An event's {name} has at most {MAX_ID} characters; found {len(text):,}.")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"An event's {name} holds a NUL or half a letter: {shortened(repr(text))}.")


def seconds_of(time: float | str) -> float:
    """A time as seconds since 1970.

    >>> seconds_of("1970-01-01T00:01:00+00:00"), seconds_of("60"), seconds_of(60)
    (60.0, 60.0, 60.0)

    Raises:
        InputError: it is no time.
    """
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        if math.isfinite(time):
            return float(time)
    elif isinstance(time, str):
        try:
            number = float(time)
            if math.isfinite(number):
                return number
        except ValueError:
            try:
                moment = datetime.fromisoformat(time.strip())
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                pass
    raise InputError(
        f"An event's time is seconds since 1970 or ISO 8601, such as 2026-11-29T10:00:00Z; found {time!r:.60}."
    )


@dataclass(frozen=True)
class EventReport:
    """What became of every event; ``added + duplicates + rejected`` is ``read``.

    Attributes:
        read: Events, or rows of a file, that came.
        added: Events that are new here.
        duplicates: Events that were here by their id.
        conflicts: Of those, how many say another thing than before; what was there first stays.
        rejected: What is no event.
        unknown: New events of products that are not in the catalogue: kept, and used when the product comes.
        future: New events of a time more than a day ahead: kept, and counted as of now.
        ancient: New events of a time before 2000: kept, and hardly counted.
        capped: New events of people with more than 10,000, rather programs: kept, not counted for what is popular.
        problems: The first that are no events, and conflicts: where, and why.
        unknown_products: The first of those products.
    """

    read: int = 0
    added: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    unknown: int = 0
    future: int = 0
    ancient: int = 0
    capped: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    unknown_products: tuple[str, ...] = ()

    def __add__(self, more: EventReport) -> EventReport:
        """What became of these events and others."""
        both = {name: value + getattr(more, name) for name, value in vars(self).items()}
        both["problems"] = both["problems"][:MAX_NAMED]
        both["unknown_products"] = tuple(dict.fromkeys(both["unknown_products"]))[:MAX_NAMED]
        return EventReport(**both)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        named = [{"where": where, "problem": problem} for where, problem in self.problems]
        return {**asdict(self), "problems": named, "unknown_products": list(self.unknown_products)}


@dataclass(frozen=True)
class PersonExport:
    """All that is known of a person.

    Attributes:
        person: Who was asked for.
        events: What they did, the oldest first.
        lists: What they were shown.
    """

    person: str
    events: tuple[Event, ...]
    lists: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        names = ("id", "product", "kind", "at", "list_id")
        events = [{("time" if name == "at" else name): getattr(each, name) for name in names} for each in self.events]
        return {"person": self.person, "events": events, "lists": [dict(each) for each in self.lists]}


@dataclass(frozen=True)
class Erasure:
    """What was erased of a person.

    Attributes:
        events: How many events.
        lists: How many lists they were shown.
    """

    events: int
    lists: int


def checked_person(person: str) -> str:
    """The name of a person who is asked for.

    Raises:
        InputError: it is none.
    """
    if not isinstance(person, str) or not person:
        raise InputError(f"A person is a text; found {person!r:.60}.")
    return person
