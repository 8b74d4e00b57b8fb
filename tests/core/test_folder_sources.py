"""Where the pictures of a job come from."""

import os
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from folders import KEEP, encoded, failures, pack, picture, results, run, texts

from pez_core.folder.archives import Columns
from pez_core.folder.item import Failure
from pez_core.folder.sources import Sources, common_root
from pez_core.folder.walk import readable

pytestmark = pytest.mark.usefixtures("loaded")


def met(*paths):
    return list(Sources([*map(str, paths)], common_root([*map(str, paths)]), Columns()))


def keys(*paths):
    return [item.key for item in met(*paths)]


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
