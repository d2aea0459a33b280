#!/usr/bin/env python3
"""Put the build on the colour that serves nobody. No user notices."""

import installation
import steps


def _step() -> None:
    build = steps.build()
    serves = installation.active()
    before = None if serves is None else {"colour": serves.colour, "digest": serves.digest, "commit": serves.commit}
    steps.keep("previous.json", before)
    found = installation.deploy(build)
    steps.output(colour=found.colour, url=found.url)
    steps.summary(f"{build['image']}@{build['digest']} runs on {found.colour} ({found.url}); it serves nobody yet")


steps.main(_step)
