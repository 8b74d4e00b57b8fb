"""python -m pez_core, as people run it."""

import json
import signal
import subprocess
import sys
import time

import pytest

from pez_core import HardPrompt
from pez_core.command_line import main
from pez_core.guided import openings
from pez_core.language import TextReader

QUICK = ["--language", "0", "--tokens", "4", "--steps", "16", "--refinement", "0.25"]


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_invert_prints_the_prompt_and_ten_plain_lines_of_progress(capsys, picture_file):
    code, out, err = run(capsys, "invert", picture_file, *QUICK)
    text, similarity = out.splitlines()
    assert code == 0 and text and similarity.startswith("similarity 0.")
    assert err.count("\n") == 10 and err.startswith("step 2/20")


def test_a_text_that_grows_is_told_once_for_each_word(capsys, picture_file):
    code, out, err = run(capsys, "invert", picture_file, "--tokens", "4")
    lines = err.splitlines()
    assert code == 0 and len(lines) == len(set(lines)) >= 3
    assert lines[0].startswith("step 1/6") and lines[-1].endswith(out.splitlines()[0])


def test_json_holds_the_whole_result(capsys, picture_file):
    code, out, _ = run(capsys, "invert", picture_file, *QUICK, "--json", "--seed", "3", "--block", "cat")
    result = HardPrompt.from_json(out)
    assert code == 0 and len(result.history) == 20
    assert (result.task, result.seed, result.settings.blocklist) == ("invert", 3, ("cat",))


def test_every_command_runs(capsys, picture_files):
    _, distilled, _ = run(capsys, "distill", "one two three four five six", "--ratio", "0.5", "--json")
    assert json.loads(distilled)["settings"]["tokens"] == 3
    one, other, *_ = picture_files
    for command in (["style", one, other, *QUICK], ["concat", "a", "b"], ["score", "a cat", one]):
        code, out, _ = run(capsys, *command)
        assert code == 0 and "similarity" in out


@pytest.mark.parametrize(("command", "others"), [("invert", "--avoid"), ("style", "--avoid"), ("negative", "--keep")])
def test_pictures_that_the_words_must_not_fit_change_them(capsys, picture_files, command, others):
    one, other, *_ = picture_files
    code, out, _ = run(capsys, command, one, *QUICK, others, other)
    _, without, _ = run(capsys, command, one, *QUICK)
    assert code == 0 and out and out != without


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("invert", []),
        ("style", []),
        ("negative", []),
        ("refine", ["the movie"]),
        ("distill", ["the movie is dull and weak"]),
    ],
)
def test_a_language_model_stands_in_for_the_embedded_prior(
    capsys, monkeypatch, picture_file, model_folder, command, more
):
    monkeypatch.setattr(openings, "PHRASES", 40)
    monkeypatch.setattr(openings, "WORDS", 16)
    read = []
    monkeypatch.setattr(TextReader, "encode", lambda self, text: read.append(text) or [1])
    pictures = [] if command == "distill" else [picture_file]
    code, out, err = run(capsys, command, *more, *pictures, "--tokens", "3", "--language", "1", "--prior", model_folder)
    assert code == 0, err
    assert out and read


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["invert", "gone.png"], "picture 'gone.png' does not exist"),
        (["invert", "{picture}", "--tokens", "0"], "tokens is 0; choose 1 or more"),
        (
            ["invert", "{picture}", "--tokens", "76"],
            "prefix, prompt length and suffix take 76 tokens together; shorten them to 75 or fewer",
        ),
        (["invert", "{picture}", "--model", "ViT-X"], "model 'ViT-X' is unknown"),
        (["invert", "{picture}", "--language", "0", "--prior", "gone"], "prior is not asked while language is 0"),
        (["invert", "{picture}", "--prior", "gone"], "model 'gone' is neither a folder nor a GGUF"),
        (["distill", ""], "prompt to distill is empty"),
        (["distill", "some words", "--ratio", "2"], "ratio is 2.0"),
        (["concat", "one"], "prompts to concatenate are fewer than two"),
        (["score", "", "{picture}"], "text to score is empty"),
    ],
)
def test_bad_input_gets_one_clear_sentence(capsys, picture_file, arguments, message):
    code, out, err = run(capsys, *(argument.format(picture=picture_file) for argument in arguments))
    assert code == 2 and not out
    assert err.startswith(f"pez: {message}") and err.count("\n") == 1


def test_ctrl_c_keeps_and_prints_the_best_so_far(picture_file):
    command = [
        sys.executable,
        "-m",
        "pez_core",
        "invert",
        str(picture_file),
        "--language",
        "0",
        "--steps",
        "500",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while "step" not in process.stderr.readline():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    result = HardPrompt.from_json(out)
    assert process.returncode == 0 and result.text and len(result.history) < 600
