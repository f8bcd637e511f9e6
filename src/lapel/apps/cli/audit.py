"""``lapel audit``: what in a catalogue should be mended."""

from __future__ import annotations

import typer

from lapel.apps.cli.audit_photos import assortment, photos

audit = typer.Typer(help="What in a catalogue should be mended.", no_args_is_help=True)
audit.command()(photos)
audit.command()(assortment)
