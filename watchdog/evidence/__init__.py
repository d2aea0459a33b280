"""A rollout's evidence as one archive that somebody else can check: written, signed, countersigned, recomputed."""
