"""pez folder: texts for folders, lists and archives of pictures."""

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..encoders import load_encoder
from ..encoders.remembering import remembering
from ..errors import PezError
from ..folder.archives import Columns, pyarrow
from ..folder.captions import EXISTING, SKIP, CaptionFiles, MirrorFiles, Wording
from ..folder.engine import DISTILL, INVERT, REFINE, SCORE, TASKS, Searches
from ..folder.exports import write_parquet, write_shards
from ..folder.job import FAILURES, Job, Tally
from ..folder.journal import Journal
from ..folder.manifest import opened
from ..folder.paths import absolute
from ..folder.sources import Sources, check_paths, common_root, has_archives
from ..many import MEMORY
from ..settings import SearchSettings
from .options import add_command, chosen, device_option, settings_options
from .progress import pictures_shown
from .searching import model_options, named_prior, search_options

OUTPUTS = ("text", "jsonl", "parquet", "webdataset")
HIDDEN = ".pez"
LONGEST = 75
FAILED, INTERRUPTED = 1, 130


def add(commands: Any) -> None:
    """The command among the others."""
    search = (partial(settings_options, SearchSettings()), search_options)
    common = (*search, device_option, model_options)
    command = add_command(commands, "folder", "texts for many pictures", _run, _folder_options, *common)
    path = "folder (with all below it, less what is hidden), picture, pattern, .txt with a path a line, .tar, .parquet"
    command.add_argument("paths", nargs="+", metavar="PATH", help=path)


def _folder_options(options: argparse.ArgumentParser) -> None:
    task = "what to do: words for each picture (default), or with the caption that it has: its similarity, make it "
    out = f"folder for the results (default {HIDDEN} in the pictures' folder, and texts beside the pictures)"
    output = (
        "text files, and what holds similarity, tokens and seed too; repeatable (default text; jsonl is always there)"
    )
    existing = "what becomes of text files that are there already (default %(default)s)"
    before = "text before each caption, such as a trigger word, that the search does not read"
    columns = "column of parquet files (default one with a usual name)"
    options.add_argument("--task", choices=TASKS, default=INVERT, help=f"{task}shorter, or edit it to fit")
    options.add_argument("--out", type=Path, metavar="FOLDER", help=out)
    options.add_argument("--output", dest="outputs", action="append", choices=OUTPUTS, help=output)
    options.add_argument("--existing", choices=EXISTING, default=SKIP, help=existing)
    options.add_argument("--caption-before", default="", metavar="TEXT", help=before)
    options.add_argument("--caption-after", default="", metavar="TEXT", help="the same after each caption")
    longest = "distill what has more tokens, to as many (default %(default)s)"
    options.add_argument("--longest", type=int, default=LONGEST, metavar="TOKENS", help=longest)
    options.add_argument("--image-column", metavar="NAME", help=f"pictures: {columns}")
    options.add_argument("--text-column", metavar="NAME", help=f"captions: {columns}")
    memory = "for what texts were read as, so that pictures share it (default %(default)s)"
    options.add_argument("--memory", type=int, default=MEMORY >> 20, metavar="MEGABYTES", help=memory)


def _run(options: argparse.Namespace) -> int:
    """Search the pictures and say how it went; 0 when all are done, 1 when some failed, 130 after Ctrl-C."""
    try:
        return _searched(options)
    except KeyboardInterrupt:
        return INTERRUPTED


def _searched(options: argparse.Namespace) -> int:
    outputs = _outputs(options)
    settings = _settings(options)
    wording = Wording(options.caption_before, options.caption_after)
    if options.memory < 1:
        raise PezError(f"memory is {options.memory}; choose 1 or more.")
    loaded = load_encoder(options.model, options.pretrained, options.device)
    encoder = remembering(loaded, options.memory << 20)
    prior = named_prior(options, encoder.vocabulary)
    engine = Searches(encoder, options.task, settings, prior, wording)
    columns, root = Columns(options.image_column, options.text_column), common_root(options.paths)
    total = Sources(options.paths, root, columns).count()
    if not total:
        raise PezError("paths hold no pictures; name tars and parquet files themselves, such as 'folder/*.tar'.")
    out = absolute(options.out or root / HIDDEN)
    with opened(out, _fingerprint(options, settings, outputs), root) as root, Journal(out) as journal:
        sources, files = Sources(options.paths, root, columns), _caption_files(options, outputs, root, out)
        with pictures_shown(total) as on_picture:
            tally = Job(out, journal, files, wording, on_picture).run(sources, engine)
        if not tally.stopped:
            _export(outputs, out, journal, sources)
    return _told(tally, out)


def _outputs(options: argparse.Namespace) -> list[str]:
    """What to write. Raises PezError for what cannot be."""
    check_paths(options.paths)
    archives = has_archives(options.paths)
    usual = "jsonl" if options.task == SCORE or (archives and not options.out) else "text"
    outputs = sorted({*(options.outputs or [usual])})
    if "parquet" in outputs:
        pyarrow("pyarrow.parquet")
    if "text" in outputs and options.task == SCORE:
        raise PezError("output text is not for score, which finds no texts; choose jsonl or parquet.")
    if "text" in outputs and not options.out:
        if archives:
            raise PezError("output text finds no place beside pictures in archives; name a folder with --out.")
        if options.task in (DISTILL, REFINE) and options.existing == SKIP:
            raise PezError(
                f"existing captions stay as they are, so {options.task} has no place for its texts; "
                "give --existing replace, or another folder with --out."
            )
    return outputs


def _settings(options: argparse.Namespace) -> SearchSettings:
    if options.task == DISTILL:
        if options.tokens is not None:
            raise PezError("tokens is not for distill in folders; say how long captions may be with --longest.")
        options.tokens = options.longest
    return chosen(SearchSettings, options)


def _fingerprint(options: argparse.Namespace, settings: SearchSettings, outputs: list[str]) -> dict[str, Any]:
    """What tells this job from others, as JSON has it."""
    names = (
        "task",
        "model",
        "pretrained",
        "existing",
        "caption_before",
        "caption_after",
        "image_column",
        "text_column",
    )
    given = {name: getattr(options, name) for name in names}
    searched = {} if options.task == SCORE else asdict(settings)
    prior = str(options.prior) if options.prior else None
    fingerprint: dict[str, Any] = json.loads(json.dumps({**given, **searched, "prior": prior, "output": outputs}))
    return fingerprint


def _caption_files(options: argparse.Namespace, outputs: list[str], root: Path, out: Path) -> CaptionFiles | None:
    if "text" not in outputs:
        return None
    return MirrorFiles(out, options.existing) if options.out else CaptionFiles(root, options.existing)


def _export(outputs: list[str], out: Path, journal: Journal, sources: Sources) -> None:
    if "parquet" in outputs:
        write_parquet(out, journal)
    if "webdataset" in outputs:
        count = write_shards(out, journal, sources)
        print(f"pez: shards hold {count:,} pictures", file=sys.stderr)


def _told(tally: Tally, out: Path) -> int:
    """Say how it went, and give the exit code."""
    counts = f"{tally.done:,} pictures done, {tally.before:,} before, {tally.failed:,} failed"
    where = f"; {str(out / FAILURES)!r} says why" if tally.failed else ""
    print(f"pez: {counts}{where}", file=sys.stderr)
    if tally.stopped:
        print("pez: stopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return FAILED if tally.failed else 0
