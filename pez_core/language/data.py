"""Labelled texts from TSV and CSV files, and small parts of them."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import PezError

VALIDATION_SHARE, VALIDATION_AT_MOST = 0.1, 200


@dataclass(frozen=True)
class Examples:
    """Texts and their classes, as indices into the verbalizer's."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Examples:
        """Some of them, in the order asked for."""
        return Examples(tuple(self.texts[row] for row in rows), tuple(self.labels[row] for row in rows))


def read_examples(path: Path, text: Sequence[str], label: str, classes: Sequence[str]) -> Examples:
    """The rows of a TSV or CSV file. Columns go by name, or by number from 1; several text columns are joined.

    A file whose columns go by number has no header. Quotes mean nothing in a TSV file.

    Raises PezError for an unreadable or empty file, a missing column, and a label that is not among `classes`.
    """
    rows = _rows(path)
    header = None if all(column.isdigit() for column in (*text, label)) else rows.pop(0)
    columns = [_column(path, column, header, rows) for column in (*text, label)]
    if not rows:
        raise PezError(f"data file {path.name!r} holds no examples; give one with a text and a label per line.")
    texts, labels = [], []
    for number, row in enumerate(rows, 1 if header is None else 2):
        if len(row) <= max(columns):
            raise PezError(f"data file {path.name!r} has too few columns in row {number}; mend it or leave it out.")
        *parts, named = (row[column].strip() for column in columns)
        if named not in classes:
            raise PezError(
                f"data file {path.name!r} has the label {named!r} in row {number}, which the verbalizer lacks; "
                "add it there, as in 0=terrible,1=great."
            )
        texts.append(" ".join(parts))
        labels.append(list(classes).index(named))
    return Examples(tuple(texts), tuple(labels))


def few_shot(examples: Examples, count: int, classes: Sequence[str], seed: int) -> Examples:
    """`count` examples of each class, drawn by `seed`. Raises PezError when a class has fewer."""
    rows = []
    for label, drawn in enumerate(_by_class(examples, len(classes), seed)):
        if len(drawn) < count or not drawn:
            raise PezError(
                f"data has {len(drawn)} examples of class {classes[label]!r}, not {count}; give more or ask for fewer."
            )
        rows += drawn[:count]
    return examples.take(sorted(rows))


def split(examples: Examples, count: int, seed: int) -> tuple[Examples, Examples]:
    """`count` examples drawn by `seed`, with as many of each class as there can be, and the rest."""
    turns = in_turns(examples, seed)
    return examples.take(sorted(turns[:count])), examples.take(sorted(turns[count:]))


def in_turns(examples: Examples, seed: int) -> list[int]:
    """All rows, shuffled by `seed`, the classes taking turns while they last."""
    by_class = _by_class(examples, max(examples.labels) + 1, seed)
    return [rows[turn] for turn in range(max(map(len, by_class))) for rows in by_class if turn < len(rows)]


def parted(examples: Examples, classes: Sequence[str], count: int | None, seed: int) -> tuple[Examples, Examples]:
    """Examples to train on and to choose by: `count` of each class for both, or nine tenths and at most 200 of all.

    Raises PezError when a class has too few.
    """
    if count:
        return split(few_shot(examples, 2 * count, classes, seed), count * len(classes), seed)
    few_shot(examples, 2, classes, seed)
    chosen = max(len(classes), min(VALIDATION_AT_MOST, round(VALIDATION_SHARE * len(examples))))
    validation, train = split(examples, chosen, seed)
    return train, validation


def _by_class(examples: Examples, classes: int, seed: int) -> list[list[int]]:
    shuffled = random.Random(seed).sample(range(len(examples)), len(examples))
    return [[row for row in shuffled if examples.labels[row] == label] for label in range(classes)]


def _rows(path: Path) -> list[list[str]]:
    if path.suffix not in (".tsv", ".csv"):
        raise PezError(f"data file {path.name!r} is neither TSV nor CSV; name it .tsv or .csv.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            if path.suffix == ".csv":
                return [row for row in csv.reader(lines) if row]
            return [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PezError(f"data file {str(path)!r} could not be read: {error}.") from error


def _column(path: Path, column: str, header: list[str] | None, rows: list[list[str]]) -> int:
    names = [name.strip() for name in header or ()]
    if column in names:
        return names.index(column)
    width = len(header or (rows[0] if rows else ()))
    if column.isdigit() and 1 <= int(column) <= width:
        return int(column) - 1
    raise PezError(
        f"data file {path.name!r} has no column {column!r}; choose a name in its first line, or 1 to {width}."
    )
