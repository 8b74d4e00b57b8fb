"""A given text, edited where the target confirms it: words left out, put in, replaced, and exchanged."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from .texts import Ids, Words, spelled

LEAST_GAIN, FLUENCY = 0.182, 0.073  # of an edit, and for each nat, in logits

Worth = Callable[[Sequence[Ids]], Tensor]


def refined(
    given: Words, words: Words, worth: Worth, may_say: Callable[[Ids], bool], least: float, longest: int
) -> Iterator[Ids]:
    """The text after each edit, the best one first, as long as one raises its worth by more than `least`.

    Only `words` are put in. The first text is the one that was given. None is of more than `longest` ids.
    """
    text = given
    yield spelled(text)
    while offers := [each for each in edits(text, words) if 0 < len(spelled(each)) <= longest]:
        place = better(spelled(text), [spelled(each) for each in offers], worth, may_say, least)
        if place is None:
            return
        text = offers[place]
        yield spelled(text)


def better(text: Ids, offers: Sequence[Ids], worth: Worth, may_say: Callable[[Ids], bool], least: float) -> int | None:
    """The place of the best offer that may be said, where it is worth more than `text` by more than `least`."""
    gained = worth([text, *offers])
    order = gained[1:].argsort(descending=True, stable=True).tolist()
    place = next((each for each in order if may_say(offers[each])), None)
    return None if place is None or gained[place + 1] <= gained[0] + least else place


def edits(text: Words, words: Words) -> list[Words]:
    """All texts that are one edit away, without repetitions."""
    new = [word for word in words if word not in text]
    places = range(len(text))
    return list(
        dict.fromkeys(
            [
                *((*text[:place], *text[place + 1 :]) for place in places),
                *((*text[:place], word, *text[place:]) for word in new for place in range(len(text) + 1)),
                *((*text[:place], word, *text[place + 1 :]) for word in new for place in places),
                *((*text[:place], text[place + 1], text[place], *text[place + 2 :]) for place in places[:-1]),
            ]
        )
    )
