"""How a delivery can fail, and what that means for the next attempt. The words are for the channel's owner."""


class ChannelError(Exception):
    """A message was not delivered. `str(error)` says why, in words that hold no secret."""


class Temporary(ChannelError):
    """It may work later. `retry_after_s`: how long the receiver asks to wait, in seconds; None where it does not."""

    def __init__(self, words: str, retry_after_s: float | None = None) -> None:
        super().__init__(words)
        self.retry_after_s = retry_after_s


class Ours(Temporary):
    """This installation is not set up rightly. It is tried again, and says nothing of the channel."""


class Permanent(ChannelError):
    """It will not work until somebody changes the channel: trying again is of no use."""


class Gone(Permanent):
    """The receiver wants no more of these, for ever: the channel is to be disabled."""


class InvalidChannel(ValueError):
    """A channel cannot be set up like this. `errors` says for each field what is wrong and what is valid."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {words}" for name, words in errors.items()))
        self.errors = errors
