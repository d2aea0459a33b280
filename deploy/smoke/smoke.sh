#!/bin/sh
# The smoke suite once, or again and again: `smoke.sh` or `smoke.sh SECONDS`. See README.md for what it reads from the
# environment. Its status is that of the last run.
set -u

: "${SLO_SMOKE_TARGET:?the address of the daemon, http://HOST:PORT}"
suite=${SLO_SMOKE_SUITE:-smoke}
job=${SLO_SMOKE_JOB:-slo-watchdog}
tests=${SLO_SMOKE_TESTS:-/opt/slo-smoke/smoke}
if [ -n "${SLO_SMOKE_PUSHGATEWAY:-}" ]; then
  set -- "${1:-}" --slo-pushgateway "$SLO_SMOKE_PUSHGATEWAY"
else
  set -- "${1:-}" --slo-textfile "${SLO_SMOKE_TEXTFILE:-/var/lib/prometheus/node-exporter}"
fi
every=$1
shift

run() {
  # A run that hangs is interrupted, which counts it as failed; killed, it would be counted by the next one.
  timeout --signal=INT --kill-after=30 "${SLO_SMOKE_TIMEOUT:-240}" \
    "${PYTHON:-python3}" -m pytest -q -p no:cacheprovider "$tests" \
    --slo-suite "$suite" --slo-job "$job" --slo-critical critical "$@"
}

if [ -z "$every" ]; then
  run "$@"
  exit
fi
trap 'exit 0' INT TERM
while :; do
  run "$@"
  sleep "$every" &
  wait $!
done
