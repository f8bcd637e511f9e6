"""The jobs of the store, live: how far each is, what came of it, what it could not use and how to mend that. They are
rows of the catalogue, so a reload, another browser and a restarted server see the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import streamlit as st

from lapel.apps.ui.findings import download
from lapel.apps.ui.lang import amount, known_text, t
from lapel.apps.ui.selection import escape, sentence
from lapel.apps.ui.work import bar, show_live
from lapel.service import Store

SHOWN = 20
ROWS = 1000  # rejected rows that are shown; all can be downloaded
ICONS = {"queued": "⏳", "running": "⏳", "done": "✓", "failed": "✗", "cancelled": "–"}


def show_jobs(store: Store) -> None:
    """Show the last jobs; those under way are looked at again by themselves."""

    def ended(jobs: Sequence[Any]) -> bool:
        return all(job.ended for job in jobs)

    def show(jobs: Sequence[Any]) -> None:
        for job in jobs:
            _job(store, job)

    jobs = store.jobs.list(SHOWN)
    if not jobs:
        st.caption(t("jobs.none"))
        return
    show_live(ended(jobs), lambda: store.jobs.list(SHOWN), ended, show)


def _job(store: Store, job: Any) -> None:
    what = t(f"jobs.kind_{job.kind}")
    title = f"{ICONS[job.state]} {what} · {t(f'jobs.state_{job.state}')} · {job.created_at[:16].replace('T', ' ')}"
    with st.expander(title, expanded=not job.ended):
        if source := job.request.get("source") or job.request.get("spec"):
            st.caption(escape(str(source)))
        if not job.ended:
            bar(job.done, job.total)
            if st.button(t("work.stop"), key=f"cancel-{job.id}", disabled=job.cancel):
                store.jobs.cancel(job.id)
        if job.error:
            st.error(sentence(str(job.error.get("message", ""))), icon=":material/error:")
        counts = {name: value for name, value in job.result.items() if isinstance(value, int) and value}
        if counts:
            st.write(" · ".join(f"{amount(value)} {escape(_counted(name))}" for name, value in counts.items()))
        if job.kind in ("feed", "add"):
            _rejected(store, job.id)


def _counted(name: str) -> str:
    """What a figure of a job counts."""
    return known_text(f"count.{name}") or name.replace("_", " ")


def _rejected(store: Store, job_id: str) -> None:
    text = store.jobs.errors_csv(job_id)
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        return
    st.warning(t("jobs.rejected", n=len(rows)), icon=":material/broken_image:")
    st.dataframe(rows[:ROWS], hide_index=True, alt=t("jobs.rejected_table"), key=f"rejected-{job_id}")
    left_out = store.jobs.left_out_csv(job_id)
    with st.container(horizontal=True):
        download(t("jobs.reasons"), text, "rejected", key=job_id)
        if left_out:
            download(t("jobs.rows"), left_out, "rows-to-mend", key=job_id)
    st.caption(t("jobs.mend_rows" if left_out else "jobs.mend"))
