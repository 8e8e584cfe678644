#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""The sessions of the project. `nox -l` lists them, and CONTRIBUTING.md says when to use which.

They run with `uvx nox`, `pipx run nox`, `uv run noxfile.py` and a nox installed by pip. They use uv if it is
installed, else virtualenv and pip.
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
# A missing Python is an error, and is not downloaded.
nox.options.download_python = "never"
nox.options.sessions = ["lint", "typing", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
COVERAGE_FLOOR = 95
PYTHONS = ["3.11", "3.12", "3.13"]
# With more than four processes, tests that measure time become unreliable. A debugger needs `-n 0`.
PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
# Slow tests wait more than they compute, so four processes are right on any machine. Each process runs whole
# files, because tests that measure memory or share a server need their order. tests/conftest.py starts long
# files first.
PARALLEL_SLOW = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
# Hypothesis draws all examples. In the other sessions it draws a fifth of them.
THOROUGH = {"IMGWIRE_TESTS_THOROUGH": "1"}


def compiled(session: nox.Session) -> dict[str, str]:
    """Return an environment in which the processes of a session share compiled modules.

    Some installers do not compile modules. If Python cannot write beside the sources, each process would
    compile them.
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
        # Some files were rejected. Without this line nox would exit with 1.
        raise SystemExit(3) from None


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, with the extras installed; arguments go to pytest."""
    install(session, "tests", "demo", extras="speed,emulator")
    session.run("pytest", *PARALLEL, *session.posargs, env=compiled(session))


@nox.session(python="3.13")
def coverage(session: nox.Session) -> None:
    """Run all tests, also the slow ones, and require the minimum of branch coverage."""
    install(session, "tests", "slow", "frameworks", "demo", extras="speed,emulator")
    # In the folder of this session, so that several sessions can run at the same time.
    data = Path(session.create_tmp()) / "coverage"
    for old in data.parent.glob("coverage*"):
        old.unlink()
    env = {**compiled(session), **THOROUGH, "COVERAGE_FILE": str(data)}
    # Coverage starts pytest, because pytest-cov would start after pytest has loaded the package's plugin.
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
    """Run the slow tests, such as those of big bodies, TLS, uvloop, frameworks and a browser."""
    install(session, "tests", "slow", "frameworks", "demo", extras="speed,emulator")
    env = {**compiled(session), **THOROUGH}
    session.run("pytest", "-m", "slow or long or hypothesis", *PARALLEL_SLOW, *session.posargs, env=env)


@nox.session
def sources(session: nox.Session) -> None:
    """Run the tests of batch runs over S3, against an S3 server. They need s3fs, with many dependencies."""
    install(session, "tests", "sources", extras="speed,emulator,cloud")
    session.run(
        "pytest", "-m", "", *PARALLEL_SLOW, *(session.posargs or ["tests/sources"]), env=compiled(session)
    )


@nox.session
def soak(session: nox.Session) -> None:
    """Run a steady load, then random runs: `nox -s soak -- [MINUTES] [--tls]`, two minutes by default.

    The seed is printed.
    """
    install(session, "tests", extras="speed,emulator")
    session.run("python", "-W", "error", "-m", "tests.property.soak", *session.posargs, env=compiled(session))


@nox.session
def prerelease(session: nox.Session) -> None:
    """Run the tests on pre-releases of aiohttp, to find early what will break."""
    install(session, "tests", "demo", extras="speed,emulator")
    session.install("--upgrade", "--pre", "aiohttp")
    session.run("python", "-c", "import aiohttp; print('aiohttp', aiohttp.__version__)")
    session.run("pytest", *session.posargs, env=compiled(session))


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and rules with ruff; `nox -s lint -- --fix` fixes what it can."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and basedpyright, both strict; every public name must be typed."""
    install(session, "typing", extras="speed,emulator")
    session.run("mypy")
    # Without this option basedpyright would use a .venv of this folder, which may hold only nox.
    environment = ["--pythonpath", str(shutil.which("python", path=session.bin))]
    session.run("basedpyright", *environment, "--warnings")
    report = session.run(
        "basedpyright", *environment, "--verifytypes", "imgwire_async", "--ignoreexternal", "--outputjson",
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
    """Build the pages into site/. `nox -s docs -- serve` shows a live preview."""
    install(session, "docs")
    if session.posargs:
        session.run("zensical", *session.posargs)
        return
    shutil.rmtree("site", ignore_errors=True)
    session.run("zensical", "build", "--clean", "--strict")
    # Pages may link to other hosts, but pictures, scripts and styles must come from the site.
    foreign = re.compile(
        r"""<(?:script|img|link(?! rel=.?canonical)|iframe|source)\b[^>]*\s(?:src|href|srcset)=["']?(?:https?:)?//[^\s"'>]+"""
    )
    for page in Path("site").rglob("*.html"):
        if found := foreign.search(page.read_text("utf-8")):
            session.error(f"{page} fetches from another host: {found[0]}")


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the speed with that of raw libraries: `nox -s bench [-- --quick] [-- NAME ...]`."""
    install(session, "bench", extras="speed")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel into dist/, check their content, then test the wheel.

    The wheel is tested alone on every Python, and together with other libraries. `nox -s build -- v1.2.3`
    fails unless version and changelog are ready for that tag.
    """
    for tag in session.posargs:
        require_ready(session, tag)
    session.install(*nox.project.dependency_groups(PROJECT, "build"))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", "dist", silent=True)
    wheel, sdist = built(session)
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    names = zipfile.ZipFile(wheel).namelist()
    if "imgwire_async/py.typed" not in names:
        session.error(f"{wheel} lacks py.typed")
    foreign = [name for name in names if not name.startswith(("imgwire_async/", "imgwire_async-"))]
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
    """Return the wheel and the sdist in dist/."""
    wheels, sdists = list(Path("dist").glob("*.whl")), list(Path("dist").glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        session.error("dist/ must hold one wheel and one sdist: run `nox -s build`")
    return wheels[0].resolve(), sdists[0].resolve()


def smoke_test(session: nox.Session, wheel: Path) -> None:
    script = Path("tests/smoke.py").resolve()
    # Outside the repository, so that the installed wheel is imported. `-I` also ignores PYTHONPATH.
    session.chdir(session.create_tmp())
    session.run("python", "-I", "-W", "error", str(script), wheel.name.split("-")[1])


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Install only the wheel, without extras, and upload a file. `nox -s build` calls this session."""
    wheel, _ = built(session)
    session.install(str(wheel))
    smoke_test(session, wheel)


@nox.session
def beside(session: nox.Session) -> None:
    """Install the wheel with its extras and common libraries, and check that they do not conflict."""
    wheel, _ = built(session)
    session.install("pip", f"{wheel}[speed,emulator,otel]", *nox.project.dependency_groups(PROJECT, "beside"))
    session.run("python", "-m", "pip", "check")
    session.run("python", "-c", "import httpx, openai, s3fs, imgwire_async.otel")
    smoke_test(session, wheel)


if __name__ == "__main__":
    nox.main()
