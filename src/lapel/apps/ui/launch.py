"""Streamlit's own command line, kept from asking the internet for this machine's address.

``python -m lapel.apps.ui.launch run ...`` starts it.

Streamlit asks checkip.amazonaws.com when it listens on every address, and when a page of another site connects. No
option stops it.
"""

from __future__ import annotations


def block_address_lookup() -> None:
    """Let the external address be unknown without asking anyone; connections from other sites are then refused."""
    from streamlit import net_util

    net_util.get_external_ip = lambda: None


def main() -> None:
    """Run Streamlit with this process's arguments."""
    from streamlit.web import cli

    block_address_lookup()
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
