"""The server of the page: Streamlit's, with the routes of pictures beside it, who may look, and allowed hosts.

``python -m lapel.apps.ui.launch run PAGE --server.port=8501 ... -- STORE`` starts it.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapel.service import settings

if TYPE_CHECKING:
    from starlette.middleware import Middleware

logger = logging.getLogger(__name__)
FREEZE_SECONDS = 10.0  # a full collection takes .1 to .2 s with a large store


def block_address_lookup() -> None:
    """Let this machine's external address be unknown without asking anyone; connections from other sites are then
    refused.

    Streamlit asks checkip.amazonaws.com when it listens on every address, and when a page of another site connects. No
    option stops it.
    """
    from streamlit import net_util

    net_util.get_external_ip = lambda: None


def read_arguments(line: list[str]) -> tuple[Path, dict[str, Any], Path]:
    """The page, the options of Streamlit and the shop folder of a command line.

    >>> read_arguments(["run", "page.py", "--server.port=8501", "--server.headless=true", "--", "shop"])
    (PosixPath('page.py'), {'server.port': 8501, 'server.headless': True}, PosixPath('shop'))
    """
    split = line.index("--")
    page, *flags = line[1:split]
    options = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    return Path(page), {name: _value(text) for name, text in options.items()}, Path(line[split + 1])


def _value(text: str) -> Any:
    return {"true": True, "false": False}.get(text, int(text) if text.isdecimal() else text)


def middleware() -> list[Middleware]:
    """What a request passes before the page: allowed hosts, who may look, and whether anything is at its address."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from lapel.apps.ui.access import Access, AccessMiddleware
    from lapel.apps.ui.plain_page import UnknownAddressMiddleware

    found = []
    if hosts := settings().ui_hosts:
        found.append(
            Middleware(TrustedHostMiddleware, allowed_hosts=[*hosts, "127.0.0.1", "localhost"], www_redirect=False)
        )
    access = Access.of_process()
    if access.asks:
        found.append(Middleware(AccessMiddleware, access=access))
    found.append(Middleware(UnknownAddressMiddleware))
    return found


def show_sentence(error: Exception) -> bool:
    """A visitor sees a sentence, the log the rest."""
    import streamlit as st

    from lapel.apps.ui.lang import t

    logger.error("The page failed", exc_info=error)
    st.error(t("error.unexpected", kind=type(error).__name__), icon=":material/error:")
    return True


def keep_collections_short() -> None:
    """Spare what lives long, such as modules and what the store keeps, from Python's garbage collector.

    Streamlit collects all garbage after every run of the page, and going through a large store's objects takes longer
    than the run. What is there is frozen from time to time; before that, what became garbage meanwhile is collected.
    """

    def loop() -> None:
        while True:
            time.sleep(FREEZE_SECONDS)
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    threading.Thread(target=loop, name="lapel-page-gc", daemon=True).start()


def main() -> None:
    """Run the server with this process's arguments."""
    import streamlit as st

    from lapel.apps.ui.access import Access
    from lapel.apps.ui.routes import routes

    page, options, store = read_arguments(sys.argv[1:])
    block_address_lookup()
    keep_collections_short()
    sys.argv = [sys.argv[0], str(store)]
    access = Access.of_process()
    write = access.asks or access.role == "manage"
    st.App(page, routes=routes(store, write=write), middleware=middleware(), on_script_error=show_sentence).run(
        config=options
    )


if __name__ == "__main__":
    main()
