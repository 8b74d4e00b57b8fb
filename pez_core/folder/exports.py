"""The results of a job as parquet and as WebDataset shards."""

import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .archives import pyarrow
from .disk import whole, writing
from .item import Failure, Item
from .journal import Entry, Journal, json_line

PARQUET_NAME, SHARDS, SHARDS_NEW = "results.parquet", "shards", "shards.new"
ROWS_PER_GROUP = 10_000
PICTURES_PER_SHARD, BYTES_PER_SHARD = 10_000, 1 << 30
SUFFIXES = {"JPEG": "jpg", "TIFF": "tif"}


def write_parquet(folder: Path, journal: Journal) -> None:
    """All results as rows of one file. Raises PezError where pyarrow is missing or the file cannot be written."""
    arrow, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    schema = arrow.schema([
        ("key", arrow.string()), ("text", arrow.string()), ("caption", arrow.string()), ("file", arrow.string()),
        ("tokens", arrow.list_(arrow.int32())), ("similarity", arrow.float64()), ("seed", arrow.uint64()),
    ])  # fmt: skip
    with whole(folder / PARQUET_NAME) as file, parquet.ParquetWriter(file, schema) as writer:
        entries = iter(journal)
        while rows := [_row(entry) for entry in islice(entries, ROWS_PER_GROUP)]:
            writer.write_table(arrow.Table.from_pylist(rows, schema))


def write_shards(folder: Path, journal: Journal, met: Iterable[Item | Failure]) -> int:
    """The pictures that have a result as WebDataset shards, with it as .txt and .pez.json; how many there are.

    Shards that are there already are replaced when the new ones are complete. Raises PezError where they cannot be.
    """
    new, shards = folder / SHARDS_NEW, folder / SHARDS
    samples, count = _samples(_Results(journal), met), 0
    with writing(shards):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for number, first in enumerate(samples):
            count += _write_shard(new / f"{number:06d}.tar", chain([first], samples), count)
        shutil.rmtree(shards, ignore_errors=True)
        new.replace(shards)
    return count


def _row(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry)
    return {name: _text(value) if isinstance(value, str) else value for name, value in fields.items()}


def _text(name: str) -> str:
    """A name in Unicode, with escapes for bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


class _Results:
    """The results of a journal by key; of each it remembers a hash of the key, and where its line begins."""

    def __init__(self, journal: Journal) -> None:
        pairs = np.fromiter(
            ((hash(entry.key), place) for place, entry in journal.placed()), [("key", np.int64), ("place", np.int64)]
        )
        pairs.sort(order="key")
        self._journal = journal
        self._keys, self._places = pairs["key"].copy(), pairs["place"].copy()

    def get(self, key: str) -> Entry | None:
        index = int(np.searchsorted(self._keys, hash(key)))
        if index == len(self._keys) or self._keys[index] != hash(key):
            return None
        return self._journal.at(int(self._places[index]))


def _samples(results: _Results, met: Iterable[Item | Failure]) -> Iterator[Mapping[str, bytes]]:
    """Each picture that has a result and can still be read, with that result, by extension."""
    for item in met:
        entry = results.get(item.key) if isinstance(item, Item) else None
        if entry is None or isinstance(item, Failure):
            continue
        try:
            extension, picture = _picture(item.picture)
        except (OSError, ValueError):
            continue
        yield {**item.others, extension: picture, "txt": entry.caption.encode(), "pez.json": json_line(asdict(entry))}


def _picture(source: Path | bytes) -> tuple[str, bytes]:
    """Extension and content of a picture."""
    if isinstance(source, Path):
        return source.suffix[1:].lower(), source.read_bytes()
    with Image.open(BytesIO(source)) as picture:
        kind = picture.format or ""
    return SUFFIXES.get(kind, kind.lower()), source


def _write_shard(path: Path, samples: Iterator[Mapping[str, bytes]], first: int) -> int:
    """As many samples as a shard takes, numbered from `first`; how many these are."""
    with path.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for count, sample in enumerate(samples, 1):
                for extension, data in sample.items():
                    member = tarfile.TarInfo(f"{first + count - 1:09d}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, BytesIO(data))
                if count == PICTURES_PER_SHARD or tar.offset >= BYTES_PER_SHARD:
                    break
        os.fsync(file.fileno())
    return count
