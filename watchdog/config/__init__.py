"""Loads the daemon's settings from file, environment and secret files, and the rollouts that they name.

The environment wins over the file; a secrets directory fills in what neither gives. Everything wrong is said at once.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from watchdog.config.flagsettings import FlagSettings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem
from watchdog.model import Rollout
from watchdog.rolloutfile import parse_rollout
from watchdog.rolloutfile.fields import unknown
from watchdog.rolloutfile.yamltext import load_mapping, read_text

PREFIX = "WATCHDOG_"
NOT_OURS = re.compile(r"WATCHDOG_(CONFIG|USEC|PID|SERVICE_(HOST|PORT\w*)|PORT(_\w+)?)")
"""Names with our prefix that are no settings: the file's own, systemd's, Kubernetes' links to a service `watchdog`."""
LONGEST_SECRET = 64 * 1024
Place = tuple[str, ...]


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of `path`, else of WATCHDOG_CONFIG, else of ./watchdog.yaml, under those of the environment.

    Raises ConfigError with every problem found.
    """
    variables = {name.upper(): value for name, value in (os.environ if environ is None else environ).items()}
    file = _file(path, variables)
    loader = _Loader(file, {name: value for name, value in variables.items() if name.startswith(PREFIX)})
    return loader.load()


def _file(path: Path | None, variables: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if variables.get("WATCHDOG_CONFIG"):
        return Path(variables["WATCHDOG_CONFIG"])
    usual = Path("watchdog.yaml")
    if usual.exists():
        return usual
    if "WATCHDOG_PROMETHEUS__URL" in variables:
        return None
    message = "no settings file; give --config FILE or WATCHDOG_CONFIG, or write one with slo-watchdog init"
    raise ConfigError([Problem("watchdog.yaml", message)])


class _Loader:
    """One loading: what was found where, and every problem with it."""

    def __init__(self, file: Path | None, variables: dict[str, str]) -> None:
        self.file = file
        self.name = str(file) if file is not None else "settings"
        self.base = file.parent.absolute() if file is not None else Path.cwd()
        self.variables = variables
        self.problems: list[Problem] = []
        self._failed: list[Place] = []

    def load(self) -> Settings:
        written: dict[str, Any] = {}
        if self.file is not None:
            written, self.problems = load_mapping(read_text(self.file), self.name)
        raw = _merged(written, self._environment())
        self._secrets_directory(raw)
        for place in [*_secrets(Settings), *_secrets_of_services(raw)]:
            self._secret_file(raw, place)
        known = _names(Settings)
        # Not left to Settings, which would take `_env_file` for an argument of its own.
        for key in sorted(raw.keys() - known.keys()):
            self.problems.append(Problem(self._place((key,)), unknown("key", key, known)))
        try:
            settings = Settings(**{key: value for key, value in raw.items() if key in known})
        except ValidationError as error:
            for item in error.errors():
                place = self._loc(item)
                # A secret whose file could not be read is missing for that reason alone: said once is enough.
                if not any(failed[: len(place)] == place for failed in self._failed):
                    self.problems.append(Problem(self._place(place), self._sentence(item)))
            raise ConfigError(self.problems) from error
        if self.problems:
            raise ConfigError(self.problems)
        return settings.located(self.file.absolute() if self.file is not None else None, self.base)

    def _environment(self) -> dict[str, Any]:
        """What the environment gives, as the file would nest it; unknown names are problems."""
        known, open_ended = _variables(Settings)
        ours = {}
        for name, value in sorted(self.variables.items()):
            if name in known or name.startswith(open_ended):
                ours[name.lower()] = value
            elif not NOT_OURS.fullmatch(name):
                self.problems.append(Problem(f"environment: {name}", unknown("variable", name, known)))
        source = EnvSettingsSource(Settings)
        source.env_vars = ours
        return source()

    def _secrets_directory(self, raw: dict[str, Any]) -> None:
        given = raw.get("secrets_dir")
        if not isinstance(given, str):
            return
        directory = self.base / Path(given).expanduser()
        try:
            files = {file.name.lower().removeprefix("watchdog_"): file for file in directory.iterdir()}
        except OSError as error:
            self._add(("secrets_dir",), f"{given!r} cannot be read ({error.strerror}); expected a directory of secrets")
            return
        for place in _secrets(Settings):
            file = files.get("__".join(place))
            section = _section(raw, place) if file is not None else None
            if section is None or place[-1] in section or f"{place[-1]}_file" in section:
                continue
            section[f"{place[-1]}_file"] = str(file)

    def _secret_file(self, raw: dict[str, Any], place: Place) -> None:
        """Put what a `_file` twin names in its place."""
        twin = (*place[:-1], f"{place[-1]}_file")
        section = _section(raw, place, create=False)
        if section is None or section.get(twin[-1]) is None:
            return
        if section.get(place[-1]) is not None:
            self._add(twin, f"stands beside {place[-1]}; write one of the two")
            return
        given = section[twin[-1]]
        if not isinstance(given, str) or not given.strip():
            return  # the model says what is wrong with it
        try:
            with (self.base / Path(given.strip()).expanduser()).open("rb") as file:
                content = file.read(LONGEST_SECRET + 1)
            secret = content.decode().strip()
        except OSError as error:
            self._add(twin, f"{given!r} cannot be read ({error.strerror}); write the secret into that file")
        except UnicodeDecodeError:
            self._add(twin, f"{given!r} is not UTF-8 text; expected one secret")
        else:
            if not secret or len(content) > LONGEST_SECRET:
                self._add(twin, f"{given!r} is empty or larger than 64 KiB; expected one secret")
            else:
                section[place[-1]] = secret

    def _add(self, place: Place, message: str) -> None:
        self._failed.append(place)
        self.problems.append(Problem(self._place(place), message))

    def _place(self, place: Place) -> str:
        """Where a key was written: its variable if it or what holds it came from there, else the file."""
        for length in range(len(place), 0, -1):
            variable = PREFIX + "__".join(place[:length]).upper()
            if variable in self.variables:
                return f"environment: {variable}"
        dotted = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in place).lstrip(".")
        return f"{self.name}: {dotted}" if dotted else self.name

    def _loc(self, item: ErrorDetails) -> Place:
        return tuple(str(part) for part in item["loc"])

    def _sentence(self, item: ErrorDetails) -> str:
        place = self._loc(item)
        if item["type"] == "missing":
            fields = _model_at(place[:-1]).model_fields
            said = [field.description for name, field in fields.items() if place[-1] in {name, field.alias}]
            return f"is missing; write {said[0] if said and said[0] else 'it'}"
        if item["type"] == "extra_forbidden":
            return unknown("key", place[-1], _names(_model_at(place[:-1])))
        if item["type"] in {"model_type", "model_attributes_type", "dict_type"}:
            return "expected a mapping of keys"
        error = item.get("ctx", {}).get("error")
        return str(error) if error is not None else f"{item['msg']}"


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`, key by key; a secret given above hides its twin below."""
    merged = dict(under)
    for key, value in over.items():
        twin = key.removesuffix("_file") if key.endswith("_file") else f"{key}_file"
        if twin not in over:
            merged.pop(twin, None)
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _section(raw: dict[str, Any], place: Place, *, create: bool = True) -> dict[str, Any] | None:
    section: Any = raw
    for key in place[:-1]:
        section = section.setdefault(key, {}) if create else section.get(key)
        if not isinstance(section, dict):
            return None
    return section  # type: ignore[no-any-return]


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model in a field's type, optional or not."""
    if get_origin(annotation) is dict:
        return None  # its keys are anybody's names
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _names(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """A model's keys as they are written, with the model under each that holds keys itself."""
    return {field.alias or name: _inner(field.annotation) for name, field in model.model_fields.items()}


def _model_at(place: Place) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for key in place:
        model = _names(model).get(key) or model
    return model


def _leaves(model: type[BaseModel], above: Place = ()) -> Iterator[Place]:
    for name, inner in _names(model).items():
        if inner is None:
            yield (*above, name)
        else:
            yield from _leaves(inner, (*above, name))


def _secrets(model: type[BaseModel]) -> list[Place]:
    """Every key that has a `_file` twin."""
    places = set(_leaves(model))
    return sorted(place for place in places if (*place[:-1], f"{place[-1]}_file") in places)


def _secrets_of_services(raw: dict[str, Any]) -> list[Place]:
    """The same for the services that the settings name."""
    services = raw.get("services")
    names = services if isinstance(services, dict) else {}
    return [("services", str(name), *place) for name in names for place in _secrets(FlagSettings)]


def _variables(model: type[BaseModel]) -> tuple[set[str], tuple[str, ...]]:
    """The names of all variables, and the beginnings of those whose end is free."""
    names = {PREFIX + "__".join(place).upper() for place in _leaves(model)}
    return names, (f"{PREFIX}PROMETHEUS__HEADERS__", f"{PREFIX}SERVICES__")


def rollout_files(settings: Settings) -> list[Path]:
    """The files that `rollouts:` names, pattern by pattern, each sorted; a file is listed once.

    A name without wildcards is listed even when there is no such file, so that loading can say so.
    """
    files: dict[Path, None] = {}
    for pattern in settings.rollouts:
        if not glob.has_magic(pattern.name) and not glob.has_magic(str(pattern)):
            files[pattern] = None
            continue
        root = settings.directory.absolute()
        inside = pattern.is_relative_to(root)
        matches = glob.glob(  # noqa: PTH207 - Path.glob cannot take an absolute pattern
            str(pattern.relative_to(root) if inside else pattern), root_dir=root if inside else None, recursive=True
        )
        files.update(dict.fromkeys(root / match for match in sorted(matches)))
    return list(files)


def load_all(settings: Settings) -> list[tuple[Path, Rollout | ConfigError]]:
    """Every rollout file with its rollout, or with what is wrong with it; a name used before is refused."""
    loaded: list[tuple[Path, Rollout | ConfigError]] = []
    names: dict[str, str] = {}
    facts = settings.facts()
    for path in rollout_files(settings):
        shown = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
        try:
            rollout = parse_rollout(read_text(path), shown, facts)
        except ConfigError as error:
            loaded.append((path, error))
            continue
        if rollout.name in names:
            message = f"{rollout.name!r} is already the name of {names[rollout.name]}; a name is used once"
            loaded.append((path, ConfigError([Problem(f"{shown}: rollout", message)])))
            continue
        names[rollout.name] = shown
        loaded.append((path, rollout))
    return loaded


def revealed(secret: SecretStr | None) -> str | None:
    """A secret's text, for the one place that sends it; None stays None."""
    return secret.get_secret_value() if secret is not None else None
