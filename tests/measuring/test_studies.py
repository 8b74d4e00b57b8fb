"""The studies: points that a file holds are not run again."""

from concurrent.futures import Future

from benchmarks import studies


class Pool:
    def __init__(self):
        self.asked = []

    def submit(self, work, *arguments):
        self.asked.append(work.__self__)
        job = Future()
        job.set_result(work(*arguments))
        return job


def test_points_that_the_file_holds_are_not_run_again(tmp_path):
    path = tmp_path / "studies.json"
    some = [
        studies.Work("caption", setting, studies._captioned, lambda text, number: (0.5, 0.4))
        for setting in ("a", "b", "c")
    ]
    first, second, third = Pool(), Pool(), Pool()
    studies.measure(some[:2], 2, path, first)
    found = studies.measure(some, 2, path, second)
    assert first.asked == some[:2] and second.asked == some[2:]
    assert [point.setting for point in found] == ["a", "b", "c"]
    assert studies.measure(some, 2, path, third) == found and third.asked == []


def test_no_two_points_have_the_same_name():
    names = [(work.study, work.setting) for work in studies.works()]
    assert len(names) == len(set(names))


def test_the_published_loop_is_tried_at_the_learning_rate_that_is_named(monkeypatch):
    """Other rates go other ways from the same start."""
    monkeypatch.setattr(studies, "STEPS", 10)
    found = {rate: studies._published(rate, 0).text for rate in studies.LEARNING_RATES}
    assert len(set(found.values())) == len(found)
