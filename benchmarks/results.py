"""Write the results of a run as JSON, and read them."""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.job import Sample

LIBRARIES = (
    "imgwire-async",
    "aiohttp",
    "anyio",
    "attrs",
    "cattrs",
    "orjson",
    "yarl",
    "uvloop",
    "httpx",
    "urllib3",
    "requests",
    "msgspec",
    "pydantic",
)


@dataclass(frozen=True)
class Result:
    """The samples of one case."""

    case: str
    part: str
    work: Mapping[str, Any]
    samples: Mapping[str, Sequence[Sample]]

    @classmethod
    def of(cls, case: Case, samples: Mapping[str, Sequence[Sample]]) -> Result:
        return cls(
            case.name,
            case.work.part,
            asdict(case.work),
            {kind: [_rounded(sample) for sample in some] for kind, some in samples.items()},
        )


def _rounded(sample: Sample) -> Sample:
    return {name: float(f"{value:.5g}") for name, value in sample.items()}


def machine() -> dict[str, Any]:
    """Return data about the machine. A load above the number of cores makes figures imprecise."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def write(path: Path, results: Sequence[Result], rounds: int) -> None:
    """Write the samples of a run. Samples of other cases in the file are kept."""
    old = read(path) if path.exists() else []
    new = {result.case for result in results}
    kept = [result for result in old if result.case not in new]
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "machine": machine(),
        "results": [asdict(result) for result in (*kept, *results)],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def read(path: Path) -> list[Result]:
    """Read the samples of an earlier run."""
    return [Result(**result) for result in json.loads(path.read_text("utf-8"))["results"]]
