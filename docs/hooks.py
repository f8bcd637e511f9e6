"""What the site needs beside the documents: links out of docs/ become plain text, and Sphinx roles lose their name."""

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to files beside docs/, which the site does not hold, become their text."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)+(?:src|benchmarks|tests|README|CHANGELOG)[^)]*\)", r"\1", markdown)


def on_page_content(html: str, **_: object) -> str:
    """``:class:`Store``` in a docstring is shown as ``Store``."""
    return re.sub(r":(?:func|class|meth|mod|attr|data):(?=<code>)", "", html)
