"""The benchmarks are complete, their verdicts follow the rules, and the page shows the measured figures."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).parents[2]
# The benchmarks are run from the repository and never installed.
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from benchmarks import calls, cases, job, page, results, targets
else:
    calls, cases, job, page, results, targets = (
        importlib.import_module(f"benchmarks.{name}")
        for name in ("calls", "cases", "job", "page", "results", "targets")
    )

ALL = (*cases.CASES, *cases.GROWTH, *cases.BATCHES, cases.MILLION)


def sample(seconds: float, **others: float) -> dict[str, float]:
    return {"seconds": seconds, **others}


def verdict(target: Any, own: list[float], floor: list[float]) -> str:
    samples = {target.kind: [sample(x) for x in own], target.floor: [sample(x) for x in floor]}
    return targets.judge(target, samples).verdict


SPEED = targets.Target("a case", targets.SPEED, "floor", must=0.5, aim=1.0)
TIMES = targets.Target("a case", targets.TIMES, "floor", must=2.0, aim=1.0)
OVER = targets.Target("a case", targets.OVER, "floor", must=5.0, aim=1.0)


@pytest.mark.parametrize(
    ("target", "own", "expected"),
    [
        (SPEED, 1.0, "aim"),
        (SPEED, 1.5, "met"),
        (SPEED, 2.5, "missed"),
        (TIMES, 1.0, "aim"),
        (TIMES, 2.0, "met"),
        (TIMES, 2.1, "missed"),
        (OVER, 1.0009, "aim"),
        (OVER, 1.0049, "met"),
        (OVER, 1.0051, "missed"),
    ],
)
def test_the_verdict_compares_a_figure_with_must_and_aim(target: Any, own: float, expected: str) -> None:
    assert verdict(target, [own] * 3, [1.0] * 3) == expected


def test_a_must_missed_by_less_than_the_spread_of_the_baseline_is_met() -> None:
    steady, unsteady = [1.0, 1.0, 1.0], [0.9, 1.0, 1.1]
    assert verdict(TIMES, [2.1] * 3, steady) == "missed"
    assert verdict(TIMES, [2.1] * 3, unsteady) == "met within the noise"
    assert verdict(TIMES, [2.6] * 3, unsteady) == "missed"


def test_with_an_unsteady_baseline_only_rounds_that_agree_give_a_verdict() -> None:
    unsteady = [0.8, 1.0, 1.2]
    assert verdict(TIMES, [2.1] * 3, unsteady) == "undecided"
    assert verdict(TIMES, [9.0] * 3, unsteady) == "missed"
    assert verdict(TIMES, [1.5] * 3, unsteady) == "met"


def test_a_figure_with_a_unit_gets_no_allowance_for_noise() -> None:
    assert verdict(OVER, [1.0051] * 3, [0.9, 1.0, 1.1]) == "missed"


def test_a_ratio_is_computed_within_its_round() -> None:
    # The machine is three times slower in the second round, but the ratio is the same.
    samples = {"ours": [sample(2.0), sample(6.0)], "floor": [sample(1.0), sample(3.0)]}
    judged = targets.judge(TIMES, samples)
    assert (judged.low, judged.figure, judged.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    "target", targets.TARGETS, ids=lambda target: f"{target.case}, {target.kind}: {target.measure}"
)
def test_a_target_names_a_measured_case_and_its_kinds(target: Any) -> None:
    (case,) = [case for case in ALL if case.name == target.case]
    assert {target.kind, target.floor} <= set(case.kinds)
    assert (target.aim > target.must) == target.compare.more_is_better


def test_cases_have_unique_names() -> None:
    assert len({case.name for case in ALL}) == len(ALL)


def test_a_quick_run_covers_every_part() -> None:
    assert {case.work.part for case in ALL if case.quick is not None} == set(cases.PARTS.values())


@pytest.mark.parametrize("part", sorted(cases.PARTS.values()))
def test_a_part_is_a_module_with_a_function_that_measures_a_job(part: str) -> None:
    tree = ast.parse((ROOT / f"benchmarks/{part}.py").read_text("utf-8"))
    (measure,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "measure"]
    assert [argument.arg for argument in measure.args.args] == ["job"]


def test_a_job_is_equal_after_its_transfer_to_a_process() -> None:
    work = replace(cases.UPLOAD, tls=True)
    given = job.Job("ours", work, job.Endpoints(files="here", https="https://127.0.0.1:1", cafile="ca.pem"))
    assert job.Job.from_json(given.to_json()) == given


def test_the_module_for_external_drivers_has_six_functions() -> None:
    tree = ast.parse((ROOT / "benchmarks/ours.py").read_text("utf-8"))
    found = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert found == ["client", "upload_many", "upload_one", "retrieve", "list_all", "decode_page"]


def test_writing_results_replaces_those_of_the_same_case_and_keeps_the_others(tmp_path: Path) -> None:
    first, second = cases.CASES[:2]
    file = tmp_path / "results.json"
    results.write(file, [results.Result.of(case, {"x": [sample(1.0)]}) for case in (first, second)], 1)
    results.write(file, [results.Result.of(second, {"x": [sample(2.0)]})], 1)
    assert {r.case: r.samples["x"][0]["seconds"] for r in results.read(file)} == {
        first.name: 1.0,
        second.name: 2.0,
    }


def test_the_page_shows_the_figures_of_its_samples() -> None:
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text) == text
    assert text.count(" | >= ") + text.count(" | <= ") == len(targets.TARGETS)


def test_a_figure_on_the_page_has_at_least_five_rounds() -> None:
    found = {result.case: result for result in results.read(page.KEPT)}
    for target in targets.TARGETS:
        if target.case in found:
            assert len(found[target.case].samples[target.kind]) >= 5


def test_the_page_shows_the_counted_calls() -> None:
    text = calls.PAGE.read_text("utf-8")
    assert calls.filled(text, json.loads(calls.KEPT.read_text("utf-8"))) == text


def test_a_coroutine_that_waits_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_is_ours", lambda file: file == __file__)

    async def inner() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    def both() -> Iterator[int]:
        yield from (1, 2)

    async def outer() -> None:
        await inner()
        list(both())
        await inner()

    entered: list[Any] = []
    with calls.recording(entered):
        asyncio.run(outer())
    assert [code.co_name for code in entered] == ["outer", "inner", "both", "inner"]
    assert calls.Counted.of(entered) == calls.Counted(calls=4, functions=3, files=1, changes=0)


@pytest.mark.slow
def test_two_counts_of_calls_are_equal() -> None:
    first, second = asyncio.run(calls.count(10)), asyncio.run(calls.count(10))
    assert set(first) == set(second) == set(json.loads(calls.KEPT.read_text("utf-8"))["now"])
    for name in ("retrieve", "list", "image.url"):
        assert first[name] == second[name]
    # On a busy machine, more files are checked in threads.
    for name in ("upload", "upload_many", "download"):
        assert first[name].calls == pytest.approx(second[name].calls, rel=0.15)
