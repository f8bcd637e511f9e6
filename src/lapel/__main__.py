"""``python -m lapel``: the command line, for those who start it through another program, such as torchrun."""

from lapel.apps.cli import main

main()
