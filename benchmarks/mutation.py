"""How many small faults the tests notice: mutmut on each module of the algorithm, with the module's own tests.

    python -m benchmarks.mutation                        modules that changed, or their tests, since they were measured
    python -m benchmarks.mutation pez_core/search.py     these modules, anew

A copy of the project lies in `.mutation/` for each module while it is measured. Each module is written to the results
as soon as it is done, so an interrupted run continues where it stopped. Needs fork: Linux or macOS.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from .machine import facts

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / ".mutation"
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
CORE, LANGUAGE = "tests/core", "tests/core/language"
TESTS = {
    "pez_core/objectives.py": [f"{CORE}/test_objectives.py"],
    "pez_core/optimiser/projection.py": [f"{CORE}/test_projection.py"],
    "pez_core/optimiser/descent.py": [f"{CORE}/test_descent.py"],
    "pez_core/optimiser/refinement.py": [f"{CORE}/test_refinement.py"],
    "pez_core/optimiser/run.py": [f"{CORE}/test_run.py"],
    "pez_core/device/read_ahead.py": [f"{CORE}/test_reading.py"],
    "pez_core/feature_judge.py": [f"{CORE}/test_feature_judge.py"],
    "pez_core/best.py": [f"{CORE}/test_best.py", f"{CORE}/test_returned_text.py"],
    "pez_core/vocabulary.py": [f"{CORE}/test_vocabulary.py"],
    "pez_core/search.py": [f"{CORE}/test_search.py", f"{CORE}/test_out_of_memory.py"],
    "pez_core/language/judge.py": [f"{LANGUAGE}/test_judge.py"],
    "pez_core/language/methods.py": [f"{LANGUAGE}/test_methods.py"],
    "pez_core/language/ranking.py": [f"{LANGUAGE}/test_ranking.py"],
    "pez_core/language/classifier.py": [f"{LANGUAGE}/test_classifier.py"],
    "pez_core/language/vocabulary.py": [f"{LANGUAGE}/test_vocabulary.py", f"{LANGUAGE}/test_model.py"],
    "pez_core/language/fit.py": [f"{LANGUAGE}/test_fit.py"],
}
SLOW = [f"{CORE}/test_search.py::test_a_word_preference_leaves_fewer_fragments"]
CONFIGURATION = """
[tool.mutmut]
source_paths = ["pez_core/"]
only_mutate = [{module}]
also_copy = ["benchmarks/"]
do_not_mutate_patterns = ["logging[.]"]
pytest_add_cli_args = {arguments}
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 10.0
timeout_constant = 20.0
track_dependencies = false
use_git_change_detection = false
"""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def measured(module: str) -> dict[str, object]:
    """A row of the results: mutants, those killed (those that ran out of time included), and the survivors as diffs."""
    began = time.monotonic()
    folder = _prepared(module)
    _mutmut(folder, "run")
    _mutmut(folder, "export-cicd-stats")
    counts = json.loads((folder / "mutants" / "mutmut-cicd-stats.json").read_text())
    listed = [line.strip().split(": ") for line in _mutmut(folder, "results").splitlines() if ": " in line]
    survivors = [_survivor(folder, name, status) for name, status in listed if status != "timeout"]
    killed = counts["killed"] + counts["timeout"]
    if counts["check_was_interrupted_by_user"] or killed + len(survivors) != counts["total"]:
        raise RuntimeError(f"{module}: {counts} and {len(survivors)} survivors do not add up to a whole run")
    return {
        "module": module,
        "mutants": counts["total"],
        "killed": killed,
        "timeouts": counts["timeout"],
        "seconds": round(time.monotonic() - began),
        "not_mutated": _decorated(ROOT / module),
        "survivors": survivors,
        "tests": TESTS[module],
        "state": _state(module),
    }


def _prepared(module: str) -> Path:
    """A copy of what the tests need, set up for mutmut."""
    folder = SCRATCH / module.removesuffix(".py").replace("/", ".")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("pez_core", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results", "comfyui"))
    arguments = ["--hypothesis-profile=ci", *(f"--deselect={test}" for test in SLOW)]
    text = CONFIGURATION.format(
        module=json.dumps(module), arguments=json.dumps(arguments), tests=json.dumps(TESTS[module])
    )
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + text)
    return folder


def _mutmut(folder: Path, *arguments: str) -> str:
    """mutmut's output; that of a run goes to the terminal. One thread each, since a fork copies no other threads."""
    shown = None if arguments[0] == "run" else subprocess.PIPE
    finished = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder, env={**os.environ, **ONE_THREAD}, stdout=shown, text=True, check=True,
    )  # fmt: skip
    return finished.stdout or ""


def _survivor(folder: Path, name: str, status: str) -> dict[str, str]:
    """The function that was changed, the line as it was and as the mutant has it; `no tests` never ran."""
    lines = [line for line in _mutmut(folder, "show", name).splitlines() if not line.startswith(("---", "+++"))]
    return {
        "function": re.sub(r"^x[_ǁ]|__mutmut_\d+$", "", name.rpartition(".")[2]).replace("ǁ", "."),
        "line": "\n".join(line[1:].strip() for line in lines if line.startswith("-")),
        "mutant": "\n".join(line[1:].strip() for line in lines if line.startswith("+")),
        "status": status,
    }


def _decorated(path: Path) -> list[str]:
    """Functions that mutmut leaves alone, because they have a decorator."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return [node.name for node in functions if node.decorator_list]


def _state(module: str) -> str:
    """A hash of the module and its tests."""
    files = [module, *TESTS[module]]
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in files)).hexdigest()[:16]


def _write(row: dict[str, object]) -> None:
    """Put the row in its place among the results; the head is that of the latest run."""
    rows = {old["module"]: old for old in _rows()} | {row["module"]: row}
    ordered = [rows[module] for module in TESTS if module in rows]
    head = {**facts(torch.device("cpu")), "mutmut": version("mutmut")}
    RESULTS.write_text(json.dumps({**head, "rows": ordered}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rows() -> list[dict]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []


def summary() -> str:
    lines = ["| module | mutants | killed | share | seconds |", "|---|---|---|---|---|"]
    for row in _rows():
        share = row["killed"] / row["mutants"]
        lines.append(f"| {row['module']} | {row['mutants']} | {row['killed']} | {share:.1%} | {row['seconds']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    modules = parser.parse_args().modules
    for module in modules:
        if module not in TESTS:
            parser.error(f"{module} is none of the modules that are measured; choose of {', '.join(TESTS)}")
    states = {row["module"]: row["state"] for row in _rows()}
    for module in modules or [module for module in TESTS if states.get(module) != _state(module)]:
        _write(measured(module))
        shutil.rmtree(SCRATCH / module.removesuffix(".py").replace("/", "."))
    print(summary())


if __name__ == "__main__":
    main()
