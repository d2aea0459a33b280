# slo-watchdog as an image: docs/image.md. `scripts/image` builds it, with or without a Docker daemon.
#
# Debian's own Python, so that its fixes come with Debian's. The digest is of the index for all architectures; renew it
# with: docker buildx imagetools inspect debian:trixie-slim
ARG BASE=docker.io/library/debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f

# The secrets are for a machine that reaches Debian and PyPI only through a mirror. They are absent elsewhere, and never
# part of a layer: apt.conf and apt.list, pip.conf, and ca, the certificates of that mirror.
FROM ${BASE} AS build
RUN --mount=type=secret,id=apt.conf --mount=type=secret,id=apt.list,mode=0444 --mount=type=secret,id=ca,mode=0444 \
    export APT_CONFIG=/run/secrets/apt.conf DEBIAN_FRONTEND=noninteractive \
 && apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends binutils ca-certificates python3-venv
WORKDIR /src
COPY requirements.lock pyproject.toml ./
COPY deploy/image/pinned.py deploy/image/
# Exactly what the lock pins, each file by its hash, and of it only what the program runs with.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca,mode=0444 \
    export PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
 && python3 deploy/image/pinned.py tools >/tmp/tools.txt \
 && python3 deploy/image/pinned.py program postgresql redis drill >/tmp/program.txt \
 && python3 -m venv /tools \
 && /tools/bin/pip install -q --no-deps --require-hashes --only-binary :all: -r /tmp/tools.txt \
 && python3 -m venv --without-pip /opt/slo-watchdog \
 && /tools/bin/pip --python /opt/slo-watchdog/bin/python install -q --no-deps --no-compile --require-hashes \
      --only-binary :all: -r /tmp/program.txt
COPY README.md LICENSE ./
COPY watchdog/ watchdog/
# Symbols that only a debugger or a linker reads go, and so does what nothing here imports: highlighters of 500 languages,
# other databases, what installs software. Bytecode is checked against nothing when it is read: no one changes a source
# here, and times do not survive every copy.
RUN /tools/bin/pip wheel -q --no-deps --no-build-isolation --no-index --wheel-dir /tmp/wheel . \
 && /tools/bin/pip --python /opt/slo-watchdog/bin/python install -q --no-deps --no-compile --no-index /tmp/wheel/*.whl \
 && /tools/bin/pip --python /opt/slo-watchdog/bin/python check \
 && rm -f /opt/slo-watchdog/bin/[Aa]ctivate* \
 && find /opt/slo-watchdog -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
 && find /opt/slo-watchdog/lib \( -path '*/pygments/lexers/*' -not -name __init__.py -not -name _mapping.py \
      -o -path '*/sqlalchemy/testing/*' -o -path '*/sqlalchemy/dialects/m[sy]*/*' -o -path '*/sqlalchemy/dialects/oracle/*' \
      -o -path '*/regex/tests/*' -o -path '*/cffi/setuptools_ext.py' \) -type f -delete \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x 'pygments/styles/|dateparser/data/' \
      /opt/slo-watchdog/lib \
 && /opt/slo-watchdog/bin/slo-watchdog --version

FROM ${BASE} AS run
# Nothing in it needs another user's rights, so no program keeps the bit that would lend them.
RUN --mount=type=secret,id=apt.conf --mount=type=secret,id=apt.list,mode=0444 --mount=type=secret,id=ca,mode=0444 \
    export APT_CONFIG=/run/secrets/apt.conf DEBIAN_FRONTEND=noninteractive \
 && apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends ca-certificates python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log /usr/bin/tini-static \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && groupadd --gid 65532 slo-watchdog \
 && useradd --uid 65532 --gid 65532 --home-dir /var/lib/slo-watchdog --no-create-home --shell /usr/sbin/nologin \
      slo-watchdog \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/slo-watchdog \
 && install -d /etc/slo-watchdog
COPY --from=build /opt/slo-watchdog /opt/slo-watchdog
COPY deploy/image/healthcheck.py /usr/local/lib/slo-watchdog/healthcheck.py
# What is in it, for whoever has to know: CycloneDX, of Debian's packages and of the Python distributions.
RUN --mount=type=bind,source=deploy/image/sbom.py,target=/tmp/sbom.py \
    /opt/slo-watchdog/bin/python -I /tmp/sbom.py >/usr/local/share/slo-watchdog.cdx.json

ENV PATH=/opt/slo-watchdog/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WATCHDOG_CONFIG=/etc/slo-watchdog/watchdog.yaml \
    WATCHDOG_HEALTH__LISTEN=0.0.0.0:9464
USER 65532:65532
WORKDIR /var/lib/slo-watchdog
VOLUME /var/lib/slo-watchdog
EXPOSE 8799 8798 9464
STOPSIGNAL SIGTERM
# A probe of its own: the whole command line would take a second of processor time every time.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/bin/python3", "-I", "-S", "/usr/local/lib/slo-watchdog/healthcheck.py"]
# tini is process 1: it hands signals on from the first moment, and buries whoever is left behind.
ENTRYPOINT ["/usr/bin/tini", "--", "slo-watchdog"]
CMD ["run"]

ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="slo-watchdog" \
      org.opencontainers.image.description="Watches a release after 100 %: proves its SLOs, ramps its flag, takes it back" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
