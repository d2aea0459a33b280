"""Who is asking: named tokens with roles, people whom a proxy in front of us vouches for, and browser sessions.

Nothing here knows a web framework: `Gate` takes the peer and the headers of a request, and says whose they are.
"""

from watchdog.access.gate import Asker, Found, Gate, TooMany
from watchdog.access.model import Principal, Role

__all__ = ["Asker", "Found", "Gate", "Principal", "Role", "TooMany"]
