"""The rules of the code base that a machine can hold: direction of imports, sizes, names, and what is depended upon."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "watchdog"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")

LONGEST_FILE = 320
LONGEST_FUNCTION = 60
MODULES_OF_THE_OTHER_WATCHDOG = {"events", "observers", "tricks", "utils", "version", "watchmedo"}
"""PyPI's `watchdog` has our import name: none of its modules may seem to be there."""
MAY_CATCH_EVERYTHING = 4
"""The job wrapper, the HTTP handler, what guards a channel, and the thread that takes over: each stands between one
fault and everybody else."""
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter"}


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def contract(name: str) -> dict[str, list[str]]:
    return next(item for item in PROJECT["tool"]["importlinter"]["contracts"] if item["id"] == name)


def requirement_name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_every_import_contract_is_kept() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_file_is_too_long_to_read() -> None:
    lengths = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {file: lines for file, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_too_long_to_read() -> None:
    lengths = {
        f"{place(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in SOURCES
        for function in functions(parsed(path))
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_no_module_is_a_drawer_or_has_a_name_of_the_other_watchdog() -> None:
    assert [place(path) for path in SOURCES if path.stem in MODULES_OF_THE_OTHER_WATCHDOG] == []


def test_the_pure_core_never_asks_what_time_it_is() -> None:
    pure = [PACKAGE / name.removeprefix("watchdog.").replace(".", "/") for name in contract("pure")["source_modules"]]
    files = [file for path in pure for file in (path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])]
    asked = [
        f"{place(file)}:{node.lineno}"
        for file in files
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    ]
    assert asked == []


def test_only_the_job_wrapper_the_http_handler_and_a_channels_thread_catch_everything() -> None:
    caught = [
        f"{place(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert len(caught) <= MAY_CATCH_EVERYTHING, caught


def test_every_layer_of_the_contract_exists() -> None:
    listed = {
        module.strip().strip("()") for layer in contract("layers")["layers"] for module in re.split(r"[|:]", layer)
    }
    assert listed == {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__"}


def test_every_locked_package_has_its_hashes_and_no_address() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.strip())
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.findall(r"://|--find-links|--index|--trusted", LOCK) == []


def test_the_lock_holds_every_dependency_and_what_builds_the_project() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = {requirement_name(item) for group in (PROJECT["project"]["dependencies"], *extras) for item in group}
    locked = set(re.findall(r"^([a-z0-9][a-z0-9.-]*)==", LOCK, flags=re.MULTILINE))
    assert wanted | {"setuptools", "wheel", "pip-tools"} <= locked


@pytest.mark.parametrize("requirement", PROJECT["project"]["dependencies"])
def test_every_runtime_dependency_is_justified(requirement: str) -> None:
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")
    assert f"| `{requirement_name(requirement)}` |" in page


def test_nothing_heavy_comes_along_at_run_time() -> None:
    code = "import watchdog.cli, sys; print(sorted({'numpy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "[]\n", result.stderr


def test_a_command_that_draws_no_table_starts_without_rich() -> None:
    program = (
        "import sys, watchdog.cli, structlog; print([name for name in ('rich', 'pygments') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_wheel_carries_rules_templates_and_nothing_of_the_tests(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("watchdog", "rules", "tests", "bench"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-input"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("slo_watchdog-*.whl"))) as wheel:
        names = set(wheel.namelist())
    data = {path for path in PACKAGE.rglob("*") if path.suffix in {".html", ".css", ".j2", ".typed"}}
    data |= set((PACKAGE / "web" / "static").iterdir())
    rules = {f"watchdog/_rules/{path.relative_to(ROOT / 'rules')}" for path in (ROOT / "rules").rglob("*.yaml")}
    assert {place(path) for path in data} | {place(path) for path in SOURCES} | rules <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"watchdog"}
