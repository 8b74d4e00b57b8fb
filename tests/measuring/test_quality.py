"""The quality benchmark: the published loop's forms, and a run that continues where it was interrupted."""

import json
from concurrent.futures import Future

import pytest
import torch

from benchmarks import quality

STEPS = 40


class Pool:
    """Runs nothing: keeps what was asked for, and answers with what it is given."""

    def __init__(self, answer):
        self.asked, self._answer = [], answer

    def submit(self, work, *arguments):
        self.asked.append((work.__name__, *arguments))
        job = Future()
        job.set_result(self._answer(work, *arguments))
        return job


def row(method, steps, picture):
    _, pictures = quality.pictures_and_encoder()
    return quality.Row(method, steps, pictures.facts[picture]["tile"], False, False, 1.0, 0.5, 1, True, "a prompt")


def answer(work, *arguments):
    """TokenisedExamples as the work would have them."""
    if work is quality.measured:
        (picture, _) = arguments
        _, pictures = quality.pictures_and_encoder()
        rows = [row(name, quality.SHORT, picture) for name in quality.OURS]
        return quality.Loop(pictures.facts[picture]["tile"], 0.07, None), rows
    group, token_filter, counts, _ = arguments
    return [row(quality.REREAD[token_filter], steps, picture) for picture in group for steps in counts]


@pytest.fixture(scope="module", params=["all", "ascii words"])
def went(request):
    """The published loop on two pictures: the token filter, the pictures, ids and scores."""
    chosen = [20, 119]
    _, pictures = quality.pictures_and_encoder()
    starts = torch.cat([quality.start(picture, request.param) for picture in chosen])
    return request.param, chosen, *quality.trajectory(pictures.features[chosen], starts, STEPS, request.param)


def test_the_published_loop_keeps_to_its_ids(went):
    token_filter, _, ids, _ = went
    encoder, _ = quality.pictures_and_encoder()
    assert set(ids.flatten().tolist()) <= set(encoder.vocabulary.allowed_ids(token_filter).tolist())


def test_read_again_it_has_the_text_of_its_way_that_is_nearest_to_the_picture(went):
    _, chosen, ids, scores = went
    encoder, pictures = quality.pictures_and_encoder()
    for place, picture in enumerate(chosen):
        texts = [encoder.vocabulary.decode(row) for row in ids[:, place].tolist()]
        fitting = [text for text in texts if len(encoder.vocabulary.encode(text)) <= quality.TOKENS]
        target = pictures.features[picture]
        nearest = max((encoder.encode_text(text)[0] @ target).item() for text in fitting)
        ((_, by_ids, by_text),) = quality.best_texts(picture, ids[:, place], scores[:, place], (STEPS,))
        assert (encoder.encode_text(by_text)[0] @ target).item() == pytest.approx(nearest, abs=1e-5)
        assert by_ids == texts[scores[:, place].argmax()]


def test_a_text_that_reads_back_as_another_counts_as_that_one():
    """By the ids it seems the best, by the text it is not."""
    encoder, _ = quality.pictures_and_encoder()
    drawn = quality._projection("all").random_ids((200, quality.TOKENS), torch.Generator().manual_seed(0))
    changed = next(row for row in drawn if not encoder.vocabulary.survives(row.tolist()))
    kept = next(row for row in drawn if encoder.vocabulary.survives(row.tolist()))
    ids, scores = torch.stack([kept, changed]), torch.tensor([0.5, 0.9])
    ((_, by_ids, by_text),) = quality.best_texts(20, ids, scores, (2,))
    assert by_ids == encoder.vocabulary.decode(changed.tolist())
    assert by_text == encoder.vocabulary.decode(kept.tolist())


def test_fewer_steps_have_the_best_of_those_alone(went):
    _, chosen, ids, scores = went
    for place, picture in enumerate(chosen):
        few, many = quality.best_texts(picture, ids[:, place], scores[:, place], (STEPS // 4, STEPS))
        (alone,) = quality.best_texts(picture, ids[: STEPS // 4, place], scores[: STEPS // 4, place], (STEPS // 4,))
        assert few == alone and many[0] == STEPS


def test_the_plain_loop_is_compared_with_the_ids_that_were_computed():
    went = quality._first_steps([20])[20][:3]
    found = quality.plain_loop(20, went)
    assert found.lead is None or found.lead < 1e-6
    other = [went[0], [*went[1][:-1], (went[1][-1] + 1) % 49000], went[2]]
    assert quality.plain_loop(20, other).lead > 1e-6


def test_untouched_pictures_and_those_of_the_studies_stand_apart():
    _, pictures = quality.pictures_and_encoder()
    untouched, touched = pictures.untouched(), pictures.touched()
    assert len(untouched) == 20 and len(touched) == 80 and not set(untouched) & set(touched)
    assert not set(range(quality.FOR_STUDIES)) & {*untouched, *touched}


def test_an_interrupted_run_continues_where_it_stopped(tmp_path):
    path = tmp_path / "quality.json"
    whole = Pool(answer)
    run = quality.Run(path, quick=True)
    run.time_pictures(whole)
    run.find_published(whole)
    assert [name for name, *_ in whole.asked] == ["measured"] * 4 + ["published"] * 4

    saved = json.loads(path.read_text())
    again = Pool(answer)
    run = quality.Run(path, quick=True)
    run.time_pictures(again)
    run.find_published(again)
    assert again.asked == [] and run.result == saved

    lost = saved["loops"].pop()["picture"]
    saved["rows"] = [row for row in saved["rows"] if row["picture"] != lost]
    path.write_text(json.dumps(saved))
    rest = Pool(answer)
    run = quality.Run(path, quick=True)
    run.time_pictures(rest)
    run.find_published(rest)
    assert [name for name, *_ in rest.asked] == ["measured", "published", "published"]
    keys = [(row["method"], row["steps"], row["picture"]) for row in run.result["rows"]]
    assert len(keys) == len(set(keys)) == 4 * 7
