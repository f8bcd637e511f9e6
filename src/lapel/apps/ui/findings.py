"""A page part for any question of the whole catalogue: what was found as pictures and as a table, one decision after
the other by keyboard, and all of it to take away.

Decisions stay in the session and in the table that is downloaded, unless a question remembers them. Nothing is deleted
or changed by itself.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any
from urllib.parse import quote

import streamlit as st

from lapel.apps.ui import work
from lapel.apps.ui.lang import amount, field_name, known_text, t
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError
from lapel.service import Case, Findings, LabelAudit, LabelFill, Picture, Store

SHOWN = 500  # rows of the table; all are downloaded
PICTURES = 24  # of one case
DECISIONS = {"yes": "j", "no": "k", "later": "l"}  # with their keys
BACK = "h"
LONG = 300  # letters of a summary that are read at a glance
SVG = re.compile("<svg(?P<rest>.*?</svg>)", re.DOTALL)
# An image has no style of the page's; it follows the browser's scheme.
CHART = (
    "text{fill:#5b534c;font:15px sans-serif}.grid{stroke:#8884}.line,.ahead,.open{fill:none;stroke:#a13a50;"
    "stroke-width:2}.ahead{stroke-dasharray:3 3}.band{fill:#a13a50;opacity:.18}.dot{fill:#a13a50}"
    "@media(prefers-color-scheme:dark){text{fill:#cfc8bf}.line,.ahead,.open{stroke:#e58ca0}.band,.dot{fill:#e58ca0}}"
)

Refused = Callable[[Sequence[str]], None]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What was found, unfolded once and not in each run of the page.

    Attributes:
        found: It.
        rows: Of its table.
        cases: What is decided on.
    """

    found: Findings
    rows: Rows
    cases: Sequence[Case]

    @classmethod
    def of(cls, found: Findings) -> Answer:
        """Unfold what was found."""
        return cls(found, found.rows(), list(found.cases()))

    @cached_property
    def csv(self) -> str:
        """The table as a file."""
        return table_csv(self.rows)


def findings_page(
    store: Store,
    ask: Callable[[work.Tell], Findings],
    *,
    key: str,
    refused: Refused | None = None,
) -> None:
    """Ask when the button is pressed, show what was found, and let every case be decided on.

    Args:
        store: Whose catalogue is asked.
        ask: Finds it; takes a function to tell how far it is.
        key: A name for the question, such as ``duplicates``; its texts are ``findings.ask_KEY`` and
            ``findings.table_KEY``.
        refused: What a no is beside a decision of this session: takes the titles of the case's pictures.
    """
    name = f"{key} {store.folder}"
    begun = work.find(name)
    if st.button(t("findings.again" if begun else "findings.run"), type="secondary" if begun else "primary",
                 key=f"run-{key}"):  # fmt: skip
        st.session_state[f"decided-{key}"] = {}
        st.session_state[f"place-{key}"] = 0
        work.start(name, lambda tell: Answer.of(ask(tell)))
    if not work.show_progress(name) or (done := work.find(name)) is None:
        if begun and begun.error and (way := known_text(f"findings.{key}_way")):
            st.caption(way)
        return
    answer: Answer = done.result
    if not answer.rows:
        st.success(f"{t('findings.none')} {escape(answer.found.summary())}", icon=":material/check_circle:")
        return
    _summary(answer.found.summary())
    decided: dict[int, str] = st.session_state.setdefault(f"decided-{key}", {})
    _decide(answer, key, decided, refused)
    _take_away(store, answer, key, decided)


def _decide(answer: Answer, key: str, decided: dict[int, str], refused: Refused | None) -> None:
    """One case at a time; J, K and L decide and go on, H goes back."""
    count = len(answer.cases)
    if not count:
        return
    place = min(int(st.session_state.get(f"place-{key}", 0)), count)
    with st.container(key=f"case-{key}", border=True):
        if place < count:
            case = answer.cases[place]
            st.caption(t("findings.place", at=amount(place + 1), of=amount(count), done=amount(len(decided))))
            st.subheader(escape(_title(case)), anchor=False)
            if case.section.text:
                st.write(escape(case.section.text))
            if case.section.figure:
                st.html(f"<div class='lapel-chart'>{_as_image(case.section.figure)}</div>")
            pictures(case.section.pictures)
            st.markdown(f"**{t(f'findings.ask_{key}')}**")
        else:
            case = None
            st.success(t("findings.all_decided", n=count), icon=":material/check_circle:")
        with st.container(horizontal=True, vertical_alignment="center"):
            for decision, shortcut in DECISIONS.items() if case else ():
                told = partial(refused, [each.title for each in case.section.pictures]) if refused and case else None
                st.button(
                    t(f"findings.{decision}"),
                    shortcut=shortcut,
                    key=f"{decision}-{key}",
                    on_click=_next,
                    args=(key, place, decision),
                    kwargs={"told": told if decision == "no" else None},
                )
            st.button(
                t("findings.back"),
                shortcut=BACK,
                key=f"back-{key}",
                disabled=not place,
                on_click=_back,
                args=(key, place),
            )


def _summary(text: str) -> None:
    """What was found; where it takes many sentences, the first of them, and the rest to be opened."""
    first, _, rest = text.partition(". ")
    if len(text) <= LONG or not rest:
        st.write(escape(text))
        return
    st.write(escape(f"{first}."))
    with st.expander(t("findings.about")):
        st.write(escape(rest))


def _as_image(figure: str) -> str:
    """A drawing whose SVG is an image, as Streamlit takes SVG itself out of a page's HTML."""
    found = SVG.search(figure)
    if found is None:
        return figure
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'{found['rest']}".replace(">", f"><style>{CHART}</style>", 1)
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    label = re.search('aria-label="([^"]*)"', svg)
    return figure.replace(found[0], f'<img src="{source}" alt="{label[1] if label else ""}">')


def _title(case: Case) -> str:
    """What a case is, in the visitor's language."""
    row = case.rows[0]
    if "suggested" in row:
        return f"{field_name(row['field'])}: {row['has'] or t('findings.nothing')} → {row['suggested']}"
    if "group" in row:
        return t(f"findings.kind_{str(row['kind']).replace(' ', '_')}")
    if "problems" in row:
        names = [known_text(f"check.{each.replace(' ', '_')}") or each for each in row["problems"].split(", ")]
        return ", ".join(names).capitalize()
    return case.section.title


def pictures(shown: Sequence[Picture]) -> None:
    """Pictures beside each other, each with what is said of it and a link to its product."""
    st.html(f"<ul class='lapel-pictures' role='list'>{''.join(map(_picture, shown[:PICTURES]))}</ul>")
    if len(shown) > PICTURES:
        st.caption(t("findings.more_pictures", n=len(shown) - PICTURES))


def _picture(picture: Picture) -> str:
    title = html.escape(picture.title)
    if isinstance(picture.photo, int):
        source = f"thumbnail/{picture.photo}"
        title = title and f"<a href='product?id={quote(picture.title, safe='')}' target='_blank'>{title}</a>"
    else:
        source = f"data:image/webp;base64,{base64.b64encode(picture.photo).decode()}"
    lines = "".join(f"<span>{html.escape(line)}</span>" for line in picture.lines)
    alt = html.escape(picture.title, quote=True)
    return f"<li><img src='{source}' alt='{alt}' loading='lazy'>{title}{lines}</li>"


def _next(key: str, place: int, decision: str, told: Callable[[], None] | None = None) -> None:
    if told is not None:
        try:
            told()
        except LapelError as error:
            st.toast(escape(str(error)), icon=":material/error:")
            return
    st.session_state[f"decided-{key}"][place] = decision
    st.session_state[f"place-{key}"] = place + 1


def _back(key: str, place: int) -> None:
    st.session_state[f"place-{key}"] = place - 1


def _take_away(store: Store, answer: Answer, key: str, decided: Mapping[int, str]) -> None:
    """The table, and files of what was found and of what was decided."""
    with st.container(horizontal=True):
        if decided:
            download(t("findings.decisions"), _decisions(answer, decided), f"{key}-decisions")
            if isinstance(answer.found, LabelAudit | LabelFill) and "yes" in decided.values():
                accepted = _accepted(store, answer, decided)
                download(t("findings.accepted"), accepted, f"{key}-products", help=t("findings.accepted_help"))
        download(t("catalogue.download"), answer.csv, key)
    names = answer.found.columns()
    st.dataframe(
        {_column(name): [row[name] for row in answer.rows[:SHOWN]] for name in names},
        hide_index=True,
        alt=answer.found.summary(),
        key=f"t-{key}",
    )
    if len(answer.rows) > SHOWN:
        st.caption(t("findings.first_rows", shown=SHOWN, n=len(answer.rows)))


def _column(name: str) -> str:
    """A column in the visitor's language; files keep the names that programs know."""
    first, _, rest = name.partition(" ")  # such as "share 2016"
    known = known_text(f"column.{first}")
    return f"{known} {rest}".strip() if known else field_name(name)


def _decisions(answer: Answer, decided: Mapping[int, str]) -> str:
    rows = [
        {**row, "decision": decision} for place, decision in sorted(decided.items()) for row in answer.cases[place].rows
    ]
    return table_csv(rows)


def _accepted(store: Store, answer: Answer, decided: Mapping[int, str]) -> str:
    """The products whose suggestions were accepted, with these labels, as a table to add."""
    found = answer.found
    assert isinstance(found, LabelAudit | LabelFill)
    chosen = tuple(each for place, each in enumerate(found.suggestions) if decided.get(place) == "yes")
    with tempfile.TemporaryDirectory() as folder:
        return store.save_suggestions(replace(found, suggestions=chosen), folder, "accepted")[-1].read_text("utf-8")


def download(label: str, text: str | bytes, name: str, *, kind: str = "csv", key: str = "", help: str = "") -> None:
    """A button that gives a file away.

    The file is made before it is asked for: Streamlit removes one that is made when the button is pressed at the second
    run of anybody's page after it, which may be before the browser has come for it.
    """
    st.download_button(label, text, f"{name}.{kind}", f"text/{kind}", key=f"load-{name}{key}", help=help or None,
                       icon=":material/download:", on_click="ignore")  # fmt: skip


def table_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV, with the columns of the first."""
    listed = list(rows)
    stream = io.StringIO()
    table = csv.DictWriter(stream, list(listed[0]) if listed else [])
    table.writeheader()
    table.writerows(listed)
    return stream.getvalue()
