"""Run the embedded service for any client of its protocol; ``--help`` tells how."""

from rtkit.loopback.command import main

main()
