"""Methods replaced on instances, and put back."""


class Patches:
    """Methods replaced on instances, put back in reverse order.

    The instance's dictionary is used directly, past any attribute tracking,
    so that nothing of it is saved or counted.
    """

    def __init__(self):
        self._undo = []

    def replace(self, instance, name, make):
        """Replace a method of one instance.

        Args:
            instance: The object.
            name: Name of the method.
            make: Callable that takes the present bound method and returns
                its replacement.
        """
        present = getattr(instance, name)
        own = instance.__dict__.get(name)
        made = make(present)
        # Ctrl-C may come between any two of these lines.
        self._undo.append(lambda: _put_back(instance, name, own))
        instance.__dict__[name] = made

    def hide(self, instance, name):
        """Let an attribute of one instance be None.

        Args:
            instance: The object.
            name: Name of the attribute.
        """
        own = instance.__dict__.get(name)
        if own is not None:
            self._undo.append(lambda: _put_back(instance, name, own))
        instance.__dict__[name] = None

    def add_undo(self, function):
        """Call a function when everything is put back.

        Args:
            function: Callable without arguments, safe to repeat.
        """
        self._undo.append(function)

    def undo(self):
        """Put everything back. Safe to call twice."""
        while self._undo:
            self._undo[-1]()
            self._undo.pop()


def run_all(functions):
    """Run functions, all of them also where Ctrl-C comes in between.

    Args:
        functions: List of callables without arguments, safe to repeat.

    Raises:
        KeyboardInterrupt: At the end, if it came.
    """
    left, late = list(functions), None
    while left:
        try:
            while left:
                left[0]()
                del left[0]
        except KeyboardInterrupt as error:
            late = error
    if late is not None:
        raise late


def _put_back(instance, name, own):
    if own is None:
        instance.__dict__.pop(name, None)
    else:
        instance.__dict__[name] = own
