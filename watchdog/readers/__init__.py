"""The real clients that a flag is read with: OpenFeature providers of our own, and the readers of a drill."""
