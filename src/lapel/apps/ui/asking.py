"""The ways in: a box that takes words, links, and pictures that are dropped or pasted; a drop zone; and a camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from lapel.apps.ui import state
from lapel.apps.ui.asked import MAX_WORDS, Asked
from lapel.apps.ui.lang import t
from lapel.apps.ui.picture_cache import MINUTES, PICTURES, look_at
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError
from lapel.core.types import is_web_address
from lapel.service import Store, fetch_image, settings

MAX_MB = 20  # of a picture's file: a phone's photo has 3 to 12
LINK_SECONDS = 10.0  # a person waits for it


def ask_box(store: Store, *, refine: bool) -> None:
    """The box: words, a link to a picture, or pictures, and the camera beside it.

    Args:
        store: Whose model encodes pictures.
        refine: Whether what comes is added to what is asked already.
    """
    with st.container(key="ask", horizontal=True, vertical_alignment="center", gap="small"):
        given = st.chat_input(
            t("ask.refine" if refine else "ask.placeholder"), key="box", accept_file="multiple", max_chars=MAX_WORDS
        )
        with st.popover(t("ask.camera"), icon=":material/photo_camera:", key="camera-popover"):
            shot = st.camera_input(t("ask.camera"), key="camera", label_visibility="collapsed", resolution="1080p")
            st.caption(t("ask.camera_help"))
    if shot is not None and st.session_state.get("shot") != shot.file_id:
        st.session_state["shot"] = shot.file_id
        begin(store, shot.getvalue, t("ask.your_photo"))
    if given:
        _take(store, given)


def _take(store: Store, given: Any) -> None:
    words = given if isinstance(given, str) else given.text
    files = [] if isinstance(given, str) else list(given.files)
    words = " ".join((words or "").split())
    if files:
        _take_first(store, files, "" if is_web_address(words) else words)
    elif is_web_address(words):
        private = settings().allow_private_links
        begin(store, lambda: fetch_image(words, timeout=LINK_SECONDS, allow_private=private), t("ask.linked"))
    elif words:
        state.ask(replace(state.asked(), text=words, anyway=False))
        st.rerun()


def drop_zone(store: Store) -> None:
    """The drop zone of the start page: a picture is searched with as soon as it is there."""
    # No list of suffixes: Streamlit would refuse the others with a red chip and no reason. Decoding says what is no
    # image.
    files = st.file_uploader(t("ask.drop"), key="upload", max_upload_size=MAX_MB, accept_multiple_files=True)
    st.caption(f"{t('ask.kept', minutes=MINUTES)} {t('ask.formats', mb=MAX_MB)}")
    seen: set[str] = st.session_state.setdefault("uploaded", set())
    new = [file for file in files if file.file_id not in seen]
    st.session_state["uploaded"] = {file.file_id for file in files}
    if new:
        _take_first(store, new, "")


def _take_first(store: Store, files: Sequence[Any], words: str) -> None:
    """Ask with the first of several files, and say so: a toast stays when the answer is drawn."""
    if len(files) > 1:
        st.toast(t("ask.one_picture", n=len(files)), icon=":material/filter_1:")
    _take_file(store, files[0], words)


def _take_file(store: Store, file: Any, words: str) -> None:
    if file.size > MAX_MB * 10**6:
        st.error(
            t("ask.too_large", name=escape(file.name), size=f"{file.size / 10**6:.1f}", mb=MAX_MB),
            icon=":material/broken_image:",
        )
        return
    begin(store, file.getvalue, t("ask.your_photo"), words)


def begin(store: Store, read: Callable[[], bytes], label: str, words: str = "") -> None:
    """Ask with a picture, in the place of one that was asked with before, or say why not.

    Args:
        store: Whose model encodes it.
        read: Brings the bytes of its file; may take seconds.
        label: What it is called.
        words: What was typed beside it.
    """
    try:
        with st.spinner(t("ask.looking")):
            token = PICTURES.put(look_at(store, read(), label))
    except LapelError as error:
        st.error(f"**{t('ask.refused')}** {escape(str(error))}", icon=":material/broken_image:")
        return
    now = state.asked()
    state.ask(replace(now, photo=token, box=None, whole=False, text=words or now.text, anyway=False))
    st.rerun()


def forgotten(asked: Asked) -> None:
    """The address names a picture that the server has forgotten: what to do."""
    st.warning(t("ask.forgotten", minutes=MINUTES), icon=":material/hourglass_disabled:")
    st.button(t("ask.go_on_without"), key="drop-photo", on_click=lambda: state.ask(asked.without("photo")))
