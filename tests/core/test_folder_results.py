"""What pez folder finds, writes, says and refuses."""

import io
import sys

import pyarrow.parquet as parquet
import pytest
import webdataset
from folders import KEEP, QUICK, captioned, encoded, failures, lines, pack, picture, results, run, texts

from pez_core import SearchSettings, invert, open_pictures, tasks
from pez_core.command_line import main
from pez_core.folder import engine, exports

LONG = "a photograph of a very old red house beside the sea " * 8

pytestmark = pytest.mark.usefixtures("loaded")


def test_each_picture_gets_the_text_that_invert_finds_in_a_line_beside_it(capsys, folder, encoder):
    code, err = run(capsys, folder, *QUICK, "--caption-before", "sks style, ", "--caption-after", ", best")
    assert code == 0 and err == "pez: 2 pictures done, 0 before, 0 failed\n"
    settings = SearchSettings(language=0, steps=1, candidates=1, tokens=3, refinement=0)
    for key in ("a.png", "sub/b.png"):
        found = invert(encoder, encoder.encode_images(open_pictures([folder / key])), settings)
        caption = f"sks style, {found.text}, best"
        assert (folder / key).with_suffix(".txt").read_bytes() == f"{caption}\n".encode()
        entry = results(folder / ".pez")[key]
        assert (entry["text"], entry["caption"], entry["seed"]) == (found.text, caption, 0)
        assert entry["tokens"] == list(found.tokens) and entry["similarity"] == pytest.approx(found.similarity)


def test_captions_are_scored_refined_and_shortened_where_they_are_long(capsys, folder, encoder):
    (folder / "a.txt").write_text("sks style, a bird", encoding="utf-8")
    (folder / "sub" / "b.txt").write_text(f"sks style, {LONG}", encoding="utf-8")
    out, trigger = folder.parent / "out", ["--caption-before", "sks style, "]
    assert run(capsys, folder, "--task", "score", *trigger)[0] == 0
    targets = encoder.encode_images(open_pictures([folder / "a.png"]))
    scored = results(folder / ".pez")["a.png"]
    assert scored["similarity"] == pytest.approx(tasks.score(encoder, "a bird", targets).similarity, abs=1e-5)
    assert scored["file"] is None and (folder / "a.txt").read_text() == "sks style, a bird"

    assert (
        run(capsys, folder, *KEEP, *trigger, "--out", out, "--language", "0", "--steps", "1", "--longest", "6")[0] == 0
    )
    distilled = results(out)
    assert texts(out)["a.txt"] == "sks style, a bird\n" and distilled["a.png"]["similarity"] == 1
    assert 0 < len(distilled["sub/b.png"]["tokens"]) <= 6


def test_refine_edits_the_caption_without_what_stands_before_it(capsys, folder, monkeypatch):
    read = []
    monkeypatch.setattr(
        tasks, "refine", lambda encoder, text, targets, *more, **others: read.append(text) or fake(text)
    )
    fake = lambda text: engine.HardPrompt("refine", f"{text} indeed", (1,), 0.5, "embedded")  # noqa: E731
    (folder / "a.txt").write_text("sks style,\na bird\n", encoding="utf-8")
    arguments = [folder, "--task", "refine", "--caption-before", "sks style, ", "--existing", "replace"]
    code, _ = run(capsys, *arguments)
    assert code == 1 and read == ["a bird"] and texts(folder) == {"a.txt": "sks style, a bird indeed\n"}
    assert "has no caption" in failures(folder / ".pez")["sub/b.png"]
    assert run(capsys, *arguments)[0] == 1 and read == ["a bird"]


def test_the_mirror_has_the_same_relative_paths(capsys, folder):
    assert run(capsys, folder, *QUICK, "--out", folder.parent / "out")[0] == 0
    assert [*texts(folder.parent / "out")] == ["a.txt", "sub/b.txt"] and not texts(folder)
    assert not (folder / ".pez").exists()


def test_the_table_holds_what_the_journal_does(capsys, folder):
    out = folder.parent / "out"
    assert run(capsys, folder, *QUICK, "--out", out, "--output", "parquet")[0] == 0
    assert parquet.read_table(out / "results.parquet").to_pylist() == lines(out / "results.jsonl")
    assert not texts(out)


def test_shards_are_read_by_webdataset_and_bounded(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "PICTURES_PER_SHARD", 2)
    members = [(f"{n}.{kind}", data) for n in range(2) for kind, data in (
        ("jpg", encoded(kind="JPEG")), ("txt", b"packed"), ("cls", b"7"),
    )]  # fmt: skip
    pack(tmp_path / "in.tar", members)
    captioned(tmp_path / "pictures", 3)
    out = tmp_path / "out"
    arguments = [tmp_path / "pictures", tmp_path / "in.tar", *KEEP, "--out", out, "--output", "webdataset"]
    assert run(capsys, *arguments)[0] == 0
    shards = sorted((out / "shards").iterdir())
    assert [shard.name for shard in shards] == ["000000.tar", "000001.tar", "000002.tar"]
    first = [shard.read_bytes() for shard in shards]
    samples = [*webdataset.WebDataset([*map(str, shards)], shardshuffle=False).decode("pil")]
    assert [sample["txt"] for sample in samples] == [*(f"picture number {n}" for n in range(3)), "packed", "packed"]
    assert [sample["pez.json"]["key"] for sample in samples][2:] == ["pictures/0002.png", "in.tar/0", "in.tar/1"]
    assert samples[0]["png"].size == samples[3]["jpg"].size == (8, 8) and samples[4]["cls"] == 7
    assert run(capsys, *arguments)[0] == 0 and [shard.read_bytes() for shard in shards] == first


@pytest.mark.parametrize(
    ("existing", "text"),
    [
        ("skip", "an old\ncaption"),
        ("append", "an old caption, sks picture number 0\n"),
        ("replace", "sks picture number 0\n"),
    ],
)
def test_texts_that_are_there_stay_or_grow_or_go(capsys, tmp_path, existing, text):
    captioned(tmp_path / "pictures", 1)
    out = tmp_path / "out"
    out.mkdir()
    (out / "0000.txt").write_text("an old\ncaption", encoding="utf-8")
    arguments = [tmp_path / "pictures", *KEEP, "--out", out, "--existing", existing, "--caption-before", "sks "]
    for _ in range(2):
        assert run(capsys, *arguments)[0] == 0 and texts(out) == {"0000.txt": text}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "path 'gone' does not exist; give a folder"),
        (["{empty}"], "paths hold no pictures; name tars"),
        (["{folder}", "--task", "score", "--output", "text"], "output text is not for score"),
        (["{folder}", "--task", "distill"], "existing captions stay as they are, so distill has no place"),
        (["{folder}", "--task", "refine"], "existing captions stay as they are, so refine has no place"),
        (
            ["{folder}", "--task", "distill", "--out", "{empty}", "--tokens", "4"],
            "tokens is not for distill in folders",
        ),
        (["{folder}", "--task", "refine", "--out", "{empty}", "--language", "0"], "language is 0, which edits no text"),
        (["{folder}", "--memory", "0"], "memory is 0; choose 1 or more"),
        (["{folder}", "--tokens", "76"], "prefix, prompt length and suffix take 76 tokens together"),
        (["{folder}", "--prefix", "a cat", "--block", "cat"], "prefix holds 'cat', which the blocklist forbids"),
        (["{tar}", "--output", "text"], "output text finds no place beside pictures in archives"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_before_anything_is_written(capsys, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "folder" / "a.png")
    names = {"empty": tmp_path / "empty", "folder": tmp_path / "folder", "tar": pack(tmp_path / "x.tar", [])}
    code, err = run(capsys, *(argument.format(**names) for argument in arguments))
    assert code == 2 and err.startswith(f"pez: {message}") and err.count("\n") == 1
    assert not [*tmp_path.rglob("manifest.json")]


def test_parquet_without_pyarrow_says_what_to_install(capsys, tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, err = run(capsys, tmp_path, "--output", "parquet")
    assert (code, err) == (2, "pez: parquet needs pyarrow, which is missing; run pip install pyarrow.\n")


def test_progress_without_a_terminal_is_a_plain_line_now_and_then(capsys, tmp_path, monkeypatch):
    captioned(tmp_path / "pictures", 3)
    monkeypatch.setattr("pez_core.command_line.progress.SECONDS_PER_LINE", 0)
    _, err = run(capsys, tmp_path / "pictures", *KEEP, "--out", tmp_path / "out")
    first, _, last, _ = err.splitlines()
    assert first.startswith("1 of 3 pictures, ") and last.startswith("3 of 3 pictures, ")
    assert " an hour, 0 failed, " in last and last.endswith(" left")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_in_a_terminal_is_a_bar(tmp_path, monkeypatch):
    captioned(tmp_path / "pictures", 3)
    (tmp_path / "pictures" / "0001.txt").unlink()
    monkeypatch.setattr(sys, "stderr", Terminal())
    main(["folder", str(tmp_path / "pictures"), *KEEP, "--out", str(tmp_path / "out")])
    bar = sys.stderr.getvalue().splitlines()[-2].split("\r")[-1]
    assert bar.startswith("100%|") and "| 3 of 3 pictures [" in bar and bar.rstrip().endswith(" an hour, 1 failed]")
