"""pez folder: every picture once, every result whole, whatever happens on the way."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
from folders import KEEP, QUICK, captioned, failures, lines, picture, results, run, texts

from pez_core.folder import engine
from pez_core.folder.captions import CaptionFiles
from pez_core.folder.journal import Journal

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("loaded")


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
