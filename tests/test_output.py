"""What the command line prints: on a terminal, into a pipe, in any encoding, and when something is wrong."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lapel import Product
from lapel.apps.cli import console as output
from lapel.apps.cli import main
from lapel.apps.cli.console import print_json, print_table, say
from lapel.apps.ui import free_port
from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import InputError, LapelError
from lapel.core.text import counted, fold, printable, shortened
from lapel.engine.context import open_context

EVIL = "nope\\[/b][red].jpg"
LONG_TITLE = "A dress with a very long name that no terminal holds, " * 5 + "really"
PRODUCTS = (
    Product("W1", LONG_TITLE, category=("Apparel", "Dresses"), colour="Red", price_minor=1500, currency="USD"),
    Product("W2", "Smile \U0001f600", price_minor=1000, currency="JPY", url="https://shop.example/2"),
    Product("W3", "Bell\x07 and \x1b[31mred\x1b]0;title\x07\tlist\nend", attributes={"size": "S|M", "[/b]": "[red]"}),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three products, whose pictures are one pixel grid each."""
    folder = tmp_path_factory.mktemp("store") / "shop"
    with open_context(folder, create=True, encoder="colour:") as store:
        store.claim()
        entries = []
        for number, product in enumerate(PRODUCTS):
            vector = np.zeros(128, np.float32)
            vector[: number + 1] = 1 / np.sqrt(number + 1)
            entries.append(Entry(product, (PhotoEntry(f"file:///{product.id}.jpg", "s", f"{number}" * 64, vector),)))
        encoder = store.encoder
        store.catalog.write(entries, fingerprint=encoder.fingerprint)
        _ = store.index
    return folder


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lapel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``lapel ARGUMENTS`` in this process: exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lapel", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        with warnings.catch_warnings():
            try:
                main()
            except SystemExit as done:
                code = int(done.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def table(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


# --- into a pipe ------------------------------------------------------------------------------------------------------


def test_a_piped_search_has_whole_rows(lapel: Run, shop: Path) -> None:
    code, out, err = lapel("search", "--product", "W2", "--store", shop)
    assert code == 0
    assert table(out) == [
        ["rank", "score", "id", "title", "category", "colour", "price"],
        ["1", "0.816", "W3", "Bell  and red list end", "", "", ""],
        ["2", "0.707", "W1", LONG_TITLE, "Dresses", "Red", "15.00 USD"],
    ]
    assert err == "Look-alikes of W2\n"


def test_colours_that_are_forced_change_no_row(shop: Path) -> None:
    line = [sys.executable, "-c", "from lapel.apps.cli import main; main()", "search", "--product", "W2"]
    done = subprocess.run(
        [*line, "--store", str(shop)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "60"},
    )
    assert table(done.stdout)[2] == ["2", "0.707", "W1", LONG_TITLE, "Dresses", "Red", "15.00 USD"]


def test_piped_tables_of_other_commands(lapel: Run, shop: Path) -> None:
    listed = table(lapel("model", "list", "--store", shop)[1])
    assert listed[0] == ["state", "name", "fingerprint", "dim", "photos", "opened with"]
    assert listed[1][:2] + listed[1][3:] == ["in use", "colour", "128", "3 of 3", "colour:"]
    said = lapel("info", "--store", shop)[1]
    assert "3 products, 3 photos, 3 vectors" in said
    assert "price\t15.00 to 15.00 USD\n" in said
    assert "price\t1,000 to 1,000 JPY\n" in said
    said = lapel("evaluate", "--relevant", "colour", "--store", shop)[1]
    assert ["queries", "0"] in table(said)


def test_prices_of_several_currencies(lapel: Run, shop: Path) -> None:
    facts = json.loads(lapel("info", "--store", shop, "--json")[1])
    assert facts["prices"] == {"JPY": [1000.0, 1000.0], "USD": [15.0, 15.0]}
    assert facts["fields"] == {}
    ask = ["--where", "price<100"]
    code, out, err = lapel("search", "--product", "W3", "--store", shop, *ask)
    assert (code, out) == (1, "")
    assert err == (
        "Error: The filter price<100 compares prices, and there are prices in JPY, USD. Say which: 'price<100 JPY',"
        " or add currency=JPY\n"
    )
    for more in (["--where", "price<100 USD"], [*ask, "--where", "currency=usd"]):
        found = json.loads(lapel("search", "--product", "W3", "--store", shop, "--json", *more)[1])["hits"]
        assert [hit["product"]["id"] for hit in found] == ["W1"]
    code, _, err = lapel("evaluate", "--relevant", "colour", "--queries", "price<100", "--store", shop)
    assert (code, "there are prices in JPY, USD" in err) == (1, True)
    code, _, err = lapel("search", "--product", "W3", "--store", shop, "--where", "currency=EUR")
    assert (code, "no product has. There are prices in JPY, USD." in err) == (1, True)


def test_nothing_is_markup_and_nothing_reaches_the_terminal(lapel: Run, shop: Path) -> None:
    for arguments in (
        ["search", EVIL, "--store", shop],
        ["search", "--product", EVIL, "--store", shop],
        ["search", "--product", "W1", "--where", f"title={EVIL}", "--store", shop],
        ["search", "--product", "W1", "--where", f"{EVIL}=1", "--store", shop],
        ["info", "--store", shop.parent / EVIL],
        ["remove", EVIL, "--store", shop],
        ["add", EVIL, "--store", shop],
        ["evaluate", "--relevant", EVIL, "--store", shop],
        ["evaluate", "--relevant", "colour", "--contact-sheet", shop / "no" / EVIL / "x.png", "--store", shop],
        ["model", "use", EVIL, "--store", shop],
        ["model", "compare", EVIL, "default", "--store", shop],
        ["index", "use", EVIL, "--store", shop],
        ["media", "move", EVIL, "/new", "--store", shop],
    ):
        code, out, err = lapel(*arguments)
        assert EVIL in out + err, arguments
        assert code in (0, 1), arguments
        code, out, err = lapel(*(str(text).replace(EVIL, "a\x1b[2Jb\rc") for text in arguments))
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", (out + err).replace("\n", "")), arguments


def test_no_module_of_the_command_line_writes_markup() -> None:
    """Markup and texts of a shop do not go together: what is printed is printed by console.say and its sisters."""
    folder = Path(output.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert (
            not re.search(r"rich\.markup|\[/\]|\[bold|\[yellow\]|\[red\]|\.print\(", text) or path.name == "console.py"
        )


@pytest.mark.parametrize("arguments", ["info", "info --json", "model list"])
def test_a_reader_that_has_read_enough(shop: Path, arguments: str) -> None:
    line = f"{sys.executable} -c 'from lapel.apps.cli import main; main()' {arguments} --store {shop}"
    # The reader is gone before the first line comes.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for environment in (buffered, {**buffered, "PYTHONUNBUFFERED": "1"}):
        done = subprocess.run(
            ["bash", "-c", f"{line} | true; echo ${{PIPESTATUS[0]}}"],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", [["search", "--product", "W1"], ["search", "--product", "W1", "--json"]])
def test_letters_that_the_terminal_lacks(
    shop: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, arguments: list[str]
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    monkeypatch.setattr(sys, "argv", ["lapel", *arguments, "--store", str(shop)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    text = written.getvalue().decode(encoding)
    if "--json" in arguments:
        assert "Smile \U0001f600" in [hit["product"]["title"] for hit in json.loads(text)["hits"]]
    else:
        assert "W2\tSmile ?\t" in text


# --- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 60 columns."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(
        output, "console", output._Output(file=screen, force_terminal=True, width=60, color_system=None)
    )
    return screen


def test_a_terminal_cuts_the_title_and_nothing_else(terminal: io.StringIO, lapel: Run, shop: Path) -> None:
    lapel("search", "--product", "W2", "--store", shop)
    lines = re.sub("\x1b[^m]*m", "", terminal.getvalue()).splitlines()
    assert lines[0] == "Look-alikes of W2"
    assert lines[1].split() == ["rank", "score", "id", "title", "category", "colour", "price"]
    assert re.fullmatch(r"   2  0\.707  W1  A dress .*…  Dresses   Red     15\.00 USD", lines[3])
    assert all(len(line) <= 60 for line in lines)


def test_a_narrow_terminal_keeps_whole_names(terminal: io.StringIO) -> None:
    name = "faiss:IVF4096_HNSW16,PQ32x4fs,Refine(SQ8)?recall=0.99&memory=40GB"
    print_table(("kind", "recall@10"), [(name, "0.990"), ("exact:", "1.000")], right=("recall@10",))
    lines = re.sub("\x1b[^m]*m", "", terminal.getvalue()).splitlines()
    assert [line.split() for line in lines] == [["kind", "recall@10"], [name, "0.990"], ["exact:", "1.000"]]


def test_say_prints_what_it_is_given(terminal: io.StringIO) -> None:
    say(f"{EVIL} :smile: [bold]x[/]\n" + "word " * 30, head="[/b]: ", style="yellow")
    text = re.sub("\x1b[^m]*m", "", terminal.getvalue())
    assert text == f"[/b]: {EVIL} :smile: [bold]x[/]\n" + "word " * 30 + "\n"


def test_json_holds_what_a_program_needs(lapel: Run, shop: Path) -> None:
    code, out, _ = lapel("search", "--product", "W1", "--store", shop, "--json")
    assert code == 0
    smile, bell = (hit["product"] for hit in json.loads(out)["hits"])
    assert (smile["price"], smile["price_minor"], smile["currency"]) == (1000.0, 1000, "JPY")
    assert smile["url"] == "https://shop.example/2"
    assert (bell["price"], bell["url"]) == (None, "")
    assert bell["attributes"] == {"size": ["S", "M"], "[/b]": "[red]"}
    assert bell["title"] == PRODUCTS[2].title
    assert "\x1b" not in out


def test_json_of_control_characters_is_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": "\x9b31m \u202e\x7f ü"}
    print_json(value)
    text = capsys.readouterr().out
    assert json.loads(text) == value
    assert text == '{\n  "a": "\\u009b31m \\u202e\\u007f ü"\n}\n'


# --- errors of the system ---------------------------------------------------------------------------------------------


def test_names_that_no_disk_takes_are_sentences(lapel: Run, shop: Path, tmp_path: Path) -> None:
    name = "x" * 300
    for arguments in (
        ["search", name, "--store", shop],
        ["search", "data:image/png;base64," + "A" * 5000, "--store", shop],
        ["search", "a\0b.jpg", "--store", shop],
        ["search", "--product", "W1", "--store", name],
        ["info", "--store", name],
        ["add", name, "--store", shop],
        ["add", "a\0b", "--store", shop],
        ["add", tmp_path, "--store", name],
        ["add", tmp_path, "--products", name, "--store", shop],
        ["index", "tune", "--out", tmp_path / name, "--store", shop],
        ["model", "use", name, "--store", shop],
        ["demo", "--folder", name, "--no-serve", "--products", "20", "--encoder", "colour:"],
    ):
        code, _, err = lapel(*arguments)
        assert code == 1, arguments
        assert re.search(r"^Error: .+\.$", err.strip().splitlines()[-1]), (arguments, err)
        assert "Traceback" not in err, arguments


def test_a_system_error_is_a_sentence_with_its_advice(lapel: Run, monkeypatch: pytest.MonkeyPatch, shop: Path) -> None:
    def failing_with(error: Exception) -> tuple[int, str, str]:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr("lapel.service.store.open_to_look", fail)
        return lapel("info", "--store", shop)

    for error, words in (
        (OSError(errno.ENOSPC, "No space left on device", "/shop/rejected.csv"), "'/shop/rejected.csv' .* Make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/shop"), "Permission denied. Give this user the right"),
        (OSError("out of luck"), "This cannot be done: out of luck"),
        (LapelError("in words"), "in words"),
    ):
        code, _, err = failing_with(error)
        assert code == 1
        assert re.search(f"^Error: .*{words}", err), err
    with pytest.raises(ZeroDivisionError):  # keeps its traceback
        failing_with(ZeroDivisionError("a bug"))


# The user without rights may not read the interpreter's own folder either, so what the commands import is imported
# before.
AS_NOBODY = """
import json, os, sys
from lapel.apps.cli import main
import zoneinfo, lapel.engine.feeds, lapel.engine.ingest, lapel.engine.retrieval
import lapel.indexes.growing, lapel.indexes.exact, lapel.runners.threads, lapel.sources.archive
import lapel.sources.folder, lapel.sources.mixed, lapel.sources.table, typer.rich_utils
import lapel.service.adding, lapel.service.images, lapel.service.store
if os.geteuid() == 0:
    os.setuid(65534)
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as done:
        print(done.code)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_may_not_be_entered(request: pytest.FixtureRequest) -> None:
    tmp_path = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    request.addfinalizer(lambda: shutil.rmtree(tmp_path))
    tmp_path.chmod(0o777)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700 if os.geteuid() == 0 else 0o000)
    commands = [
        ["search", str(closed / "a.jpg")],
        ["info", "--store", str(closed / "shop")],
        ["add", str(closed), "--store", str(tmp_path / "shop")],
        ["add", str(closed / "a.csv"), "--store", str(closed / "shop")],
    ]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LAPEL_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stdout == "1\n" * 4
    assert "Traceback" not in done.stderr
    assert len(re.findall(r"^Error: .*[Pp]ermission denied|^Error: .*right", done.stderr, re.MULTILINE)) == 4, (
        done.stderr
    )
    closed.chmod(0o700)


def test_a_port_that_is_none(lapel: Run, shop: Path) -> None:
    code, _, err = lapel("ui", "--store", shop, "--port", "99999")
    assert code == 2
    assert "65535" in err
    for port in (-1, 65_536):
        with pytest.raises(InputError, match=r"A port is 0 to 65,535; found"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", 0) > 0


# --- the commands -----------------------------------------------------------------------------------------------------


def test_remove_says_what_it_did(lapel: Run, tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        vector = np.eye(1, 128, dtype=np.float32)[0]
        entries = [Entry(Product(f"p{n}"), (PhotoEntry(f"file:///{n}", "s", str(n) * 64, vector),)) for n in range(6)]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
    arguments = ["--store", tmp_path / "shop"]
    nothing = (1, "", "Removed nothing. The store has no product nobody, none.\n")
    assert lapel("remove", "nobody", "none", "nobody", *arguments) == nothing
    assert lapel("remove", "p0", *arguments) == (0, "Removed 1 product.\n", "")
    assert lapel("remove", "p0", *arguments) == (1, "", "Removed nothing. The store has no product p0.\n")
    assert lapel("remove", "p1", "p2", "p0", *arguments) == (
        0, "Removed 2 products.\nThe store has no product p0.\n", ""
    )  # fmt: skip
    code, out, _ = lapel("remove", "p3", "p0", "--json", *arguments)
    assert (code, json.loads(out)) == (0, {"asked": 2, "count": 1, "removed": ["p3"], "missing": ["p0"]})
    code, out, _ = lapel("remove", "p3", "--json", *arguments)
    assert (code, json.loads(out)) == (1, {"asked": 1, "count": 0, "removed": [], "missing": ["p3"]})
    many = lapel("remove", *(f"x{n}" for n in range(12)), *arguments)[2]
    assert many.endswith("x8, x9 and 2 more.\n")


def test_search_reads_standard_input(lapel: Run, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 50), "red").save(tmp_path / "red.png")
    by_file = json.loads(lapel("search", tmp_path / "red.png", "--store", shop, "--json")[1])
    with (tmp_path / "red.png").open() as picture:
        monkeypatch.setattr(sys, "stdin", picture)
        piped = json.loads(lapel("search", "-", "--store", shop, "--json")[1])
    assert piped["hits"] == by_file["hits"]
    assert piped["query"]["picture"] == "-"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err = lapel("search", "-", "--store", shop)
    assert (code, "empty (0 bytes)" in err) == (1, True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, _, err = lapel("search", "-", "--store", shop)
    assert (code, "lapel search - < photo.jpg" in err) == (1, True)


@pytest.mark.parametrize("arguments", [["search"]])
def test_nothing_or_two_things_to_search_for_is_wrong_usage(lapel: Run, shop: Path, arguments: list[str]) -> None:
    code, _, err = lapel(*arguments, "--store", shop)
    assert (code, "Give something to search for" in err) == (2, True)


def test_what_pillow_remarks_stays_inside(lapel: Run, shop: Path, tmp_path: Path) -> None:
    """A palette picture with transparency in bytes, of which Pillow warns in the middle of a search."""
    image = Image.new("P", (40, 50))
    image.info["transparency"] = bytes(range(256))
    image.save(tmp_path / "palette.png", transparency=bytes(range(256)))
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", LOUD, "search", str(tmp_path / "palette.png"), "--store", str(shop)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == f"Look-alikes of {tmp_path / 'palette.png'}\n"


LOUD = """
import logging, warnings
from PIL import Image
from lapel.apps.cli import main, search
load = Image.Image.convert
def convert(self, *arguments, **options):
    warnings.warn_explicit("a remark", UserWarning, "Image.py", 1, module="PIL.Image")
    logging.getLogger("PIL.PngImagePlugin").warning("another remark")
    return load(self, *arguments, **options)
Image.Image.convert = convert
main()
"""


# --- texts ------------------------------------------------------------------------------------------------------------


def test_counted() -> None:
    assert [counted(n, "product") for n in (0, 1, 2, 3000)] == [
        "0 products",
        "1 product",
        "2 products",
        "3,000 products",
    ]
    assert counted(2, "query", "queries") == "2 queries"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü  text", "plain ü  text"),
        ("tab\tnew\r\nline", "tab new line"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;https://x\x1b\\link", "link"),
        ("\x9b31mred", "red"),
        ("a\x00b\x7fc\x85d", "a b c d"),
        ("\u202eevil", "evil"),
        ("no\u00a0break \U0001f600", "no\u00a0break \U0001f600"),
        ("end\x1b", "end"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_fold() -> None:
    assert fold(" Gro\u0308ße\u00a0") == fold("GRÖSSE") == "grösse"
    assert fold("ΌΣΟΣ") == fold("όσος")
    assert fold("Ω") == fold("\u2126")
    assert fold("red") != fold("réd")


def test_shortened() -> None:
    assert shortened("short") == "short"
    assert shortened("a" * 50 + "b" * 50, 21) == "a" * 10 + "…" + "b" * 10


def test_a_score_is_never_minus_nothing(lapel: Run, tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        across = np.eye(2, 128, dtype=np.float32)
        across[1, 0] = -1e-5
        entries = [
            Entry(Product(f"p{n}"), (PhotoEntry(f"file:///{n}", "s", str(n) * 64, across[n]),)) for n in range(2)
        ]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
    out = lapel("search", "--product", "p0", "--store", tmp_path / "shop")[1]
    assert table(out)[1][:3] == ["1", "0.000", "p1"]


def test_what_hosting_prints(lapel: Run, shop: Path) -> None:
    said = lapel("media", "move", "file:///W1.jpg", "file:///new.jpg", "--dry-run", "--store", shop)[1]
    assert said == "1 of 3 pictures would get another address, and 0 links for browsers\n"
    code, out, _ = lapel("media", "check", "--store", shop)
    assert code == 1  # more than half, so none was hidden
    lines = out.splitlines()
    assert lines[0] == "3 pictures: 3 dead"
    at = lines.index("since\tkind\tproduct\tpicture\treason")
    assert [line.split("\t")[1:4] for line in lines[at + 1 : at + 4]] == [
        ["dead", f"W{number}", f"file:///W{number}.jpg"] for number in (1, 2, 3)
    ]


def test_streams_that_are_closed(shop: Path) -> None:
    """As a scheduler may start a command."""
    line = f"{sys.executable} -c 'from lapel.apps.cli import main; main()'"
    for arguments, words in (
        ("info --store {shop} >&-", ""),
        ("search - --store {shop} <&-", "reads a picture from standard input"),
    ):
        done = subprocess.run(["bash", "-c", f"{line} {arguments.format(shop=shop)}"], capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert words in done.stderr.replace("\n", " ")
