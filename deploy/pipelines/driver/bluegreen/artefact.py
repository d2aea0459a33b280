"""Releases that are tar files, named by their SHA-256: kept in a store, checked, and unpacked once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from .errors import Failed, Refused
from .state import sync_directory

PIECE = 1 << 20


def hexadecimal(digest: str) -> str:
    """A digest without its `sha256:`."""
    return digest.removeprefix("sha256:")


def accept(file: Path, digest: str, store: Path) -> None:
    """Copy an artefact into the store. Refused when it is another one than its digest says."""
    kept = store / f"{hexadecimal(digest)}.tar"
    following = kept.with_name(f".{kept.name}.next")
    try:
        store.mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256()
        with file.open("rb") as source, following.open("wb") as copy:
            while piece := source.read(PIECE):
                found.update(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        if found.hexdigest() != hexadecimal(digest):
            following.unlink()
            raise Refused(
                f"{file} has the digest sha256:{found.hexdigest()}; expected {digest}, the one that is deployed."
            )
        following.replace(kept)
        sync_directory(store)
    except OSError as error:
        raise Failed(f"{file} cannot be copied to {kept}: {error}") from error


def unpacked(digest: str, store: Path, releases: Path) -> Path:
    """The directory of a release, unpacked from its checked artefact; a directory that is there is whole."""
    name = hexadecimal(digest)
    kept, place = store / f"{name}.tar", releases / name
    if place.is_dir():
        return place
    following = releases / f".{name}.next"
    try:
        releases.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(following, ignore_errors=True)
        with kept.open("rb") as source:
            found = hashlib.file_digest(source, "sha256").hexdigest()
            if found != name:
                raise Failed(f"{kept} has the digest sha256:{found}; remove it, and give the right one as --artefact.")
            source.seek(0)
            with tarfile.open(fileobj=source) as archive:
                archive.extractall(following, filter="data")
        following.replace(place)
        sync_directory(releases)
    except FileNotFoundError as error:
        raise Failed(f"there is no artefact {kept}; give it as --artefact, or copy it there.") from error
    except (OSError, tarfile.TarError) as error:
        raise Failed(f"{kept} cannot be unpacked to {place}: {error}") from error
    return place


def prune(releases: Path, kept: set[str]) -> None:
    """Remove unpacked releases that no colour runs; they can be unpacked again."""
    for place in releases.iterdir():
        if place.is_dir() and not place.is_symlink() and place.name not in kept:
            shutil.rmtree(place, ignore_errors=True)
