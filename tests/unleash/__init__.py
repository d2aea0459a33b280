"""Against the real Unleash server; not a part of `make test`, but of `make test-unleash`."""
