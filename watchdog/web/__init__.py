"""The daemon's HTTP side: health, metrics, the JSON API with operator commands, and a plain status page.

`watchdog.web.listening` has the socket, `server` serves an application on it, `app` is the daemon's: each imports more
than the one before, and a daemon ticks before it needs them.
"""
