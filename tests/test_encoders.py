"""The encoder door: unit vectors, fingerprints, model folders and what is said when one is broken."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lapel
from lapel.core.errors import InputError, MissingDependencyError, ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import SHIPPED, Encoder, fastest, network, open_encoder, shipped_model
from lapel.encoders.fastest import open_fastest
from lapel.encoders.model import ModelFolder, Reference, fingerprint, read_model
from lapel.encoders.network import Network, NetworkEncoder, Output
from lapel.encoders.onnx import load_onnx
from lapel.encoders.openvino import load_openvino, open_openvino
from lapel.testing import EncoderContract


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (60, 80)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    image.paste(colour, (15, 20, 45, 60))
    return image


@cache
def opened(spec: str) -> NetworkEncoder:
    """One for all tests that are about what it computes: opening takes seconds."""
    encoder = open_encoder(spec)
    assert isinstance(encoder, NetworkEncoder)
    return encoder


@pytest.fixture(scope="module", autouse=True)
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], tuple[str, list[bytes], list[Path]]]]:
    """ONNX Runtime in a process of its own, since before the first test: which runtime that says it had, what came to
    the proxy that stands here, and what is in the process's home, some seconds after."""
    calls: list[bytes] = []
    home = tmp_path_factory.mktemp("onnx-home")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = server.accept()
                    calls.append(caller.recv(200))
                    caller.close()

        threading.Thread(target=listen, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        code = (
            "import time\n"
            "from lapel.encoders import open_encoder\n"
            "from PIL import Image\n"
            "encoder = open_encoder('onnx:small')\n"
            "encoder.encode([Image.new('RGB', (60, 80))])\n"
            "time.sleep(12)\n"
            "print(encoder.runtime.name)\n"
        )
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), proxy)
        environment = {**kept, **proxies, "HOME": str(home)}
        with subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:

            def after() -> tuple[str, list[bytes], list[Path]]:
                said, wrong = process.communicate()
                assert process.returncode == 0, wrong
                return said.strip(), calls, list(home.iterdir())

            yield after
            process.kill()


@cache
def reference_of(name: str) -> Reference:
    reference = read_model(shipped_model(name)).reference()
    assert reference is not None
    return reference


@cache
def encoded(spec: str) -> Vectors:
    """The pictures of the model's reference, encoded."""
    return opened(spec).encode_pixels(reference_of(spec.partition(":")[2]).pixels)


class TestColour(EncoderContract):
    def open(self) -> Encoder:
        return open_encoder("colour:")


class TestOpenVino(EncoderContract):
    def open(self) -> Encoder:
        return opened("openvino:default")  # a new one: test_a_copied_folder_is_the_same_model


class TestOnnxRuntime(EncoderContract):
    def open(self) -> Encoder:
        return opened("onnx:default")


class Mean(Encoder):
    """An encoder of one's own needs five properties and one method."""

    name, spec, dim, fingerprint, preprocessing = "mean", "mean:", 3, "0" * 16, Preprocessing(8, 6)

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        return normalise(256 - pixels.mean(axis=(1, 2)))


class TestMean(EncoderContract):
    def open(self) -> Encoder:
        return Mean()


def test_vectors_and_map_come_from_one_run_a_batch() -> None:
    runs = []

    def compute(part: Pixels, outputs: Sequence[str]) -> list[Output]:
        runs.append((len(part), *outputs))
        shapes = {"vectors": (len(part), 128), "spatial": (len(part), 128, 5, 4)}
        return [np.ones(shapes[name], np.float32) for name in outputs]

    encoder = NetworkEncoder(replace(opened("openvino:default").network, compute=compute), spec="")
    pixels = encoder.preprocessing.batch([picture((step * 6, 40, 120)) for step in range(40)])
    found = encoder.embed_pixels(pixels)
    assert found.spatial is not None
    assert (found.vectors.shape, found.spatial.shape) == ((40, 128), (40, 128, 5, 4))
    encoder.encode_pixels(pixels)
    assert runs == [(32, "vectors", "spatial"), (8, "vectors", "spatial"), (32, "vectors"), (8, "vectors")]


def test_a_network_without_vectors_is_no_encoder() -> None:
    with pytest.raises(ModelError, match=r"no output 'vectors', only mask.*no encoder"):
        open_encoder(str(shipped_model("foreground")))


def test_the_fingerprint_knows_weights_and_preprocessing() -> None:
    plain = Preprocessing(112, 84)
    first = fingerprint("weights", plain, 128)
    assert first == fingerprint("weights", Preprocessing(112, 84), 128)
    assert (
        len(
            {
                first,
                fingerprint("other", plain, 128),
                fingerprint("weights", Preprocessing(112, 84, resample="lanczos"), 128),
            }
        )
        == 3
    )


@pytest.mark.usefixtures("own_networks")
@pytest.mark.parametrize("name", SHIPPED)
def test_the_package_offers_it_on_the_fastest_there_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest, "has_nvidia_driver", lambda: False)
    encoder = lapel.open_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    assert (encoder.runtime.name, encoder.runtime.device, encoder.runtime.note) == ("openvino", "CPU", "")
    assert (encoder.spec, encoder.fingerprint) == (name, read_model(shipped_model(name)).fingerprint)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("scheme", ["openvino", "onnx"])
def test_a_shipped_network_agrees_with_the_one_that_was_trained(scheme: str, name: str) -> None:
    """``reference.npz`` holds the trained network's own float32 vectors of pictures of the sample wardrobe."""
    reference = reference_of(name)
    vectors = encoded(f"{scheme}:{name}")
    cosine = reference.cosines(vectors)
    assert cosine.min() > 0.95
    assert cosine.mean() > network.MIN_MEAN_COSINE[network.VECTORS]
    # What a search does with them: every picture is nearest to itself.
    assert (np.argmax(vectors @ reference.expected.T, axis=1) == np.arange(len(vectors))).mean() >= 0.9


@pytest.mark.parametrize(("scheme", "load"), [("openvino", load_openvino), ("onnx", load_onnx)])
@pytest.mark.parametrize("name", [*SHIPPED, "foreground"])
def test_where_8_bits_overflow_floats_take_over(
    name: str, scheme: str, load: Callable[[ModelFolder], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """x86 CPUs without VNNI compute other vectors in 8 bits.

    Here every CPU is taken for one, and gives the right ones in floats.
    """
    folder, reference = read_model(shipped_model(name)), reference_of(name)
    if name in SHIPPED:
        chosen, found = opened(f"{scheme}:{name}").network, encoded(f"{scheme}:{name}")
    else:
        chosen = load(folder)
        found = chosen.run(reference.pixels, reference.output)
    assert reference.cosines(found).mean() > 0.98
    monkeypatch.setitem(network.MIN_MEAN_COSINE, reference.output, 2.0)
    floats = chosen if chosen.runtime.in_float else load(folder)  # on such a CPU it was
    assert floats.runtime == replace(chosen.runtime, in_float=True)
    cosines = reference.cosines(floats.run(reference.pixels, reference.output))
    assert cosines.mean() > 0.996
    assert cosines.min() > 0.98


def test_a_model_without_reference_is_taken_to_be_right(copied: Path) -> None:
    (copied / "reference.npz").write_bytes(b"no pictures")
    assert read_model(copied).reference() is None
    assert open_encoder(f"openvino:{copied}").runtime.in_float is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_small_enough_to_ship(name: str) -> None:
    assert (shipped_model(name) / "network.onnx").stat().st_size < 30_000_000


def least_cosine(one: Vectors, other: Vectors) -> float:
    return float(np.einsum("nd,nd->n", one, other).min())


def test_how_far_the_same_model_moves_between_machines() -> None:
    """Another runtime, or bfloat16 where float32 was asked for: 8 bits round differently, but each picture stays
    nearest to itself.
    """
    chosen, pixels = encoded("openvino:default"), reference_of("default").pixels
    others = {
        "ONNX Runtime": encoded("onnx:default"),
        "bfloat16": open_openvino(str(shipped_model()), precision="bf16").encode_pixels(pixels),
    }
    for vectors in others.values():
        assert least_cosine(chosen, vectors) > 0.99
        assert (np.argmax(vectors @ chosen.T, axis=1) == np.arange(len(pixels))).all()


@pytest.mark.parametrize("scheme", ["openvino", "onnx"])
def test_the_number_of_threads_moves_nothing(scheme: str) -> None:
    pixels = reference_of("default").pixels[:8]
    many = os.cpu_count() or 1
    one, other = open_encoder(f"{scheme}:default", threads=1 if many > 1 else 2), opened(f"{scheme}:default")
    assert isinstance(one, NetworkEncoder)
    assert (one.runtime.threads, other.runtime.threads) == (1 if many > 1 else 2, many)
    assert least_cosine(one.encode_pixels(pixels), other.encode_pixels(pixels)) > 0.9999


def test_openvino_tells_nobody_writes_nothing_at_home_and_computes_in_float32(tmp_path: Path) -> None:
    """Any connection, and any thread that telemetry starts to make one, would be seen by the audit hook.

    The precision is asked of OpenVINO itself: left alone it takes bfloat16 on CPUs that have it.
    """
    code = (
        "import sys\n"
        "seen = []\n"
        "watched = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'urllib.Request', 'subprocess.Popen')\n"
        "sys.addaudithook(lambda event, args: seen.append(event) if event in watched else None)\n"
        "from lapel.encoders import open_encoder\n"
        "from PIL import Image\n"
        "import openvino\n"
        "compile, settings = openvino.Core.compile_model, set()\n"
        "def noted(self, *args):\n"
        "    found = compile(self, *args)\n"
        "    names = ('INFERENCE_PRECISION_HINT', 'INFERENCE_NUM_THREADS', 'NUM_STREAMS')\n"
        "    settings.add(str([found.get_property(name) for name in names]))\n"
        "    return found\n"
        "openvino.Core.compile_model = noted\n"
        "encoder = open_encoder('openvino:small', threads=1)\n"
        "encoder.encode([Image.new('RGB', (60, 80))])\n"
        "loaded = [name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]]\n"
        "print(encoder.runtime.name, seen, loaded, *settings)\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home)},
    )
    assert found.stdout.strip() == "openvino [] [] [<Type: 'float32'>, 1, 1]"
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("own_networks")
def test_a_driver_without_a_cuda_runtime_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest, "has_nvidia_driver", lambda: True)
    import onnxruntime

    wanted = "onnxruntime" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "openvino"
    assert open_fastest(str(shipped_model("small"))).runtime.name == wanted


@pytest.mark.usefixtures("own_networks")
def test_without_openvino_the_other_runtime_takes_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, small = encoded("openvino:small"), shipped_model("small")
    monkeypatch.setattr(fastest, "has_nvidia_driver", lambda: False)
    monkeypatch.delitem(sys.modules, "lapel.encoders.openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    encoder = open_fastest(str(small))
    assert encoder.runtime.name == "onnxruntime"
    assert "OpenVINO is not used" in encoder.runtime.note
    assert "openvino" in encoder.runtime.note
    assert encoder.spec == str(small)
    assert encoder.fingerprint == read_model(small).fingerprint
    assert least_cosine(encoder.encode_pixels(reference_of("small").pixels), expected) > 0.99
    with pytest.raises(MissingDependencyError, match=r"'openvino:' needs openvino.*pip install"):
        open_encoder("openvino:default")


@pytest.mark.usefixtures("own_networks")
def test_on_a_cpu_that_openvino_cannot_use_the_other_runtime_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("this CPU has no AVX2")

    monkeypatch.setattr(fastest, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(openvino.Core, "compile_model", fail)
    encoder = open_fastest(str(shipped_model("small")))
    assert encoder.runtime.name == "onnxruntime"
    assert "this CPU has no AVX2" in encoder.runtime.note
    with pytest.raises(ModelError, match=r"cannot be run by OpenVINO: this CPU has no AVX2"):
        open_encoder("openvino:default")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_model("small"), tmp_path / "model"))


def test_a_copied_folder_is_the_same_model(copied: Path) -> None:
    copy, original = open_encoder(f"openvino:{copied}"), opened("openvino:small")
    assert (copy.fingerprint, copy.dim) == (original.fingerprint, original.dim)
    assert (copy.spec, original.spec) == (f"openvino:{copied}", "openvino:small")


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ModelError, match=r"no model folder 'nowhere'.*'default'"):
        open_encoder("nowhere")


def test_a_folder_without_manifest_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model\.json"):
        open_encoder(str(tmp_path))


def test_a_cut_network_is_noticed(copied: Path) -> None:
    network = copied / "network.onnx"
    network.write_bytes(network.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"not the one model\.json was written for.*Copy"):
        open_encoder(str(copied))


def test_a_network_that_is_none_is_told(copied: Path) -> None:
    import hashlib

    (copied / "network.onnx").write_bytes(b"nothing")
    manifest = json.loads((copied / "model.json").read_text())
    manifest["sha256"] = hashlib.sha256(b"nothing").hexdigest()
    (copied / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="cannot be run"):
        open_encoder(str(copied))


@pytest.mark.parametrize("scheme", ["onnx", "openvino"])
def test_a_named_runtime_needs_a_folder_too(scheme: str) -> None:
    with pytest.raises(ModelError, match="no model folder 'nowhere'"):
        open_encoder(f"{scheme}:nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "reads format 1"),
        ({"dim": "wide"}, "cannot be read"),
        ({"preprocessing": {"height": 0, "width": 3}}, "positive size"),
    ],
)
def test_a_wrong_manifest_is_told(copied: Path, change: dict[str, object], message: str) -> None:
    manifest = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ModelError, match=message):
        open_encoder(str(copied))


def test_an_unknown_scheme_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"No encoder is called 'magic:'.*colour:.*onnx:.*openvino:"):
        open_encoder("magic:9")


def test_the_colour_encoder_has_no_settings() -> None:
    with pytest.raises(InputError, match="no settings"):
        open_encoder("colour:64")


def test_an_interrupt_is_an_interrupt_after_networks_came_and_went() -> None:
    """And no segmentation fault: the runtime replaces the stack that signals are handled on."""
    code = (
        "import gc, signal\n"
        "from lapel.encoders import shipped_model\n"
        "from lapel.encoders.openvino import load_openvino\n"
        "from lapel.encoders.model import read_model\n"
        "folder = read_model(shipped_model('foreground'))\n"
        "first, second = load_openvino(folder), load_openvino(folder)\n"
        "del first; gc.collect(); del second; gc.collect()\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_onnx_runtime_tells_nobody(told: Callable[[], tuple[str, list[bytes], list[Path]]]) -> None:
    """It would by itself, ten seconds after a session began, and from C++, where no audit hook sees it; through a
    proxy. It says nothing either where it finds itself in a CI, so that process's environment is not one."""
    assert told() == ("onnxruntime", [], [])
