"""pez folder: every picture once, every result whole, whatever happens on the way."""

import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
import webdataset
from PIL import Image

from pez_core import SearchSettings, invert, open_pictures, tasks
from pez_core.command_line import main
from pez_core.folder import engine, exports
from pez_core.folder.archives import Columns
from pez_core.folder.captions import CaptionFiles
from pez_core.folder.item import Failure
from pez_core.folder.journal import Journal
from pez_core.folder.sources import Sources, common_root
from pez_core.folder.walk import readable

ROOT = Path(__file__).parents[2]
QUICK = ["--language", "0", "--steps", "1", "--candidates", "1", "--tokens", "3", "--refinement", "0"]
KEEP = ["--task", "distill"]
LONG = "a photograph of a very old red house beside the sea " * 8


def run(capsys, *arguments):
    code = main(["folder", *map(str, arguments)])
    return code, capsys.readouterr().err


def picture(path, colour="red", caption=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def captioned(folder, count):
    """Pictures with captions that distill keeps as they are, which takes no time."""
    for number in range(count):
        picture(folder / f"{number:04d}.png", caption=f"picture number {number}")
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def results(folder):
    return {entry["key"]: entry for entry in lines(folder / "results.jsonl")}


def failures(folder):
    return {failure["key"]: failure["reason"] for failure in lines(folder / "failures.jsonl")}


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.txt"))}


def met(*paths):
    return list(Sources([*map(str, paths)], common_root([*map(str, paths)]), Columns()))


def keys(*paths):
    return [item.key for item in met(*paths)]


@pytest.fixture(autouse=True)
def loaded(monkeypatch, encoder):
    """The embedded model is loaded once for all tests."""
    monkeypatch.setattr("pez_core.command_line.folder.load_encoder", lambda *_: encoder)


@pytest.fixture
def folder(tmp_path, picture_files):
    """A folder with two pictures, one of them in a folder of its own."""
    for name, source in zip(("a.png", "sub/b.png"), picture_files):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / "pictures" / name)
    return tmp_path / "pictures"


# What is found


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


# Where pictures come from


def test_a_folder_gives_every_kind_of_picture_below_it_by_name(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.webp", "d.gif", "e.bmp", "f.tiff", "deep/er/g.png"):
        picture(tmp_path / name)
    for name in (".hidden.png", ".trash/x.png", ".pez/y.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.md").write_text("no picture")
    assert keys(tmp_path) == ["a.jpg", "b.PNG", "c.webp", "d.gif", "e.bmp", "f.tiff", "deep/er/g.png"]
    assert {".jpg", ".avif", ".tga", ".ico", ".psd"} & readable() >= {".jpg", ".tga", ".ico", ".psd"}
    assert not {".pdf", ".mpg", ".h5", ".txt"} & readable()


def test_links_in_circles_are_followed_once_and_real_folders_come_first(tmp_path):
    picture(tmp_path / "z" / "x.png")
    picture(tmp_path / "elsewhere" / "y.png")
    pictures = tmp_path / "pictures"
    (tmp_path / "z").rename(pictures := tmp_path / "pictures")
    (pictures / "real").mkdir()
    picture(pictures / "real" / "w.png")
    (pictures / "again").symlink_to(pictures)
    (pictures / "a-link").symlink_to(pictures / "real")
    (pictures / "real" / "up").symlink_to(pictures)
    (pictures / "out").symlink_to(tmp_path / "elsewhere")
    (pictures / "self.png").symlink_to(pictures / "self.png")
    assert keys(pictures) == ["self.png", "x.png", "real/w.png", "out/y.png"]


def test_names_of_any_bytes_stay_what_they_are(capsys, tmp_path):
    names = [b"caf\xe9.png", "日本 語.png".encode(), b"new\nline.png", b'quo"te.png', "😀.png".encode()]
    for name in names:
        picture(tmp_path / "pictures" / os.fsdecode(name), caption="a picture")
    out = tmp_path / "out"
    assert run(capsys, tmp_path / "pictures", *KEEP, "--out", out, "--output", "text", "--output", "parquet")[0] == 0
    assert {*results(out)} == {*map(os.fsdecode, names)}
    assert {os.fsencode(path.name) for path in out.iterdir()} >= {name.replace(b".png", b".txt") for name in names}
    assert "caf\\udce9.png" in parquet.read_table(out / "results.parquet")["key"].to_pylist()
    assert run(capsys, tmp_path / "pictures", *KEEP, "--out", out, "--output", "text", "--output", "parquet") == (
        0, "pez: 0 pictures done, 5 before, 0 failed\n",
    )  # fmt: skip


def test_patterns_lists_and_what_a_shell_writes_out(tmp_path, monkeypatch):
    for name in ("a/1.png", "a/2.jpg", "b/3.png"):
        picture(tmp_path / name, caption="a caption")
    monkeypatch.chdir(tmp_path)
    assert keys("*/*.png") == ["a/1.png", "b/3.png"] and keys("a/*") == ["1.png", "2.jpg"]
    assert keys("**/*.png") == ["a/1.png", "b/3.png"]
    assert keys(*sorted(Path("a").iterdir())) == ["1.png", "2.jpg"]
    (tmp_path / "list.txt").write_text(f"a/1.png\n\n{tmp_path}/b/3.png\n/gone.png\n")
    assert keys("list.txt") == ["a/1.png", "b/3.png", "/gone.png"]


def pack(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def encoded(colour="red", kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, kind)
    return file.getvalue()


def test_tars_give_members_of_one_key_and_broken_ones_what_precedes_the_fault(capsys, tmp_path):
    members = [
        ("x/1.png", encoded()),
        ("x/1.txt", b"one"),
        ("x/1.json", b"{}"),
        ("note.md", b""),
        ("../2.jpg", encoded()),
    ]
    whole = pack(tmp_path / "whole.tar", members)
    one, two = met(whole)
    assert (one.key, one.caption, one.others) == ("whole.tar/x/1", b"one", {"json": b"{}"})
    assert (two.key, two.caption) == ("whole.tar/2", None)
    assert Sources([str(whole)], tmp_path, Columns()).count() == 2
    for length in (700, 4000, whole.read_bytes().rindex(encoded()[-8:]) // 512 * 512 + 512):
        (tmp_path / "torn.tar").write_bytes(whole.read_bytes()[:length])
        assert "cannot be read to its end" in met(tmp_path / "torn.tar")[-1].reason
    assert [type(item) is Failure for item in met(tmp_path / "torn.tar")] == [False, True]

    code, _ = run(capsys, whole, "--task", "distill", "--out", tmp_path / "out")
    assert code == 1 and texts(tmp_path / "out") == {"whole.tar/x/1.txt": "one\n"}
    assert [*failures(tmp_path / "out")] == ["whole.tar/2"]


def test_parquet_gives_rows_with_bytes_or_the_struct_of_hugging_face(tmp_path):
    picture(tmp_path / "beside.png")
    rows = [
        {"image": {"bytes": encoded(), "path": None}, "text": "one"},
        {"image": {"bytes": None, "path": "beside.png"}, "text": None},
        {"image": None, "text": "three"},
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "hf.parquet")
    one, two, three = met(tmp_path / "hf.parquet")
    assert (one.key, one.picture, one.caption) == ("hf.parquet#0", encoded(), b"one")
    assert (two.key, two.picture, two.caption) == ("hf.parquet#1", tmp_path / "beside.png", None)
    assert (three.key, three.reason) == ("hf.parquet#2", "row has no picture.")
    parquet.write_table(arrow.table({"id": [1], "data": [encoded()], "title": ["a"]}), tmp_path / "own.parquet")
    (row,) = Sources([str(tmp_path / "own.parquet")], tmp_path, Columns("data", "title"))
    assert (row.picture, row.caption) == (encoded(), b"a") and met(tmp_path / "own.parquet")[0].picture == encoded()
    parquet.write_table(arrow.table({"id": [1]}), tmp_path / "none.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "own.parquet").read_bytes()[:-5])
    assert "--image-column" in met(tmp_path / "none.parquet")[0].reason
    assert "cannot be read" in met(tmp_path / "torn.parquet")[0].reason


# What is written


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


# What may go wrong


def test_broken_pictures_are_named_and_tried_again(capsys, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "torn.png").write_bytes((folder / "a.png").read_bytes()[:200])
    code, err = run(capsys, folder, *QUICK)
    assert code == 1 and f"2 failed; '{folder}/.pez/failures.jsonl' says why" in err
    assert {*failures(folder / ".pez")} == {"broken.png", "torn.png"}
    shutil.copy(folder / "a.png", folder / "broken.png")
    (folder / "torn.png").unlink()
    code, err = run(capsys, folder, *QUICK)
    assert (code, err) == (0, "pez: 1 pictures done, 2 before, 0 failed\n")
    assert not failures(folder / ".pez") and len(lines(folder / ".pez" / "results.jsonl")) == 3


def test_two_pictures_of_one_text_file_are_told_apart_from_run_to_run(capsys, tmp_path):
    picture(tmp_path / "a.png", caption="first")
    picture(tmp_path / "a.jpg")
    for _ in range(2):
        assert run(capsys, tmp_path, *KEEP, "--out", tmp_path / "out")[0] == 1
        assert failures(tmp_path / "out")["a.png"].startswith("shares the text file 'a.txt'")
        assert [*results(tmp_path / "out")] == ["a.jpg"]


class Crash(Exception):
    """As good as a kill: nothing in the code catches it."""


@pytest.mark.parametrize("moment", ["prepare", "add", "torn", "place"])
def test_stopped_at_any_moment_between_two_results_a_job_ends_as_if_it_had_not_been(
    capsys, tmp_path, monkeypatch, moment
):
    captioned(tmp_path / "pictures", 3)
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number:04d}.txt").write_text("old")
    arguments = [tmp_path / "pictures", *KEEP, "--existing", "append", "--out"]
    assert run(capsys, *arguments, tmp_path / "whole")[0] == 0

    def crash(self, *_):
        if moment == "torn":
            self._file.write(b'{"key": "0000.png", "te')
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(*((Journal, "add") if moment in ("add", "torn") else (CaptionFiles, moment)), crash)
        with pytest.raises(Crash):
            run(capsys, *arguments, tmp_path / "stopped")
    assert texts(tmp_path / "stopped")["0000.txt"] == "old"
    assert run(capsys, *arguments, tmp_path / "stopped")[0] == 0
    assert_same(tmp_path / "stopped", tmp_path / "whole", 3)


def test_a_caption_that_was_changed_by_hand_stays(capsys, tmp_path):
    captioned(tmp_path / "pictures", 2)
    arguments = [tmp_path / "pictures", *KEEP, "--out", tmp_path / "out"]
    assert run(capsys, *arguments)[0] == 0
    (tmp_path / "out" / "0001.txt").write_text("better words")
    (tmp_path / "out" / ".pez.new").write_text("words of a picture whose entry was not added")
    captioned(tmp_path / "pictures", 3)
    assert run(capsys, *arguments)[0] == 0
    assert [*texts(tmp_path / "out").values()] == ["picture number 0\n", "better words", "picture number 2\n"]


def test_another_job_is_refused_its_folder_and_more_pictures_are_not(capsys, tmp_path):
    captioned(tmp_path / "pictures", 1)
    arguments = [tmp_path / "pictures", *KEEP, "--out", tmp_path / "out"]
    assert run(capsys, *arguments, "--longest", "20")[0] == 0
    code, err = run(capsys, *arguments, "--longest", "30", "--caption-before", "sks ")
    assert (code, err) == (
        2,
        f"pez: folder '{tmp_path}/out' holds a job with other caption before and tokens; "
        "name another folder with --out.\n",
    )
    captioned(tmp_path / "more", 1)
    code, err = run(capsys, tmp_path / "more", *arguments, "--longest", "20")
    assert (code, err) == (0, "pez: 1 pictures done, 1 before, 0 failed\n")
    assert [*results(tmp_path / "out")] == ["0000.png", f"{tmp_path}/more/0000.png"]
    assert (
        run(capsys, tmp_path / "more", *arguments, "--longest", "20")[1] == "pez: 0 pictures done, 2 before, 0 failed\n"
    )


def test_a_folder_that_was_moved_goes_on_where_it_was(capsys, tmp_path):
    captioned(tmp_path / "pictures" / "deep", 2)
    assert run(capsys, tmp_path / "pictures", *KEEP, "--output", "jsonl")[0] == 0
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    captioned(tmp_path / "elsewhere" / "deep", 3)
    _, err = run(capsys, tmp_path / "elsewhere", *KEEP, "--output", "jsonl")
    assert err == "pez: 1 pictures done, 2 before, 0 failed\n"
    _, err = run(
        capsys, tmp_path / "elsewhere" / "deep", *KEEP, "--out", tmp_path / "elsewhere" / ".pez", "--output", "jsonl"
    )
    assert err == "pez: 0 pictures done, 3 before, 0 failed\n"


def test_a_folder_is_one_runs_at_a_time(capsys, tmp_path):
    captioned(tmp_path / "pictures", 1)
    out = tmp_path / "out"
    with job_folder(out):
        code, err = run(capsys, tmp_path / "pictures", *KEEP, "--out", out)
    assert code == 2 and "is in use by another run" in err and err.count("\n") == 1
    assert run(capsys, tmp_path / "pictures", *KEEP, "--out", out)[0] == 0


@contextmanager
def job_folder(out):
    out.mkdir()
    hold = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n    print('held', flush=True)\n    input()"
    command = [sys.executable, "-c", hold, str(out / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate("\n")


def test_ctrl_c_stops_after_what_is_under_way(capsys, tmp_path, monkeypatch):
    captioned(tmp_path / "pictures", 40)
    arguments = [tmp_path / "pictures", *KEEP, "--out", tmp_path / "out", "--output", "parquet"]
    caption, read = engine.existing_caption, []

    def press(item):
        read.append(item.key)
        if len(read) == 2:
            signal.raise_signal(signal.SIGINT)
        return caption(item)

    monkeypatch.setattr(engine, "existing_caption", press)
    code, err = run(capsys, *arguments)
    assert code == 130 and err.endswith("pez: stopped; the same command goes on\n")
    assert {*read} == {*results(tmp_path / "out")} and 2 <= len(read) <= 3 + torch.get_num_threads()
    assert not (tmp_path / "out" / "results.parquet").exists()
    assert run(capsys, *arguments)[0] == 0 and len(read) == len({*read}) == 40
    assert parquet.read_table(tmp_path / "out" / "results.parquet").num_rows == 40


@contextmanager
def small_disk(folder):
    """A disk of 256 KB, and what makes it larger."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "pez", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED: mounting a small one needs root")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files(folder):
    """A limit of 5,000 bytes a file, which the journal reaches, and what lifts it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("limited", [small_disk, small_files])
def test_a_full_disk_keeps_what_is_finished(capsys, tmp_path, limited):
    captioned(tmp_path / "pictures", 100)
    out = tmp_path / "disk"
    arguments = [tmp_path / "pictures", *KEEP, "--out", out]
    with limited(out) as enlarge:
        code, err = run(capsys, *arguments)
        assert code == 2 and err.startswith("pez: disk is full at ") and err.count("\n") == 1
        finished = lines(out / "results.jsonl")
        assert 10 < len(finished) < 100 and len(finished) == len(texts(out))
        assert all(text.endswith("\n") for text in texts(out).values())
        assert limited is small_files or not (out / ".pez.new").exists()
        enlarge()
        code, err = run(capsys, *arguments)
        assert (code, err) == (0, f"pez: {100 - len(finished)} pictures done, {len(finished)} before, 0 failed\n")
        assert lines(out / "results.jsonl")[: len(finished)] == finished and len(results(out)) == 100
        assert texts(out) == {f"{number:04d}.txt": f"picture number {number}\n" for number in range(100)}


def test_a_folder_that_cannot_be_written_to_is_told_of_with_what_works(capsys, tmp_path):
    captioned(tmp_path / "pictures", 1)
    pictures, mounted = tmp_path / "pictures", False
    if os.geteuid():
        pictures.chmod(0o555)
    else:
        bind = subprocess.run(["mount", "--bind", "-o", "ro", str(pictures), str(pictures)], capture_output=True)
        if bind.returncode:
            pytest.skip("READ-ONLY FOLDERS ARE NOT TESTED: root may write anywhere, and mount does not work here")
        mounted = True
    try:
        code, err = run(capsys, pictures, *KEEP, "--existing", "replace")
        assert code == 2 and err.count("\n") == 1 and "cannot be written to; name another one with --out" in err
        assert run(capsys, pictures, *KEEP, "--out", tmp_path / "out")[0] == 0
    finally:
        if mounted:
            subprocess.run(["umount", str(pictures)], check=True)


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


# At length

FORKS = """
import os, sys
from pez_core import load_encoder
from pez_core.command_line import main
load_encoder().vocabulary.allowed_ids("ascii words", ())
for line in sys.stdin:
    child = os.fork()
    if not child:
        sys.stderr = open(os.devnull, "w")
        os._exit(main(eval(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def forks():
    """Starts the command in a process of its own, and gives its id; then its exit code can be read."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", FORKS], **pipes) as parent:

        def start(*arguments):
            print(repr(["folder", *map(str, arguments)]), file=parent.stdin, flush=True)
            return int(parent.stdout.readline())

        yield start, lambda: int(parent.stdout.readline())
        parent.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize(("task", "count", "kills"), [(KEEP, 500, 20), (QUICK, 200, 10)])
def test_killed_at_any_moment_a_job_ends_as_an_undisturbed_one(capsys, tmp_path, task, count, kills):
    captioned(tmp_path / "pictures", count)
    chance, killed = random.Random(count), 0
    for out in (tmp_path / "killed", tmp_path / "undisturbed"):
        out.mkdir()
        for number in range(0, count, 2):
            (out / f"{number:04d}.txt").write_text("old")
    shared = [*task, "--existing", "append", "--output", "text", "--output", "parquet", "--output", "webdataset"]
    arguments = [tmp_path / "pictures", *shared, "--out"]
    with forks() as (start, exit_code):
        for _ in range(kills):
            child, journal = start(*arguments, tmp_path / "killed"), tmp_path / "killed" / "results.jsonl"
            before = journal.stat().st_size if journal.exists() else -1
            while (not journal.exists() or journal.stat().st_size <= before) and not (
                tmp_path / "killed/shards"
            ).exists():
                time.sleep(0.001)
            time.sleep(chance.random() * 0.3)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killed += exit_code() == -signal.SIGKILL
        for out in ("killed", "undisturbed"):
            start(*arguments, tmp_path / out)
            assert exit_code() == 0
    assert killed >= kills // 2
    assert_same(tmp_path / "killed", tmp_path / "undisturbed", count)


def assert_same(killed, undisturbed, count):
    entries = Counter(entry["key"] for entry in lines(killed / "results.jsonl"))
    assert len(entries) == count and set(entries.values()) == {1}
    assert texts(killed) == texts(undisturbed)
    files = [{path.relative_to(out) for path in out.rglob("*") if path.is_file()} for out in (killed, undisturbed)]
    assert files[0] == files[1]
    for name in files[0]:
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_of_two_thousand_pictures_the_fifty_broken_ones_are_named(capsys, tmp_path):
    for number in range(2000):
        picture(tmp_path / f"{number:04d}.png", caption="red")
    broken = {f"{number:04d}.png" for number in random.Random(0).sample(range(2000), 50)}
    for number, name in enumerate(sorted(broken)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: number % 2 * 40])
    code, err = run(capsys, tmp_path, "--task", "score")
    assert code == 1 and "pez: 1,950 pictures done, 0 before, 50 failed; " in err
    assert set(failures(tmp_path / ".pez")) == broken and len(results(tmp_path / ".pez")) == 1950
    code, err = run(capsys, tmp_path, "--task", "score")
    assert code == 1 and "pez: 0 pictures done, 1,950 before, 50 failed; " in err
