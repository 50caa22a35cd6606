"""What the host tells a step that it runs itself, operation by operation."""


class Flag:
    def __init__(self, name, raised):
        del name
        self._value = raised

    def set(self, value):
        self._value = value

    def when_raised(self, function):
        if self._value:
            function()
