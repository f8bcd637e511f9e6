"""Status: what the shop holds and how it is, how fast it answers, which versions run, and what to mend."""

from __future__ import annotations

import platform
import time
from importlib import metadata

import numpy as np
import streamlit as st

from lapel import __version__
from lapel.apps.ui import shell, state
from lapel.apps.ui.access import may_manage
from lapel.apps.ui.lang import amount, t
from lapel.apps.ui.selection import escape
from lapel.service import Overview, Store, StoreInfo, list_settings

ASKED = 20  # searches that the speed is measured with
LIBRARIES = ("streamlit", "faiss-cpu", "onnxruntime", "numpy", "Pillow")


def show(store: Store, _: Overview) -> str:
    """Show how the shop is."""
    state.invalidate()
    info = store.info()
    st.header(t("status.title"), anchor=False)
    warnings = _warnings(store, info)
    if not warnings:
        st.success(t("status.fine"), icon=":material/check_circle:")
    for what, mend in warnings:
        st.warning(f"{escape(what)}\n\n{t('status.mend')} `{mend}`", icon=":material/build:")
    _sizes(info)
    _speeds(store, info)
    with st.expander(t("status.versions"), icon=":material/numbers:"):
        rows = {"lapel": __version__, "python": platform.python_version(), **_versions()}
        st.table({t("status.what"): list(rows), t("status.version"): list(rows.values())})
    if may_manage():
        with st.expander(t("status.settings"), icon=":material/settings:"):
            rows_ = list_settings()
            st.dataframe(
                {
                    t("status.what"): [row.variable for row in rows_],
                    t("status.value"): [row.value for row in rows_],
                    t("status.origin"): [row.origin for row in rows_],
                    t("status.meaning"): [row.meaning for row in rows_],
                },
                hide_index=True,
                alt=t("status.settings"),
            )
    return t("status.title")


def _sizes(info: StoreInfo) -> None:
    figures = {
        "products": amount(info.products),
        "photos": amount(info.photos),
        "searched": amount(info.searched),
        "bytes": f"{amount(info.bytes / 1e6, 1)} MB",
        "thumbnails": f"{amount(info.thumbnails['bytes'] / 1e6, 1)} MB",
        "revision": amount(info.revision),
    }
    with st.container(horizontal=True, gap="medium"):
        for name, value in figures.items():
            st.metric(t(f"status.{name}"), value, width="content")
    st.markdown(
        f"**{t('status.model')}** {escape(str(info.model['name'] or '–'))} · {info.model['dim'] or '–'} ·"
        f" `{info.model['fingerprint'] or '–'}`\n\n**{t('status.index')}** {escape(info.index_choice)}"
    )


def _speeds(store: Store, info: StoreInfo) -> None:
    st.subheader(t("status.speed"), anchor=False)
    if not info.searched:
        st.caption(t("status.no_speed"))
        return
    if st.button(t("status.measure", n=ASKED), key="measure"):
        with st.spinner(t("status.measuring")):
            st.session_state["speed"] = measure(store)
    if "speed" in st.session_state:
        middle, slow, parts = st.session_state["speed"]
        st.write(t("status.measured", p50=amount(middle, 1), p95=amount(slow, 1), n=ASKED))
        st.caption(" · ".join(f"{name} {amount(ms, 1)} ms" for name, ms in parts.items() if ms >= 0.05))


def measure(store: Store) -> tuple[float, float, dict[str, float]]:
    """Milliseconds of :data:`ASKED` searches by products: the median, the 95th percentile, and the median by stage."""
    products = [each.product.id for each in store.browse(limit=ASKED).products]
    store.search(product_id=products[0], k=40)  # the first one opens the index
    took, stages = [], []
    for product_id in products:
        begun = time.perf_counter()
        stages.append(store.search(product_id=product_id, k=40).timings)
        took.append(1000 * (time.perf_counter() - begun))
    names = dict.fromkeys(name for each in stages for name in each)
    parts = {name: float(np.median([each.get(name, 0.0) for each in stages])) for name in names}
    return float(np.median(took)), float(np.percentile(took, 95)), parts


def _warnings(store: Store, info: StoreInfo) -> list[tuple[str, str]]:
    """What is not as it should be, and the command that mends it."""
    found = []
    at = f"--store {store.folder}"
    if problem := info.index.problem:
        found.append((t("status.index_problem", why=problem), f"lapel index rebuild {at}"))
    shown = info.photos - info.hidden
    if info.searched < shown:
        found.append((t("status.no_vectors", n=shown - info.searched), f"lapel add PICTURES {at}"))
    for name, count in info.lacking.items():
        command = f"lapel media thumbnails {at}" if name.startswith("thumb") else f"lapel media features {at}"
        found.append((t("status.lacking", n=count, name=name), command))
    if info.unreachable:
        found.append((t("status.unreachable", n=info.unreachable), f"lapel media check {at}"))
    if store.read_only and may_manage():
        found.append((t("status.read_only"), f"chmod -R u+w {store.folder}"))
    return found


def _versions() -> dict[str, str]:
    known = {}
    for name in LIBRARIES:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


if __name__ == "__main__":
    shell.run(show, empty=True)
