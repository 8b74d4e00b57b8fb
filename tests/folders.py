"""Folders of pictures, the command on them, and what it left there."""

import io
import json
import shutil
import tarfile

import pytest
from PIL import Image

from pez_core.command_line import main

QUICK = ["--language", "0", "--steps", "1", "--candidates", "1", "--tokens", "3", "--refinement", "0"]
KEEP = ["--task", "distill"]


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


@pytest.fixture
def loaded(monkeypatch, encoder):
    """The command has the embedded model that all tests share."""
    monkeypatch.setattr("pez_core.command_line.folder.load_encoder", lambda *_: encoder)


@pytest.fixture
def folder(tmp_path, picture_files):
    """A folder with two pictures, one of them in a folder of its own."""
    for name, source in zip(("a.png", "sub/b.png"), picture_files):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / "pictures" / name)
    return tmp_path / "pictures"
