"""`python -m watchdog` is the same program as `slo-watchdog`."""

from watchdog.cli import main

main()
