"""Unchanged seeds give unchanged results: every command against what it printed before, in data/recorded.json.

A change that is meant to change results records them anew:

    python -m pytest tests/core/test_recorded.py --record
"""

import json
from pathlib import Path

import pytest
from tiny_language import make_examples

from pez_core.command_line import main

RECORDED = Path(__file__).parents[1] / "data" / "recorded.json"
ROUNDING = 1e-4
ON_CPU = ("--device", "cpu")

SEARCH = "--language 0 --tokens 4 --steps 20 --candidates 2 --seed 11 --json"
FIT = (
    "classify fit --train {folder}/train.tsv --text text --label label --verbalizer bad=terrible,good=great "
    "--model {model} --out {folder}/fit --few-shot 16 --steps 30 --seed 5 --json"
)
PART = "--data {folder}/test.tsv --text text --label label --model {model} --limit 24 --json"
DISTILL = "distill one_two_three_four_five_six_seven"
COMMANDS = (
    "invert {a} --seed 11 --json",
    "invert {a} --tokens 4 --seed 11 --avoid {c} --prefix photo --suffix cold --block red --json",
    "style {a} {b} {c} --seed 11 --json",
    "negative {a} --seed 11 --keep {b} --json",
    f"{DISTILL} --ratio 0.5 --seed 11 --json",
    f"{DISTILL} --ratio 0.5 --mode conditioning --seed 11 --json",
    "refine a_drawing_of_a_dog {a} --seed 11 --json",
    f"invert {{a}} {SEARCH}",
    f"invert {{a}} {{b}} {SEARCH} --avoid {{c}} --prefix photo --suffix cold --block red",
    f"invert {{c}} {SEARCH} --token-filter printable --word-preference 0.2 --refinement 0",
    f"style {{a}} {{b}} {{c}} {SEARCH} --batch 2",
    f"negative {{a}} {SEARCH} --keep {{b}}",
    f"{DISTILL} {SEARCH} --learning-rate 0.2 --weight-decay 0",
    f"{DISTILL} --language 0 --ratio 0.5 --steps 20 --mode conditioning --seed 11 --json",
    "concat red_rocket blue_moon --json",
    "score red_rocket {a} {b} --json",
    *(f"{FIT} --method {method}" for method in ("pez", "pez+refine", "autoprompt", "fluentprompt", "soft", "template")),
    f"{FIT} --method pez --candidates 2 --fluency 0.3 --block people",
    f"classify eval {PART} --verbalizer bad=terrible,good=great --prompt overall_verdict",
    f"classify transfer {PART} --from {{folder}}/kept --best 2",
)  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory, model_folder, picture_files):
    """What stands for the names in braces."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, count, seed in (("train", 80, 1), ("test", 40, 2)):
        some = make_examples(count, seed)
        lines = [f"{text}\t{('bad', 'good')[label]}" for text, label in zip(some.texts, some.labels)]
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]), encoding="utf-8")
    pictures = dict(zip("abc", picture_files))
    kept = FIT.replace("{folder}/fit", "{folder}/kept")
    found = {"folder": folder, "model": model_folder, **pictures}
    assert main([*(part.format(**found) for part in kept.split()), *ON_CPU]) == 0
    return found


def printed(command, places, capsys, out):
    """The JSON that a command prints, with spaces where the command has underscores."""
    capsys.readouterr()
    arguments = command.replace("{folder}/fit", str(out)).split()
    words = [part.format(**places) if "{" in part else part.replace("_", " ") for part in arguments]
    assert main([*words, *ON_CPU]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gives_what_it_gave_before(command, places, capsys, tmp_path, request):
    found = printed(command, places, capsys, tmp_path / "fit")
    known = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    if request.config.getoption("--record"):
        known[command] = found
        kept = {name: known[name] for name in COMMANDS if name in known}
        RECORDED.write_text(json.dumps(kept, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
        pytest.skip("recorded anew")
    assert_alike(found, known[command])


def assert_alike(found, known):
    """Ids and texts are the same, other numbers but for the rounding of processors. Keys may be added."""
    assert type(found) is type(known)
    if isinstance(known, dict):
        assert found.keys() >= known.keys()
        for key in known:
            assert_alike(found[key], known[key])
    elif isinstance(known, list):
        assert len(found) == len(known)
        for one, other in zip(found, known):
            assert_alike(one, other)
    elif isinstance(known, float):
        assert found == pytest.approx(known, rel=ROUNDING, abs=ROUNDING)
    else:
        assert found == known
