"""The web page: which command starts it, and starting it. The page itself is ``app/page.py``, which only Streamlit
runs.

In go a shop folder, a host and a port; out comes a running server that talks to nobody but its visitors.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from lapel.core.errors import InputError, LapelError, MissingDependencyError

__all__ = ["command", "free_port", "serve", "surroundings"]

PAGE = Path(__file__).parent / "app" / "page.py"
UPLOAD_MB = 200  # what the server takes at all; the page itself takes less and says so in a sentence
START_SECONDS = 60.0  # Streamlit is up after 2 to 5 on an idle machine
PORTS_TRIED = 100
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Paper and ink, so that the goods are the only colour on the page; the accent is a lining red. Contrasts are AA or
# better, also of captions, which Streamlit writes with 60 % of the ink.
THEME = {
    "theme.font": "sans-serif",
    "theme.headingFont": "serif",
    "theme.baseRadius": "6px",
    "theme.buttonRadius": "full",
    "theme.showWidgetBorder": "true",
    "theme.light.primaryColor": "#7a2636",
    "theme.light.backgroundColor": "#fdfcfa",
    "theme.light.secondaryBackgroundColor": "#f5f2ee",
    "theme.light.textColor": "#0f0d0c",
    "theme.light.borderColor": "#ddd7ce",
    "theme.light.linkColor": "#7a2636",
    "theme.dark.primaryColor": "#eaa3b0",
    "theme.dark.backgroundColor": "#151412",
    "theme.dark.secondaryBackgroundColor": "#211f1c",
    "theme.dark.textColor": "#f2efe9",
    "theme.dark.borderColor": "#3b3732",
    "theme.dark.linkColor": "#eaa3b0",
}


def command(store: str | Path, *, host: str = "127.0.0.1", port: int = 8501, headless: bool = True) -> list[str]:
    """The command line that serves the page of one shop.

    Args:
        store: The shop folder; it need not exist yet, the page says how to fill it.
        host: The address to listen on. Only ``127.0.0.1`` keeps it on this machine.
        port: The TCP port.
        headless: Don't open a browser.

    Raises:
        MissingDependencyError: Streamlit is not installed.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise MissingDependencyError("The web page needs streamlit. Run: pip install 'lapel[ui]'")
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": str(headless).lower(),
        "server.fileWatcherType": "none",
        "server.maxUploadSize": str(UPLOAD_MB),
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": _address(host),
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.level": "warning",
        **THEME,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "lapel.apps.ui.launch", "run", str(PAGE), *flags, "--", str(store)]


def free_port(host: str, port: int) -> int:
    """The first port from ``port`` on that nobody listens on; 0 lets the system choose.

    Raises:
        InputError: the address is not one of this machine's, or no port is free.
    """
    if not 0 <= port <= 65_535:
        raise InputError(f"A port is 0 to 65,535; found {port:,}. Choose another with --port.")
    for candidate in range(port, min(port + PORTS_TRIED, 65_536)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, candidate))
                return int(probe.getsockname()[1])
        except PermissionError as error:
            raise InputError(
                f"Port {candidate} needs more rights than you have. Use one above 1023, such as 8501."
            ) from error
        except socket.gaierror as error:
            raise InputError(
                f"The host '{host}' is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all."
            ) from error
        except OSError as error:
            last = error
    raise InputError(f"No port from {port} to {candidate} can be used on {host}: {last}. Choose another with --port.")


def surroundings(host: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the server's process: passwords never stand on a command line, which others can see.

    Where other machines can reach the page and nothing is asked of them, they may look and not manage.

    Args:
        host: The address to listen on.
        given: Settings that were given by hand, by the names of their variables.
    """
    wanted = {**os.environ, **(given or {})}
    asks = any(wanted.get(f"LAPEL_UI_{name}") for name in ("PASSWORD", "LOOK_PASSWORD", "USER_HEADER", "ROLE"))
    if not asks and host not in LOOPBACK:
        wanted["LAPEL_UI_ROLE"] = "look"
    return wanted


def serve(
    store: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    headless: bool = True,
    given: Mapping[str, str] | None = None,
) -> int:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        store: The shop folder.
        host: The address to listen on.
        port: The TCP port, or the next free one.
        headless: Don't open a browser.
        given: Settings of the server, such as ``{"LAPEL_UI_PASSWORD": "..."}``.

    Returns:
        The server's exit status; 0 when a person stopped it.

    Raises:
        MissingDependencyError: Streamlit is not installed.
        InputError: no port can be used.
        LapelError: the server did not answer in time.
    """
    chosen = free_port(host, port)
    if port and chosen != port:
        print(f"Port {port} is taken; using {chosen}.", flush=True)
    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        stopped.append(number)
        server.terminate()

    environment = surroundings(host, given)
    server = _start(command(store, host=host, port=chosen, headless=headless), environment)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # A port that was free a moment ago may be gone when the server, seconds later, asks for it: any program may get
        # it meanwhile.
        while not (up := _wait(server, _address(host), chosen)) and not stopped and server.poll() is not None:
            other = free_port(host, chosen)
            if other == chosen:
                break
            print(f"Port {chosen} was taken meanwhile; using {other}.", flush=True)
            chosen = other
            server = _start(command(store, host=host, port=chosen, headless=headless), environment)
        if up:
            print(f"Lapel shows {store} at http://{_address(host)}:{chosen} - stop it with Ctrl-C.", flush=True)
        elif not stopped:
            raise LapelError(f"The page did not start on port {chosen}; the lines above say why. Try another --port.")
        status = server.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if server.poll() is None:
            server.terminate()
            server.wait()
    return 0 if stopped else status


def _start(line: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own, so that a terminal's Ctrl-C reaches the server once: through us. Streamlit greets on stdout
    # in its own words; what goes wrong comes on stderr and stays visible.
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, env=environment, start_new_session=os.name == "posix")


def _address(host: str) -> str:
    """Where a browser on this machine finds a server that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _wait(server: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Whether the server answered before it ended or the time was over."""
    # No proxy: it could not reach this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(f"http://{host}:{port}/_stcore/health", timeout=2):
                return True
        except OSError:
            time.sleep(0.1)
    return False
