"""`verify`, `countersign` and `evidence keygen`: a rollout's evidence in other hands than the daemon's."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.cli.shared import AsJson, Config, Why, cell, known, ledger_of, print_json, say_error, settings_of
from watchdog.config import revealed
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem, Refused
from watchdog.freeze import replace_file
from watchdog.ledger import Ledger
from watchdog.prometheus.redact import split_credentials

if TYPE_CHECKING:
    from watchdog.evidence.checked import Verified
    from watchdog.evidence.keys import SigningKey

NO, BAD = 1, 2
app = typer.Typer(help="Keys for bundles of evidence.", no_args_is_help=True)

Key = Annotated[Path | None, typer.Option("--key", help="private key, Ed25519 in PEM (default: evidence.key_file)")]


def add_to(root: typer.Typer) -> None:
    """Register the commands."""
    root.command()(verify)
    root.command()(countersign)
    root.add_typer(app, name="evidence")


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the private key; FILE.pub is beside it")],
) -> None:
    """Make an Ed25519 key pair: FILE signs and stays here, FILE.pub goes to whoever verifies.

    Nothing is written over. Exit: 0, or 2.

    Example: `slo-watchdog evidence keygen /etc/slo-watchdog/evidence.key`.
    """
    from watchdog.evidence.keys import generate  # noqa: PLC0415 - heavy, and the daemon starts without it

    try:
        public, number = generate(file)
    except OSError as error:
        raise ConfigError([Problem(str(file), f"cannot be written ({error.strerror}); name another file")]) from error
    typer.echo(f"wrote {file}, which nobody else may read, and {public}")
    typer.echo(f"key {number}")


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="the archive that `report --bundle` wrote")],
    public_key: Annotated[Path | None, typer.Option("--public-key", help="of who signed, PEM")] = None,
    approver: Annotated[list[Path] | None, typer.Option("--approver", help="of who countersigned; repeatable")] = None,
    allow_unsigned: Annotated[  # noqa: FBT002
        bool, typer.Option("--allow-unsigned", help="exit 0 without a checked signature, too")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Is this evidence whole, signed and consistent? Needs no settings, no ledger and no network.

    Every verdict, breach, slice, window and the report are computed again from the measurements in the bundle. Exit:
    0 verified, 1 not (the first difference is named; or no signature was checked), 2 a file cannot be read.

    Examples: `slo-watchdog verify evidence.tar.gz --public-key evidence.key.pub`,
    `slo-watchdog verify evidence.tar.gz --allow-unsigned --json`.
    """
    from watchdog.evidence.archive import Damaged, read_file  # noqa: PLC0415 - heavy, and the daemon starts without it
    from watchdog.evidence.checked import HOLDS  # noqa: PLC0415
    from watchdog.evidence.keys import public_key as loaded  # noqa: PLC0415
    from watchdog.evidence.verify import verify as checked  # noqa: PLC0415

    key = loaded(public_key) if public_key is not None else None
    approvers = tuple(loaded(path) for path in approver or ())
    try:
        data = read_file(bundle)
    except OSError as error:
        raise ConfigError([Problem(str(bundle), f"cannot be read ({error.strerror}); name a bundle")]) from error
    except Damaged as error:
        say_error(f"{bundle}: {error}")
        raise typer.Exit(NO) from error
    found = checked(data, key, approvers)
    signed = found.signature == HOLDS
    verified = found.consistent and (signed or allow_unsigned)
    if as_json:
        print_json(_told(found, data, verified=verified))
    else:
        _print(found, bundle, verified=verified)
    raise typer.Exit(0 if verified else NO)


def _told(found: Verified, data: bytes, *, verified: bool) -> dict[str, Any]:
    from watchdog.evidence.checked import NOT_PROVEN  # noqa: PLC0415 - heavy, and the daemon starts without it

    return {
        "verified": verified,
        "consistent": found.consistent,
        "signature": found.signature,
        "key": found.key or None,
        "first_difference": found.first or None,
        "bundle_sha256": hashlib.sha256(data).hexdigest(),
        "about": found.about,
        "countersigned": found.countersigned,
        "checks": [
            {"name": c.name, "ok": c.ok, "found": c.found, "difference": c.difference or None} for c in found.checks
        ],
        "not_proven": list(NOT_PROVEN),
    }


def _print(found: Verified, bundle: Path, *, verified: bool) -> None:
    from watchdog.evidence.checked import HOLDS, NOT_PROVEN, UNSIGNED  # noqa: PLC0415 - heavy, see above

    for check in found.checks:
        typer.echo(f"{'ok  ' if check.ok else 'NO  '} {check.name}: {_line(check.difference or check.found)}")
    if found.consistent:
        typer.echo(f"{_line(str(found.about['rollout']))}: {_line(str(found.about['verdict']['line']))}")
    if found.signature == UNSIGNED:
        typer.echo("UNSIGNED: it fits together, or does not, whoever wrote it; nobody vouches for it")
    elif found.signature != HOLDS:
        typer.echo("NO SIGNATURE WAS CHECKED: give --public-key, from a source that you trust")
    typer.echo("what this does not prove:")
    for sentence in NOT_PROVEN:
        typer.echo(f"  - {sentence}")
    typer.echo(f"{bundle}: {'VERIFIED' if verified else 'NOT VERIFIED'}{_why(found)}")


def _why(found: Verified) -> str:
    return f": {_line(found.first)}" if found.first else ""


def _line(text: str) -> str:
    """Other people's text on one line, without what a terminal would act on."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def countersign(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="ROLLOUT|BUNDLE", help="a rollout of the ledger, or an archive")],
    reason: Why,
    by: Annotated[str, typer.Option("--by", help="the approver; it is recorded")],
    key: Annotated[Path, typer.Option("--key", help="the approver's private key, Ed25519 in PEM")],
    config: Config = None,
) -> None:
    """Put an approver's signature beside a rollout's evidence: in the ledger, or in a bundle that verifies.

    Of a rollout that has ended: recorded in its history, covering everything that is sealed so far; reports and bundles
    show it from then on. Of a bundle: written into it, and with --config recorded in the ledger, too.

    Examples: `slo-watchdog countersign checkout-2.14.0 --by ada --key ada.key --reason "release board of 12 May"`,
    `slo-watchdog countersign evidence.tar.gz --by ada --key ada.key --reason "audit 2026"`.
    """
    from watchdog.evidence.keys import signing_key  # noqa: PLC0415 - heavy, and the daemon starts without it

    for name, text in (("--by", by), ("--reason", reason)):
        if not text.strip() or not text.isprintable() or len(text) > 500:
            raise ConfigError(
                [Problem(name, "is empty, longer than 500 characters or not one line; write a few words")]
            )
    signer, path = signing_key(key), Path(target)
    if not path.is_file():
        settings = settings_of(ctx, config)
        with ledger_of(settings) as ledger:
            _record(settings, ledger, known(ledger, target).name, by, reason, signer)
        return
    rollout = _into(path, by, reason, signer)
    if config is not None or ctx.find_root().obj is not None:
        settings = settings_of(ctx, config)
        with ledger_of(settings) as ledger:
            _record(settings, ledger, known(ledger, rollout).name, by, reason, signer)


def _into(path: Path, by: str, reason: str, signer: SigningKey) -> str:
    """Write a countersignature into a bundle that verifies but for its signature; the rollout that it is about."""
    from watchdog.evidence.archive import read_file  # noqa: PLC0415 - heavy, and the daemon starts without it
    from watchdog.evidence.countersign import in_bundle  # noqa: PLC0415
    from watchdog.evidence.verify import verify as checked  # noqa: PLC0415

    data = read_file(path)
    found = checked(data)
    if not found.consistent:
        raise Refused(f"{path} does not verify, so nobody should vouch for it: {found.first}")
    rollout = str(found.about["rollout"])
    replace_file(path, in_bundle(data, rollout, by, reason, time.time(), signer))
    typer.echo(f"{path}: countersigned by {by}, key {signer.public.id}")
    return rollout


def _record(settings: Settings, ledger: Ledger, rollout: str, by: str, reason: str, signer: SigningKey) -> None:
    from watchdog.evidence.countersign import in_ledger  # noqa: PLC0415 - heavy, and the daemon starts without it
    from watchdog.evidence.keys import public_key  # noqa: PLC0415

    approvers = settings.evidence.approvers
    if approvers is not None:
        own = approvers / f"{by}.pub"
        if "/" in by or not own.is_file() or public_key(own).id != signer.public.id:
            raise Refused(f"{by} is no approver with this key: evidence.approvers has no {by}.pub of it in {approvers}")
    made = in_ledger(ledger, rollout, by, reason, time.time(), signer)
    typer.echo(f"{rollout}: countersigned by {by} up to seal {made.seal}, key {made.key}")


def write_bundle(settings: Settings, ledger: Ledger, rollout: str, file: Path, key: Path | None) -> None:
    """Write the evidence of a rollout; for `report --bundle`. Raises ConfigError, LedgerError, OSError."""
    from watchdog.evidence.bundle import Context, write  # noqa: PLC0415 - heavy, and the daemon starts without it

    signer = _signer(settings, key)
    digests = {}
    if settings.path is not None:
        digests[settings.path.name] = hashlib.sha256(settings.path.read_bytes()).hexdigest()
    context = Context(split_credentials(settings.prometheus.url)[0], digests)
    data = write(ledger, known(ledger, rollout).name, context, signer)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, data)
    typer.echo(f"wrote {file}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    if signer is None:
        say_error(
            f"{cell(str(file))} is UNSIGNED: whoever changes it leaves no trace that a key would show; give --key, or "
            "write evidence.key_file (`slo-watchdog evidence keygen` makes a key)"
        )
    else:
        typer.echo(f"signed by the key {signer.public.id}")


def _signer(settings: Settings, key: Path | None) -> SigningKey | None:
    from watchdog.evidence.keys import signing_key, signing_key_of  # noqa: PLC0415 - heavy, see above

    if key is not None:
        return signing_key(key)
    secret = revealed(settings.evidence.key)
    return signing_key_of(secret.encode(), "evidence.key") if secret is not None else None
