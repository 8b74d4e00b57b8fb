"""Similarities and rankings as numbers, tables and pictures."""

import pytest
import torch

from pez_core.picture_ranking import RankedPrompt
from pez_core.report.ranking import contact_sheet, ranking_table
from pez_core.report.similarities import mean_similarity, similarity_picture, similarity_table

SOME = torch.tensor([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])
RED, GREEN, BLUE = (torch.eye(3)[channel].expand(8, 8, 3) for channel in range(3))


def test_among_themselves_a_picture_is_not_compared_with_itself():
    assert mean_similarity(SOME, same=True) == pytest.approx(0.4)
    assert mean_similarity(SOME, same=False) == pytest.approx(5.4 / 9)
    assert mean_similarity(SOME[:1, :1], same=True) == 1


def test_the_table_has_a_line_for_each_picture_with_its_most_similar_one_last():
    lines = [line.split() for line in similarity_table(SOME[:2, 1:]).splitlines()]
    assert lines == [["1", "2", "best"], ["1", "0.200", "0.400", "2"], ["2", "1.000", "0.600", "1"]]


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 30)])
def test_the_matrix_is_a_picture_of_any_size_of_table(shape):
    picture = similarity_picture(torch.rand(shape, generator=torch.Generator().manual_seed(1)))
    assert picture.shape[-1] == 3 and 0 <= picture.min() < picture.max() <= 1


def test_another_matrix_is_another_picture():
    assert not torch.equal(similarity_picture(SOME), similarity_picture(SOME.flip(0)))


RANKED = (RankedPrompt("a green thing", 0.9, 1, 0), RankedPrompt("a $thing_ in red " * 20, 0.5, 0, 1))


def test_the_ranking_lists_the_best_first():
    assert ranking_table(RANKED).splitlines()[0] == "  1  0.900  a green thing"


def colours(sheet):
    return {name for name, colour in zip(("red", "green", "blue"), torch.eye(3)) if (sheet == colour).all(-1).any()}


def test_the_sheet_shows_the_wanted_picture_and_the_best_of_each_prompt():
    sheet = contact_sheet(RANKED, [[GREEN, RED], [GREEN]], BLUE)
    assert colours(sheet) == {"red", "green", "blue"}
    assert colours(contact_sheet(RANKED[:1], [[RED], [GREEN]], BLUE)) == {"green", "blue"}


def test_pictures_of_different_sizes_and_channels_stand_beside_each_other():
    grey, clear = torch.rand(200, 100, 1), torch.rand(30, 50, 4)
    assert torch.isfinite(contact_sheet(RANKED, [[GREEN, grey], [clear]], BLUE)).all()
