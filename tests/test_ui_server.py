"""Starting and stopping the web page's server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

from lapel.apps import ui
from lapel.core.errors import InputError, LapelError, MissingDependencyError


def test_the_command_keeps_to_itself(tmp_path):
    line = ui.command(tmp_path / "my shop", host="127.0.0.1", port=8600)
    assert line[:4] == [sys.executable, "-m", "lapel.apps.ui.launch", "run"]
    assert {"--browser.gatherUsageStats=false", "--server.address=127.0.0.1", "--server.port=8600"} <= set(line)
    assert line[-2:] == ["--", str(tmp_path / "my shop")]


def test_nobody_is_asked_for_this_machines_address():
    code = """
from streamlit import config, net_util
from streamlit.web.server.server_util import is_url_from_allowed_origins
from lapel.apps.ui.launch import block_address_lookup
asked = []
net_util._make_blocking_http_get = lambda url, **options: asked.append(url)
block_address_lookup()
assert is_url_from_allowed_origins("http://localhost:8501")
assert not is_url_from_allowed_origins("https://elsewhere.example")
assert not asked, asked
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_streamlit_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(ui.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'lapel[ui]'")):
        ui.command(tmp_path)


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ui.free_port("127.0.0.1", port) > port
    with pytest.raises(InputError, match=r"no\.such\.host"):
        ui.free_port("no.such.host.invalid", 8501)


def check_pages_of_others(address: str) -> None:
    """All that is shown goes through one socket: a page of others whose name leads here (DNS rebinding) gets none."""
    stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    for origin, host in (("http://evil.example", "evil.example"), ("http://evil.example:80", "localhost")):
        headers = {"Host": host}
        with pytest.raises(InvalidStatus) as refused, connect(stream, origin=origin, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    with connect(stream, origin=address):
        pass


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_is_and_stops_when_told(tmp_path, number):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = f"from lapel.apps.ui import serve; raise SystemExit(serve({str(tmp_path)!r}, port={port}))"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Port {port} is taken; using ")
            lines = iter(process.stdout.readline, "")  # before it there may be one about a port taken meanwhile
            address = next(filter(None, (re.search(r"http://\S+", line) for line in lines)), None)
            assert address
            assert urlopen(f"{address[0]}/_stcore/health").read() == b"ok"
            check_pages_of_others(address[0])
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{address[0]}/_stcore/health")


def test_a_port_that_is_taken_while_the_server_starts_is_left(monkeypatch, tmp_path, capsys):
    """Streamlit asks for its port seconds after it was found free; on a busy machine another program has it by then."""
    code = """
import http.server, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.server.answered = True
    def log_message(self, *_): pass
with http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health) as server:
    server.answered = False
    while not server.answered: server.handle_request()
"""
    with socket.socket() as other:
        ports: list[int] = []

        def command(store: Path, *, host: str, port: int, headless: bool) -> list[str]:
            if not ports:  # right after the page has found it free
                other.bind((host, port))
            ports.append(port)
            return [sys.executable, "-c", code, str(port)]

        monkeypatch.setattr(ui, "command", command)
        start = ui.free_port("127.0.0.1", 0)
        assert ui.serve(tmp_path, port=start) == 0
    assert ports[0] == start
    assert ports[1] > start
    output = capsys.readouterr().out
    assert f"Port {start} was taken meanwhile; using {ports[1]}." in output
    assert f"at http://127.0.0.1:{ports[-1]} " in output


def test_a_server_that_ends_at_once_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(ui, "command", lambda *args, **options: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(LapelError, match="did not start"):
        ui.serve(tmp_path, port=ui.free_port("127.0.0.1", 0))
