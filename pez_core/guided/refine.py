"""A given text, edited where the target confirms it: words left out, put in, replaced, and exchanged."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from .texts import Ids, Words, spelled

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
        gained = worth([spelled(each) for each in (text, *offers)])
        order = gained[1:].argsort(descending=True, stable=True).tolist()
        place = next((each for each in order if may_say(spelled(offers[each]))), None)
        if place is None or gained[place + 1] <= gained[0] + least:
            return
        text = offers[place]
        yield spelled(text)


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
