"""What a backend says that it cannot do."""


class CannotRunAgainError(Exception):
    """A forward pass holds something that must not run a second time.

    Args:
        what: Str, what the model does.
    """

    is_notice = True

    def __init__(self, what):
        super().__init__(
            f"the model {what}, which would draw or do something twice if it "
            "were called beside the step"
        )
