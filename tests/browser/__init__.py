"""Every page in a real Chromium: `make test-browser`. Screenshots are kept in build/screenshots to be looked at."""
