"""Timing tests with a declared tolerance: `make test-performance` (docs/performance-tests.md)."""
