"""Run the embedded service for any client of its protocol; see ``--help``."""

from rtkit.loopback.command import main

main()
