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


class DrawsApartError(Exception):
    """A step draws by an operation that has a random state of its own.

    Args:
        name: Str, the operation.
    """

    is_notice = True

    def __init__(self, name):
        super().__init__(
            f"the step calls {name} of TensorFlow, which would draw other "
            "numbers in a second variant of the step"
        )


class CannotBeCalledError(Exception):
    """A model with a train step of its own cannot be called beside it.

    Args:
        error: The exception that the call raised.
    """

    is_notice = True

    def __init__(self, error):
        super().__init__(
            "the model has a train step of its own, and to call the model "
            f"itself on what that step gets raised {type(error).__name__}"
        )


class MakesItsBatchError(Exception):
    """A compiled step computes what it calls the model on.

    Args:
        what: Str, the name of what it computes.
    """

    is_notice = True

    def __init__(self, what):
        names = {"x": "inputs", "y": "targets", "weights": "weights"}
        super().__init__(
            f"the compiled step makes the model's "
            f"{names.get(what, 'sample weights')} itself, where they cannot "
            "be seen. Pass them to it as arguments"
        )
