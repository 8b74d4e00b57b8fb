"""Labelled texts from TSV and CSV files, and small parts of them."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
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
    by_number = all(column.isdecimal() for column in (*text, label))
    header = None if by_number or not rows else rows.pop(0)
    if not rows:
        raise PezError(f"data file {path.name!r} holds no examples; give one with a text and a label per line.")
    columns = [_column(path, column, header, len(header or rows[0])) for column in (*text, label)]
    texts, labels = [], []
    for number, row in enumerate(rows, 1 if header is None else 2):
        if len(row) <= max(columns):
            raise PezError(f"data file {path.name!r} has too few columns in row {number}; complete it or leave it out.")
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
    if count < 1:
        raise PezError(f"examples per class are {count}; choose 1 or more.")
    rows = []
    for label, drawn in enumerate(_by_class(examples, len(classes), seed)):
        if len(drawn) < count:
            raise PezError(
                f"data has {len(drawn)} examples of class {classes[label]!r}, not {count}; give more or ask for fewer."
            )
        rows += drawn[:count]
    return examples.take(sorted(rows))


def split(examples: Examples, count: int, seed: int) -> tuple[Examples, Examples]:
    """`count` examples drawn by `seed`, with as many of each class as there can be, and the rest, which may be none.

    Raises PezError for a count below 1.
    """
    if count < 1:
        raise PezError(f"number of examples is {count}; choose 1 or more.")
    turns = in_turns(examples, seed)
    return examples.take(sorted(turns[:count])), examples.take(sorted(turns[count:]))


def in_turns(examples: Examples, seed: int) -> list[int]:
    """All rows, shuffled by `seed`, the classes taking turns while they last."""
    by_class = _by_class(examples, max(examples.labels, default=-1) + 1, seed)
    return [row for turn in zip_longest(*by_class) for row in turn if row is not None]


def train_and_validation(
    examples: Examples, classes: Sequence[str], count: int | None, seed: int
) -> tuple[Examples, Examples]:
    """Examples to train on and to choose by: `count` of each class for both, or nine tenths and at most 200 of all.

    Raises PezError when a class has too few.
    """
    if count is not None:
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
    except (OSError, ValueError, csv.Error) as error:
        raise PezError(f"data file {str(path)!r} could not be read: {error}.") from error


def _column(path: Path, column: str, header: list[str] | None, width: int) -> int:
    names = [name.strip() for name in header or ()]
    numbers = [str(number) for number in range(1, width + 1)]
    for known in (names, numbers):
        if column in known:
            return known.index(column)
    raise PezError(
        f"data file {path.name!r} has no column {column!r}; choose a name in its first line, or 1 to {width}."
    )
