"""The first visit, where there is no shop yet: one click fills it with a sample wardrobe, another one makes an empty
shop to add to.

The sample is drawn beside the shop's folder and added as a job of the store, as the page Catalogue adds; until it is
done, every page shows how far it is.
"""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st

from lapel.apps.ui import work
from lapel.apps.ui.lang import t
from lapel.apps.ui.selection import escape
from lapel.apps.ui.shops import open_shop, run_jobs
from lapel.core.errors import LapelError
from lapel.service import open_store

PRODUCTS = 160  # a quarter of those of ``lapel demo``: half a minute on two cores
LOOK_SECONDS = 0.5  # between two looks at the job


def sample_name(folder: Path) -> str:
    """What the work on the sample of a shop folder is called."""
    return f"sample {folder}"


def under_way(folder: Path) -> bool:
    """Whether the sample of a shop folder is being made; then how far it is has been shown."""
    found = work.find(sample_name(folder))
    if found is None or found.ended:
        return False
    with st.container(key="message"):
        st.header(t("first.drawing"), anchor=False)
        st.write(t("first.drawing_what"))
        work.show_progress(sample_name(folder))
    return True


def ways_to_begin(folder: Path) -> bool:
    """Buttons that make a shop in a folder where there is none. Returns whether an empty one was made."""
    name = sample_name(folder)
    work.show_progress(name)  # why the last try failed
    with st.container(horizontal=True, key="first"):
        if st.button(t("first.sample"), type="primary", icon=":material/checkroom:", key="first-sample"):
            work.start(name, lambda tell: _fill(folder, tell))
            st.rerun()
        if st.button(t("first.own"), icon=":material/add_photo_alternate:", key="first-own"):
            try:
                open_store(folder, create=True).close()
            except LapelError as error:
                st.error(escape(str(error)), icon=":material/error:")
                return False
            return True
    return False


def _fill(folder: Path, tell: work.Tell) -> None:
    """Draw the sample wardrobe beside a shop folder and add it."""
    from lapel.samples import CALIBRATION, draw_wardrobe

    drawn = draw_wardrobe(folder.with_name(f"{folder.name}-sample"), products=PRODUCTS, progress=tell)
    open_store(folder, create=True).close()
    store = open_shop(folder, write=True)
    run_jobs(store)
    job = store.jobs.add_source(str(drawn.folder.absolute() / "products.csv"))
    while not (now := store.jobs.get(job.id)).ended:
        tell(now.done, now.total or PRODUCTS)
        time.sleep(LOOK_SECONDS)
    if now.error:
        raise LapelError(str(now.error.get("message", "")))
    store.models.take_calibration(CALIBRATION)  # drawn pictures are no photos, and are judged by what they are
