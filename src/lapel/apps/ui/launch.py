"""Streamlit's own command line, kept from asking the internet for this machine's address: ``python -m
lapel.apps.ui.launch run ...``.

Streamlit asks checkip.amazonaws.com when it listens on every address, and when a page of another site knocks. No option
stops it.
"""

from __future__ import annotations


def stay_home() -> None:
    """Let the external address be unknown without asking anyone; whoever knocks from another site is then refused."""
    from streamlit import net_util

    net_util.get_external_ip = lambda: None


def main() -> None:
    """Run Streamlit with this process's arguments."""
    from streamlit.web import cli

    stay_home()
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
