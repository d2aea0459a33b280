"""Leases as a process sees them: what it may do, and how it comes by them, keeps them and loses them."""
