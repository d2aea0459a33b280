"""Writes the JSON Schemas of reports and bundles from those that the tests make; --check only compares them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.evidence_schemas import main

if __name__ == "__main__":
    sys.exit(main())
