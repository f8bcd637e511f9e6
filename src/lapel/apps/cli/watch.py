"""``lapel watch``: banks of pictures, checks of uploads against them, a queue with decisions, a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    WhereOption,
    note,
    print_json,
    print_table,
    progress_bar,
    say,
)
from lapel.apps.cli.findings import OutOption, print_findings
from lapel.service import counted

watch = typer.Typer(
    help="Watch for restricted looks, copies of one's own designs, logos: banks, checks, a queue.",
    no_args_is_help=True,
)
BankArgument = Annotated[str, typer.Argument(metavar="BANK", help="The bank's name.")]
FindingArgument = Annotated[int, typer.Argument(metavar="FINDING", help="Its number, as 'lapel watch queue' lists it.")]
DECISIONS = {"confirm": "confirmed", "reject": "rejected", "reopen": "open"}


@watch.command()
def add(
    bank: BankArgument,
    source: Annotated[
        str | None, typer.Argument(metavar="PICTURES", help="A picture, folder, ZIP, table or address.")
    ] = None,
    where: WhereOption = None,
    kind: Annotated[str, typer.Option("--kind", help="restricted, own, logos or negative.")] = "restricted",
    least: Annotated[float | None, typer.Option("--min-score", help="Probability of a match; .8 at first.")] = None,
    flood: Annotated[
        float | None, typer.Option("--flood", help="Share of checked pictures that quarantines it; .2 at first.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Put pictures into a bank; --where takes those of products of the store.

    What is nearer to a picture of a negative bank matches nothing.
    """
    from lapel.service import open_store

    with open_store(store) as shop, progress_bar("Encoding") as tell:
        found = shop.watching.add(bank, source, where=where or (), kind=kind, least=least, flood=flood, progress=tell)
    if as_json:
        print_json(found.to_json())
    else:
        say(f"The bank '{bank}' has {counted(found.new, 'new picture')}; {found.known:,} were there.")
        for place, reason in found.unreadable[:10]:
            say(f"Left out {place}: {reason}", err=True)
        if len(found.unreadable) > 10:
            say(f"... and {len(found.unreadable) - 10:,} more left out: --json lists them.", err=True)
    if not found.new and not found.known:
        raise typer.Exit(1)


@watch.command()
def banks(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the banks."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        found = shop.watching.banks()
    if as_json:
        print_json([vars(bank) for bank in found])
        return
    if found:
        rows = [
            [b.name, b.kind, f"{b.pictures:,}", f"{b.least:.2f}", f"{b.checked:,}", f"{b.matched:,}", b.quarantined_at]
            for b in found
        ]
        header = ["bank", "kind", "pictures", "least", "checked", "matched", "quarantined"]
        print_table(header, rows, right=("pictures", "least", "checked", "matched"))
    say(f"{counted(len(found), 'bank')}.")


@watch.command()
def remove(bank: BankArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Take a bank out; what was found stays in the queue and the log."""
    from lapel.service import open_store

    with open_store(store) as shop:
        shop.watching.remove(bank)
    say(f"The bank '{bank}' is gone.")


@watch.command()
def release(bank: BankArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Let a quarantined bank raise alerts again."""
    from lapel.service import open_store

    with open_store(store) as shop:
        done = shop.watching.release(bank)
    say(f"The bank '{bank}' raises alerts again." if done else f"The bank '{bank}' was not quarantined.")


@watch.command()
def check(
    uploads: Annotated[str, typer.Argument(metavar="UPLOADS", help="A picture, link, folder, ZIP, table or feed.")],
    bank: Annotated[list[str] | None, typer.Option("--bank", help="Only this one. Repeat for more.")] = None,
    words: Annotated[
        list[str] | None,
        typer.Option("--words", metavar="TEXT", help="Also find this written on them; needs lapel[watch]. Repeat."),
    ] = None,
    nudity: Annotated[
        float | None,
        typer.Option("--nudity", metavar="P", help="Also find nudity of this probability; needs lapel[watch]."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what matches, and keep nothing.")] = False,
    alerts: Annotated[
        str, typer.Option("--alerts", metavar="FILE", help="Append each new finding as a line of JSON; - for stdout.")
    ] = "",
    webhook: Annotated[str, typer.Option("--webhook", metavar="LINK", help="Tell this link of each.")] = "",
    webhook_secret: Annotated[
        str, typer.Option("--webhook-secret", envvar="LAPEL_WEBHOOK_SECRET", help="What signs that.")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Check uploads against the banks, and put what matches into the queue."""
    from lapel.service import open_store

    with open_store(store) as shop, progress_bar("Checking") as tell:
        with _alert_file(alerts) as stream:
            found = shop.watch(
                uploads,
                banks=bank or (),
                words=words or (),
                nudity=nudity,
                record=not dry_run,
                alerts=stream,
                webhook=webhook,
                webhook_secret=webhook_secret,
                progress=tell,
            )
        if alerts == "-":  # stdout is theirs
            note(found.summary())
        else:
            print_findings(shop, found, "watch", as_json=as_json, out=out, right=("finding", "probability"))
        for place, reason in found.unreadable[:10]:
            note(f"Could not read {place}: {reason}")
    if found.unreadable and not found.checked:
        raise typer.Exit(1)


@contextmanager
def _alert_file(name: str) -> Iterator[IO[str] | None]:
    """Where lines of JSON go; None for nowhere."""
    if name in ("", "-"):
        yield sys.stdout if name else None
        return
    with Path(name).open("a", encoding="utf-8") as file:
        yield file


@watch.command()
def alerts(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Tell webhooks what they did not take before; run it now and then."""
    from lapel.service import open_store

    with open_store(store) as shop:
        found = shop.watching.send_alerts()
    if as_json:
        print_json(found)
    else:
        say(", ".join(f"{count:,} {state}" for state, count in found.items()) or "No alerts.")


@watch.command()
def queue(
    state: Annotated[str, typer.Option("--state", help="open, confirmed, rejected or all.")] = "open",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List what was found, the surest first."""
    from lapel.service import finding_json, open_store

    with open_store(store, read_only=None) as shop:
        found = shop.watching.queue("" if state == "all" else state)
    if as_json:
        print_json([finding_json(each) for each in found])
        return
    if found:
        rows = [[str(f.id), f.bank, f"{f.chance:.3f}", f.entry_name, f.place, f.at, f.state, f.note] for f in found]
        header = ["finding", "bank", "probability", "entry", "place", "when", "state", "note"]
        print_table(header, rows, right=("finding", "probability"), shrink="place")
    say(f"{counted(len(found), 'finding')}.")


@watch.command()
def decide(
    finding: FindingArgument,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="confirm, reject or reopen.")],
    text: Annotated[str, typer.Option("--note", help="Why.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who decides.")] = "",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Decide on a finding; every decision stays in the log."""
    from lapel.service import open_store

    with open_store(store) as shop:
        found = shop.watching.decide(finding, DECISIONS.get(decision, decision), note=text, by=by)
    say(f"Finding {found.id} is {found.state}.")


@watch.command()
def evidence(
    finding: FindingArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page, .html.")] = Path("evidence.html"),
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a finding as a page: both pictures, where they agree, the probability, where and when."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        note(f"Wrote {shop.watching.evidence(finding, out)}")


@watch.command()
def log(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no line was changed, taken out or put in.")
    ] = False,
    head: Annotated[
        str, typer.Option("--head", metavar="HASH", help="With --verify: a last hash that was noted before.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", help="How many lines.")] = 100,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show the log of banks, findings and decisions, the newest first."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        if verify:
            found = shop.watching.verify(head)
        else:
            lines = shop.watching.log(limit)
    if not verify:
        if as_json:
            print_json(lines)
            return
        told = [[str(x["line"]), x["at"], x["what"], _about(x["about"])] for x in lines]
        if told:
            print_table(["line", "when", "what", "about"], told, right=("line",), shrink="about")
        say(f"{counted(len(lines), 'line')}.")
        return
    if as_json:
        print_json({**vars(found), "sound": found.sound})
    elif found.sound:
        say(f"The log of {counted(found.lines, 'line')} is as it was written. Note its last hash: {found.head}")
    elif found.broken_at is not None:
        say(f"The log was changed: line {found.broken_at} does not fit what stands before it or what is in the queue.")
    else:
        say(f"The log was changed: the hash {head} that was noted is not in it any more.")
    if not found.sound:
        raise typer.Exit(1)


def _about(about: dict[str, object]) -> str:
    """What a line of the log tells, short."""
    return ", ".join(
        f"{name} {f'{len(value):,} pictures' if isinstance(value, list) else value}"
        for name, value in about.items()
        if value not in ("", None)
    )
