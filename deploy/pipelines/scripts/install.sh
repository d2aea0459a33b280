#!/usr/bin/env bash
# Install slo-watchdog of this very commit from the hash-pinned lock, and put it on the PATH of the steps that follow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

scripts/setup
printf '%s\n' "$PWD/.venv/bin" >>"${GITHUB_PATH:-/dev/null}"
.venv/bin/slo-watchdog --version
