"""The one exception that people see."""


class PezError(ValueError):
    """An input that cannot be used; the message is one sentence that names the input and the remedy."""
