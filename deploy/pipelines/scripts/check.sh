#!/usr/bin/env bash
# One stage of what every change must pass. `.ci/run` and continuous-integration.yml name the same stages, so that a
# change that passes here passes there. Without an argument the stages are listed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

say() { printf 'check: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

# Prints where one of the tools of tests/tools/scanners is; builds all of them when one is missing.
scanner() {
  local tool=build/tools/$1
  if [ ! -x "$tool" ] || [ tests/tools/scanners/go.sum -nt "$tool" ]; then
    command -v go >/dev/null || stop "$1 is built by Go, and there is no Go toolchain: install one (https://go.dev/dl)"
    say 'building the scanners of tests/tools/scanners (a minute)'
    (cd tests/tools/scanners && GOBIN="$PWD/../../../build/tools" go install -trimpath tool) >&2
    touch "$tool"
  fi
  printf '%s\n' "$tool"
}

# Built, tried, and kept as one file, so that what is published is what was tried.
image() {
  make image
  local tag=${TAG:-slo-watchdog:$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' watchdog/__init__.py)} place=build/image
  rm -f "$place/image.tar"
  if [ -d "$place/storage" ]; then
    buildah --root "$place/storage" --runroot "$place/run" --storage-driver vfs push --quiet \
      --signature-policy "$place/policy.json" "localhost/$tag" "docker-archive:$place/image.tar:$tag"
  else
    docker save --output "$place/image.tar" "$tag"
  fi
  say "the image is kept in $place/image.tar"
}

# The whole history where there is one: what was committed once is known, also when it was removed.
secrets() {
  local gitleaks
  gitleaks=$(scanner gitleaks)
  if [ -d .git ]; then
    "$gitleaks" git --config .gitleaks.toml --no-banner --redact --verbose .
  else
    "$gitleaks" dir --config .gitleaks.toml --no-banner --redact --verbose watchdog deploy scripts tests docs rules bench
  fi
}

# Advisories live on a server. On GitHub not reaching it is a failure; elsewhere it is said, for nobody can mend it there.
audit() {
  local python=build/tools/audit/bin/python status=0
  if [ ! -x build/tools/audit/bin/pip-audit ]; then
    [ -x .venv/bin/python ] || scripts/setup
    .venv/bin/python -m venv build/tools/audit
    "$python" -m pip --disable-pip-version-check --quiet install --require-hashes -r tests/tools/audit/requirements.lock
  fi
  local said
  said=$("$python" -m pip_audit --strict --disable-pip --require-hashes --progress-spinner off --timeout 15 \
    -r requirements.lock 2>&1) || status=$?
  printf '%s\n' "$said"
  [ "$status" -eq 0 ] && return
  if [ "${GITHUB_ACTIONS:-}" != true ] && ! grep -q '^Found [0-9]* known vulnerabilit' <<<"$said"; then
    say 'the server of advisories cannot be reached from here: NOTHING WAS LOOKED UP; continuous-integration.yml does it'
    return 0
  fi
  return "$status"
}

workflows() {
  local actionlint
  actionlint=$(scanner actionlint)
  command -v shellcheck >/dev/null || stop "shellcheck is missing: install it with 'apt-get install shellcheck'"
  "$actionlint" -config-file deploy/pipelines/actionlint.yaml deploy/pipelines/workflows/*.yml .github/workflows/*.yml
  find deploy scripts .ci -type f -exec grep -lIZE '^#!.*\b(ba)?sh$' {} + | xargs -0 -r shellcheck --severity=warning
  .venv/bin/python deploy/pipelines/scripts/check_owners.py
}

case ${1:-} in
  deps | lint | test | test-unleash | test-replicas | test-stack | test-browser | test-fuzz | demo) exec make "$1" ;;
  manifests) exec make test-kubernetes ;;
  performance) exec make test-performance ;;
  pipelines) exec make test-pipelines ;;
  image | secrets | audit | workflows) "$1" ;;
  *)
    printf 'deps\nlint\ntest\ntest-unleash\ntest-replicas\ntest-stack\ntest-browser\ntest-fuzz\ndemo\nimage\nmanifests\nperformance\npipelines\nsecrets\naudit\nworkflows\n'
    [ $# -eq 0 ] || stop "there is no stage $1"
    ;;
esac
