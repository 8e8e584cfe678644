#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Everything that is run around the package; `nox -l` lists it, CONTRIBUTING.md tells when to use what.

Works with `uvx nox`, `pipx run nox`, `uv run noxfile.py` and a nox from plain pip; with uv where it is there, else with
virtualenv and pip.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"  # a missing Python is told, not fetched
nox.options.sessions = ["lint", "typing", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
COVERAGE_FLOOR = 95
PYTHONS = ["3.11", "3.12", "3.13"]
# More processes than four would only fight over the timing tests' clocks; a debugger wants `-n 0`.
PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
# Slow tests wait more than they compute: four processes on any machine. A file at a time: what measures memory, or drives one
# server, wants its own order. tests/conftest.py sees to it that no long file is begun last.
PARALLEL_SLOW = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
# All examples of what hypothesis draws, of which the other sessions draw a fifth.
THOROUGH = {"IMGWIRE_TESTS_THOROUGH": "1"}


def compiled(session: nox.Session) -> dict[str, str]:
    """Environment in which modules are compiled once and not in each of a session's many processes.

    Not every installer compiles, and where Python may write nothing beside the sources, each process would do it anew.
    """
    return {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(Path(session.cache_dir, "compiled").resolve()),
    }


def install(session: nox.Session, *groups: str, extras: str = "", constraints: str | None = None) -> None:
    """Install the package from this tree, with dependency groups of pyproject.toml."""
    wanted = [
        requirement for group in groups for requirement in nox.project.dependency_groups(PROJECT, group)
    ]
    limits = ["-c", constraints] if constraints else []
    session.install("-e", f".[{extras}]" if extras else ".", *wanted, *limits)


@nox.session
def demo(session: nox.Session) -> None:
    """Upload pictures to the embedded emulator: `nox -s demo [-- FOLDER]`."""
    install(session, "demo")
    try:
        session.run("python", "examples/demo.py", *session.posargs)
    except CommandFailed as failure:
        if failure.reason != "Returned code 3":
            raise
        raise SystemExit(3) from None  # files were refused and named: nox alone would make a 1 of it


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, with the extras installed; arguments go to pytest."""
    install(session, "tests", "demo", extras="speed,emulator")
    session.run("pytest", *PARALLEL, *session.posargs, env=compiled(session))


@nox.session(python="3.13")
def coverage(session: nox.Session) -> None:
    """Run all tests, the slow ones with them, and hold the package's branch coverage to its floor."""
    install(session, "tests", "slow", "frameworks", "demo", extras="speed,emulator")
    data = Path(session.create_tmp()) / "coverage"  # of this session alone, so that several may run at once
    for old in data.parent.glob("coverage*"):
        old.unlink()
    env = {**compiled(session), **THOROUGH, "COVERAGE_FILE": str(data)}
    # Coverage starts first: a pytest plugin of the package is loaded before pytest-cov would begin to look.
    session.run("coverage", "run", "-m", "pytest", "-m", "", *PARALLEL_SLOW, *session.posargs, env=env)
    session.run("coverage", "combine", "--quiet", env=env)
    session.run("coverage", "report", f"--fail-under={COVERAGE_FLOOR}", env=env)


@nox.session(python=["3.11", "3.13"])
def tests_lowest(session: nox.Session) -> None:
    """Run the tests on the lowest dependencies that pyproject.toml allows, without extras."""
    install(session, "tests", constraints="tests/lowest.txt")
    session.run("pytest", *PARALLEL, *session.posargs, env=compiled(session))


@nox.session
def slow(session: nox.Session) -> None:
    """Run what takes long: big bodies, flipped emulator switches, TLS and uvloop, another store, frameworks, a browser."""
    install(session, "tests", "slow", "frameworks", "demo", extras="speed,emulator")
    env = {**compiled(session), **THOROUGH}
    session.run("pytest", "-m", "slow or hypothesis", *PARALLEL_SLOW, *session.posargs, env=env)


@nox.session
def soak(session: nox.Session) -> None:
    """Live through a steady state and random nights: `nox -s soak -- [MINUTES] [--tls]`, two by default; a seed is printed."""
    install(session, "tests", extras="speed,emulator")
    session.run("python", "-W", "error", "-m", "tests.property.soak", *session.posargs, env=compiled(session))


@nox.session
def prerelease(session: nox.Session) -> None:
    """Run the tests on pre-releases of aiohttp, to hear early what will break."""
    install(session, "tests", "demo", extras="speed,emulator")
    session.install("--upgrade", "--pre", "aiohttp")
    session.run("python", "-c", "import aiohttp; print('aiohttp', aiohttp.__version__)")
    session.run("pytest", *session.posargs, env=compiled(session))


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and rules with ruff; `nox -s lint -- --fix` mends what it can."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and basedpyright, both strict; every public name must be typed."""
    install(session, "typing", extras="speed,emulator")
    session.run("mypy")
    # It would look for imports in a .venv of this folder, which holds nox alone.
    here = ["--pythonpath", str(shutil.which("python", path=session.bin))]
    session.run("basedpyright", *here, "--warnings")
    report = session.run(
        "basedpyright", *here, "--verifytypes", "imgwire_async", "--ignoreexternal", "--outputjson",
        silent=True, success_codes=[0, 1],
    )  # fmt: skip
    completeness = json.loads(str(report))["typeCompleteness"]
    for symbol in completeness["symbols"]:
        if symbol["isExported"] and not symbol["isTypeKnown"] and symbol["diagnostics"]:
            session.warn(f"{symbol['name']}: {symbol['diagnostics'][0]['message']}")
    session.log(f"{completeness['completenessScore']:.2%} of the public names have a known type")
    if completeness["completenessScore"] < 1:
        session.error("every public name must have a known type")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages into site/; a broken link is an error. `nox -s docs -- serve` shows them while you write."""
    install(session, "docs")
    if session.posargs:
        session.run("zensical", *session.posargs)
        return
    shutil.rmtree("site", ignore_errors=True)
    session.run("zensical", "build", "--clean", "--strict")
    # A reader's browser asks nobody but the site: links may lead away, pictures, scripts and styles may not.
    foreign = re.compile(
        r"""<(?:script|img|link(?! rel=.?canonical)|iframe|source)\b[^>]*\s(?:src|href|srcset)=["']?(?:https?:)?//[^\s"'>]+"""
    )
    for page in Path("site").rglob("*.html"):
        if found := foreign.search(page.read_text("utf-8")):
            session.error(f"{page} fetches from another host: {found[0]}")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the raw floors in the same run: `nox -s bench [-- --quick] [-- NAME ...]`."""
    install(session, "bench", extras="speed")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel into dist/, look into both, then try the wheel: alone on every Python, and beside others.

    `nox -s build -- v1.2.3` refuses unless version and changelog are ready for that tag.
    """
    for tag in session.posargs:
        require_ready(session, tag)
    session.install(*nox.project.dependency_groups(PROJECT, "build"))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", "dist", silent=True)
    wheel, sdist = built(session)
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    inside = zipfile.ZipFile(wheel).namelist()
    if "imgwire_async/py.typed" not in inside:
        session.error(f"{wheel} lacks py.typed")
    foreign = [name for name in inside if not name.startswith(("imgwire_async/", "imgwire_async-"))]
    if foreign:
        session.error(f"{wheel} holds more than the package: {', '.join(foreign)}")
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"noxfile.py", "tests/lowest.txt", "README.md", "LICENSE", "SECURITY.md", "CONTRIBUTING.md"}
    if missing := wanted - sources:
        session.error(f"{sdist} lacks {', '.join(sorted(missing))}")
    for python in PYTHONS:
        session.notify(f"smoke-{python}")
    session.notify("beside")


def require_ready(session: nox.Session, tag: str) -> None:
    """End the session unless this tree is the release that the tag names."""
    source = Path("imgwire_async/__init__.py").read_text("utf-8")
    version = source.partition('__version__ = "')[2].partition('"')[0]
    if tag != f"v{version}":
        session.error(f"the tag is {tag}, but the package says {version}")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, Path("CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        session.error(f"CHANGELOG.md has no heading for {version} with a date")


def built(session: nox.Session) -> tuple[Path, Path]:
    """The wheel and the sdist in dist/."""
    wheels, sdists = list(Path("dist").glob("*.whl")), list(Path("dist").glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        session.error("dist/ must hold one wheel and one sdist: run `nox -s build`")
    return wheels[0].resolve(), sdists[0].resolve()


def smoke_test(session: nox.Session, wheel: Path) -> None:
    script = Path("tests/smoke.py").resolve()
    session.chdir(session.create_tmp())  # away from the tree, so that the wheel is what gets imported
    # `-I`: nothing but what is installed.
    session.run("python", "-I", "-W", "error", str(script), wheel.name.split("-")[1])


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Install the wheel in an empty environment, without extras, and upload with it. `nox -s build` calls this."""
    wheel, _ = built(session)
    session.install(str(wheel))
    smoke_test(session, wheel)


@nox.session
def beside(session: nox.Session) -> None:
    """Install the wheel with its extras beside libraries that many have, and see that none stands in another's way."""
    wheel, _ = built(session)
    session.install("pip", f"{wheel}[speed,emulator,otel]", *nox.project.dependency_groups(PROJECT, "beside"))
    session.run("python", "-m", "pip", "check")
    session.run("python", "-c", "import httpx, openai, s3fs, imgwire_async.otel")
    smoke_test(session, wheel)


if __name__ == "__main__":
    nox.main()
