"""pez classify, as people run it."""

import json
import signal
import subprocess
import sys
import time

import pytest

from pez_core.command_line import main
from pez_core.language import FitSettings

COLUMNS = ["--text", "text", "--label", "label"]
WORDS = ["--verbalizer", "bad=terrible,good=great"]
FIT = ["--tokens", "2", "--steps", "20", "--learning-rate", "2"]


@pytest.fixture
def files(tmp_path, make_examples):
    for name, count, seed in (("train", 80, 1), ("test", 60, 2)):
        some = make_examples(count, seed)
        lines = [f"{text}\t{('bad', 'good')[label]}" for text, label in zip(some.texts, some.labels)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]), encoding="utf-8")
    return tmp_path


def run(capsys, *arguments):
    code = main(["classify", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def fit(capsys, model_folder, files, *more):
    train, out = files / "train.tsv", files / "run"
    return run(capsys, "fit", "--model", model_folder, "--train", train, "--out", out, *COLUMNS, *WORDS, *FIT, *more)


def test_fit_prints_the_prompt_and_writes_the_result(capsys, model_folder, files):
    code, out, err = fit(capsys, model_folder, files)
    text, accuracy = out.splitlines()
    written = json.loads((files / "run" / "result.json").read_text(encoding="utf-8"))
    assert code == 0 and written["text"] == text and accuracy.startswith("accuracy ")
    assert "step 20/20" in err


def test_a_saved_prompt_as_plain_text_in_a_fresh_process_gives_the_reported_accuracy(capsys, model_folder, files):
    _, out, _ = fit(capsys, model_folder, files, "--json")
    prompt = json.loads(out)["text"]
    common = ["--model", model_folder, "--data", files / "test.tsv", *COLUMNS, "--json"]
    _, reported, _ = run(capsys, "eval", *common, "--from", files / "run")
    command = [sys.executable, "-m", "pez_core", "classify", "eval", *common, *WORDS, "--prompt", prompt]
    fresh = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert json.loads(fresh.stdout) == pytest.approx(json.loads(reported))


def test_transfer_scores_the_best_prompts(capsys, model_folder, files):
    fit(capsys, model_folder, files)
    data = ["--model", model_folder, "--data", files / "test.tsv", *COLUMNS]
    code, out, _ = run(capsys, "transfer", *data, "--from", files / "run", "--best", "2", "--limit", "20", "--json")
    ranked = json.loads((files / "run" / "result.json").read_text(encoding="utf-8"))["ranked"]
    found = json.loads(out)
    assert code == 0 and [one["prompt"] for one in found] == [one["text"] for one in ranked[:2]]
    assert all(one["examples"] == 20 for one in found)


def test_few_shot_learns_from_some_examples_of_each_class(capsys, model_folder, files):
    code, out, _ = fit(capsys, model_folder, files, "--few-shot", "3")
    assert code == 0 and "on 6 examples to choose by" in out


def test_a_second_file_is_what_prompts_are_chosen_by(capsys, model_folder, files):
    dev = files / "test.tsv"
    for more, count in (([], 60), (["--few-shot", "3"], 6)):
        code, out, _ = fit(capsys, model_folder, files, "--dev", dev, "--out", files / f"run{count}", *more)
        assert code == 0 and f"on {count} examples to choose by" in out
        found = json.loads((files / f"run{count}" / "result.json").read_text(encoding="utf-8"))
        assert found["validated_on"] == count


def test_ctrl_c_keeps_the_best_and_the_same_command_goes_on(model_folder, files):
    arguments = [*COLUMNS, *WORDS, "--tokens", "2", "--steps", "3000", "--learning-rate", "2"]
    places = ["--model", model_folder, "--train", files / "train.tsv", "--out", files / "run"]
    command = [str(part) for part in (sys.executable, "-m", "pez_core", "classify", "fit", *places, *arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (files / "run" / "checkpoint.json").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "the same command goes on" in out
    assert json.loads((files / "run" / "checkpoint.json").read_text(encoding="utf-8"))["step"] >= 10


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--template", "It was {label}"], "has no {text}"),
        (["--text", "sentence"], "has no column 'sentence'"),
        (["--verbalizer", "bad=terrible"], "fewer than two classes"),
        (["--verbalizer", "bad=terrible,fine=great"], "has the label 'good'"),
        (["--verbalizer", "bad=terrible,good=great,odd=so"], "data has 0 examples of class 'odd'"),
        (["--few-shot", "100"], "not 200; give more or ask for fewer"),
        (["--dev", "none.tsv"], "data file 'none.tsv' could not be read"),
        (["--few-shot", "-3"], "few-shot is -3; choose 1 or more"),
        (["--few-shot", "0"], "few-shot is 0; choose 1 or more"),
        (["--learning-rate", "nan"], "learning rate is nan; choose more than 0"),
        (["--time-budget", "inf"], "time budget is inf; choose a number of seconds above 0, or none"),
        (["--seed", "-1"], "seed is -1; choose 0 to 2**64 - 1"),
        (["--batch", "0"], "batch is 0; choose 1 or more"),
    ],
)
def test_inputs_that_cannot_be_used_get_one_sentence(capsys, model_folder, files, more, message):
    code, out, err = fit(capsys, model_folder, files, *more)
    assert code == 2 and out == "" and err.startswith("pez: ") and message in err and err.count("\n") == 1


@pytest.mark.parametrize("count", ["-5", "0"])
@pytest.mark.parametrize(
    ("part", "name", "source"),
    [("eval", "limit", "--prompt"), ("transfer", "limit", "--from"), ("transfer", "best", "--from")],
)
def test_counts_below_one_get_one_sentence(capsys, model_folder, files, part, name, source, count):
    data = ["--model", model_folder, "--data", files / "test.tsv", *COLUMNS, *WORDS, source, "run"]
    code, out, err = run(capsys, part, *data, f"--{name}", count)
    assert (code, out, err) == (2, "", f"pez: {name} is {count}; choose 1 or more.\n")


FIT_OPTIONS = {
    "method": ("--method", "fluentprompt"),
    "tokens": ("--tokens", "3"),
    "steps": ("--steps", "7"),
    "candidates": ("--candidates", "2"),
    "batch": ("--batch", "9"),
    "fluency": ("--fluency", "0.25"),
    "seed": ("--seed", "11"),
    "learning_rate": ("--learning-rate", "0.5"),
    "token_filter": ("--token-filter", "printable"),
    "blocklist": ("--block", "so"),
    "time_budget": ("--time-budget", "1000"),
}


def test_every_setting_is_an_option_or_documented_as_for_python_only(capsys, model_folder, files):
    train, out = files / "train.tsv", files / "run"
    given = ["--model", model_folder, "--train", train, "--out", out, *COLUMNS, *WORDS]
    run(capsys, "fit", *given, *(part for option in FIT_OPTIONS.values() for part in option))
    settings = json.loads((out / "result.json").read_text(encoding="utf-8"))["settings"]
    values = {name: settings[name] for name in FIT_OPTIONS}
    assert values == {
        "method": "fluentprompt", "tokens": 3, "steps": 7, "candidates": 2, "batch": 9, "fluency": 0.25, "seed": 11,
        "learning_rate": 0.5, "token_filter": "printable", "blocklist": ["so"], "time_budget": 1000.0,
    }  # fmt: skip
    _, python_only = FitSettings.__doc__.split("For Python only")
    for field in set(settings) - set(FIT_OPTIONS):
        assert f"`{field}`" in python_only
        assert settings[field] == getattr(FitSettings(), field)
