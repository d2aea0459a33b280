"""Against the whole monitoring stack; not a part of `make test`, but of `make test-stack`."""
