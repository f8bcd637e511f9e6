"""Prove it: how often the answers on this very catalogue are right, with intervals and the worst queries as pictures;
the index against an exact search; one model against another; and what the words of the verdicts are worth here."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import streamlit as st
from PIL import Image

from lapel.apps.ui import shell, state, work
from lapel.apps.ui.gallery import JUDGED
from lapel.apps.ui.lang import amount, field_name, share, t
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError
from lapel.core.types import Filter
from lapel.service import EvalReport, IndexDifference, Overview, Store, Trial

FEW = 20  # queries, below which a category's interval says nothing
MODELS = ("default", "small")
SAMPLE = 1000  # vectors, or photos, that are looked at


def show(store: Store, overview: Overview) -> str:
    """Show the four proofs."""
    state.invalidate()
    st.header(t("prove.title"), anchor=False)
    st.write(t("prove.help"))
    names = ("recall", "exact", "models", "verdicts")
    for tab, name in zip(st.tabs([t(f"prove.{name}") for name in names]), names, strict=True):
        with tab:
            {"recall": _recall, "exact": _exact, "models": _models, "verdicts": _verdicts}[name](store, overview)
    return t("prove.title")


def _name(store: Store, what: str) -> str:
    return f"{what} {store.folder}"


# --- recall -----------------------------------------------------------------------------------------------------------


def _recall(store: Store, overview: Overview) -> None:
    st.write(t("prove.recall_help"))
    fields = ["category", *overview.fields, "id"]
    with st.form("recall-form", border=False):
        chosen = st.pills(
            t("prove.right_if"),
            fields,
            selection_mode="multi",
            default=["category"],
            key="rule",
            format_func=_field,
            help=t("prove.rule_help"),
        )
        where = st.text_input(t("prove.who_asks"), key="askers", placeholder="gender=Women, price<50")
        sent = st.form_submit_button(t("prove.run"), type="primary")
    name = _name(store, "evaluate")
    if sent and chosen:
        conditions = [each.strip() for each in where.split(",") if each.strip()]
        asking = Filter.parse(conditions)
        work.start(name, lambda tell: store.evaluate([",".join(chosen)], queries=asking, progress=tell))
    if work.show_progress(name) and (done := work.find(name)) is not None:
        _report(store, done.result)


def _field(name: str) -> str:
    return t("prove.same_product") if name == "id" else field_name(name)


def _report(store: Store, report: EvalReport) -> None:
    (result,) = report.rules
    if not result.measures:
        st.info(t("prove.no_query"))
        return
    with st.container(horizontal=True, gap="medium"):
        for name in ("recall@1", "recall@5", "recall@10", f"map@{report.depth}"):
            found = result.measures[name]
            with st.container(width="content", gap="xsmall"):
                st.metric(_measure(name), share(found.value, 1), width="content")
                st.caption(t("prove.interval", low=share(found.low, 1), high=share(found.high, 1)))
    left = result.without_value + result.without_relevant
    st.caption(t("prove.asked", n=result.used, left=amount(left), model=escape(report.model), index=report.index))
    rows = [each for each in result.categories if each.used >= FEW]
    if rows:
        names = ("recall@1", "recall@10", f"map@{report.depth}")
        table: dict[str, list[Any]] = {field_name("category"): [each.name for each in rows]}
        table[t("prove.queries")] = [each.used for each in rows]
        for measure in names:
            table[_measure(measure)] = [
                f"{share(each.measures[measure].value)} ({share(each.measures[measure].low)} –"
                f" {share(each.measures[measure].high)})"
                for each in rows
            ]
        st.dataframe(table, hide_index=True, alt=t("prove.by_category"))
    if report.worst:
        st.subheader(t("prove.worst"), anchor=False)
        _picture(store.contact_sheet(report), t("prove.worst_alt"))


def _measure(name: str) -> str:
    return name.replace("recall", "Recall").replace("map", "MAP")


def _picture(image: Image.Image, alt: str) -> None:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    data = base64.b64encode(stream.getvalue()).decode()
    st.html(f"<img class='lapel-sheet' alt='{html.escape(alt, quote=True)}' src='data:image/jpeg;base64,{data}'>")


# --- the index --------------------------------------------------------------------------------------------------------


def _exact(store: Store, _: Overview) -> None:
    st.write(t("prove.exact_help"))
    name = _name(store, "exact")
    if st.button(t("prove.run"), key="run-exact", type="primary"):
        work.start(name, lambda tell: _check(store, tell))
    if work.show_progress(name) and (done := work.find(name)) is not None:
        found, trials = done.result
        if found.agrees:
            st.success(t("prove.index_agrees", n=found.held, compared=amount(found.compared)))
        else:
            lacking, other = len(found.missing), len(found.surplus) + len(found.other)
            st.warning(t("prove.index_differs", missing=amount(lacking), other=amount(other)))
        if trials:
            st.dataframe([_trial_row(each) for each in trials], hide_index=True, alt=t("prove.exact"))
        else:
            st.caption(t("prove.index_is_exact", kind=store.index.kind))


def _check(store: Store, tell: work.Tell) -> tuple[IndexDifference, list[Trial]]:
    """Whether the index holds what the catalogue says; and what it finds of what an exact search finds, where it is
    approximate."""
    found = store.index.check(sample=SAMPLE)
    tell(1, None)
    measured = 0

    def tried(_: Trial) -> None:
        nonlocal measured
        measured += 1
        tell(1 + measured, None)

    try:
        tuning = store.index.tune(progress=tried)
    except LapelError:  # too few vectors to measure anything
        return found, []
    return found, list(tuning.trials)


def _trial_row(trial: Trial) -> dict[str, Any]:
    return {
        t("prove.kind"): trial.kind or trial.spec,
        "Recall@10": share(trial.recall, 1),
        "p50 ms": round(trial.p50_ms, 2),
        "p95 ms": round(trial.p95_ms, 2),
        t("prove.bytes"): round(trial.bytes_a_vector),
        t("prove.problem"): trial.problem,
    }


# --- models -----------------------------------------------------------------------------------------------------------


def _models(store: Store, _: Overview) -> None:
    st.write(t("prove.models_help"))
    current = store.models.current
    others = [each for each in MODELS if each != current.name]
    known = [each.model.encoder for each in store.models.list() if not each.active]
    with st.form("models-form", border=False):
        b = st.selectbox(t("prove.against", name=current.name), [*known, *others], accept_new_options=True, key="b")
        sent = st.form_submit_button(t("prove.run"), type="primary")
    name = _name(store, "compare")
    if sent and b:
        a = current.encoder
        work.start(
            name,
            lambda tell: store.models.compare(
                a, b, relevant=["category"], progress=lambda _, done, total: tell(done, total), ask=200, sample=SAMPLE
            ),
        )
    if work.show_progress(name) and (done := work.find(name)) is not None:
        found = done.result
        st.code(store.models.comparison_text(found), language=None)
        if found.changed:
            st.subheader(t("prove.changed"), anchor=False)
            _picture(store.models.comparison_sheet(found), t("prove.changed_alt"))


# --- verdicts ---------------------------------------------------------------------------------------------------------


def _verdicts(store: Store, _: Overview) -> None:
    st.write(t("prove.verdicts_help"))
    name = _name(store, "calibrate")
    if store.read_only:
        st.info(t("status.read_only"))
    elif st.button(t("prove.calibrate"), key="run-calibrate", type="primary"):
        work.start(name, lambda tell: store.models.calibrate(sample=SAMPLE, progress=tell))
    work.show_progress(name)
    told = store.models.calibration_report()
    if told is None:
        st.info(t("prove.no_calibration"))
        return
    names = {verdict.value: name for verdict, name in JUDGED.items()}
    for domain, shares in told["held"].items():
        for verdict, held in shares.items():
            if verdict in names:
                words = t(names[verdict])
                st.write(t(f"prove.held_{domain}", verdict=words, right=amount(100 * held)))
    st.caption(t("prove.calibrated", n=told["photos"]))


if __name__ == "__main__":
    shell.run(show, manage=True)
