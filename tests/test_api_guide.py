"""The examples of docs/api.md, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api_shop import COLOURS, fill, picture, serving_store

GUIDE = Path(__file__).parents[1] / "docs" / "api.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_example_runs_and_every_route_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = [
        each for each in re.findall(r"```bash\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL) if "curl" in each
    ]
    shop = fill(tmp_path)
    (tmp_path / "red.png").write_bytes(picture(COLOURS["red"]))
    (tmp_path / "feed.csv").write_text("id,title,pictures\nx,X,/etc/passwd\n")
    with serving_store(shop) as client:
        own = {"API": str(client.base_url).rstrip("/")}
        own["SHA256"] = client.get("/v1/products/red").json()["photos"][0]["sha256"]
        for example in examples:
            jobs = client.get("/v1/jobs").json()["jobs"]
            own["JOB"] = jobs[0]["id"] if jobs else ""
            # --json is of curl 7.82; the same in the words of older ones.
            line = re.sub(r"--json ('[^']*')", r"-H 'Content-Type: application/json' -d \1", example)
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=tmp_path,
                env={**os.environ, **own},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (example, done.stderr, done.stdout)
        (block,) = re.findall(r"```py\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
        monkeypatch.chdir(tmp_path)
        exec(compile(block.replace("http://127.0.0.1:8080", own["API"]), "api.md", "exec"), {})
        assert capsys.readouterr().out.startswith("1 ")
        paths = client.get("/openapi.json").json()["paths"]
    text = GUIDE.read_text("utf-8")
    for path in paths:
        assert re.search(re.sub(r"\\\{\w+\\\}", r"[^/\\s?\"]+", re.escape(path)), text), f"{path} has no example"
    assert (tmp_path / "thumbnail.jpg").read_bytes()[:2] == b"\xff\xd8"
