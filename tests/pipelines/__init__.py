"""The deployment driver end to end: a real nginx, real processes, and users who never ask twice."""
