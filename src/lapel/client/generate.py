"""Makes what of the client is made: ``sync.py``, the client that waits, of the one that awaits; ``schema.py`` of the
server's OpenAPI text. ``python -m lapel.client.generate [openapi.json]``; ``make client`` writes that text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE, TARGET, SCHEMA = HERE / "awaiting.py", HERE / "sync.py", HERE / "schema.py"
TOLD = '"""The client of a server. Made of ``awaiting.py`` by ``generate.py``: change that one."""'
CHANGES = (
    (r'\A""".*?"""', TOLD),
    (r"^import asyncio\nimport json$", "import json\nimport time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basync (def|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\bin_order_awaited\b", "in_order"),
    (r"\bAsyncIterator, Callable, Iterable\b", "Callable, Iterable, Iterator"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncClient\b", "Client"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
)
SCHEMA_HEAD = '''"""Answers as the OpenAPI text describes them. Made of it by ``generate.py``: change nothing here."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict
'''
SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def made() -> str:
    """What ``sync.py`` shall hold."""
    text = SOURCE.read_text("utf-8")
    for old, new in CHANGES:
        text, count = re.subn(old, new, text, flags=re.MULTILINE | re.DOTALL)
        assert count, old
    return text


def schema_of(openapi: Mapping[str, Any]) -> str:
    """What ``schema.py`` shall hold: a ``TypedDict`` for each object that an answer may have.

    Args:
        openapi: The server's OpenAPI text.
    """
    schemas = openapi["components"]["schemas"]
    return SCHEMA_HEAD + "".join(_class(name, schemas[name]) for name in sorted(schemas) if name.endswith("Answer"))


def _class(name: str, schema: Mapping[str, Any]) -> str:
    told = " ".join(schema.get("description", name).split("\n\n")[0].split())
    lines = [f"\n\nclass {name}(TypedDict):", f'    """{told}"""', ""]
    for field, each in schema["properties"].items():
        kind = _type(each)
        lines.append(f"    {field}: {kind if field in schema.get('required', ()) else f'NotRequired[{kind}]'}")
    return "\n".join(lines) + "\n"


def _type(schema: Mapping[str, Any]) -> str:
    """The Python type that a JSON schema describes; Any for what it leaves open."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"tuple[{', '.join(map(_type, schema['prefixItems']))}]"
        return f"list[{_type(schema.get('items', {}))}]"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties", {})
        return f"dict[str, {_type(values) if isinstance(values, Mapping) else 'Any'}]"
    return SIMPLE.get(schema.get("type", ""), "Any")


if __name__ == "__main__":
    TARGET.write_text(made(), "utf-8")
    if sys.argv[1:]:
        SCHEMA.write_text(schema_of(json.loads(Path(sys.argv[1]).read_text("utf-8"))), "utf-8")
