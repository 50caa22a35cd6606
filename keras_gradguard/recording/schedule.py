"""Chooses which executions of the train step measure what."""

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.recording.step.gradients import Mode

# A full step costs about a third more; one in 64 costs half a percent.
_FULL_EVERY = 64
_FULL_EARLY = (0, 1, 2, 4, 16)


def is_full_step(count):
    """Whether a step is measured in full.

    Args:
        count: Integer, or a tensor of one: steps before it that could have
            been.
    """
    due = count % _FULL_EVERY == 0
    for early in _FULL_EARLY:
        due = due | (count == early)
    return due


def full_executions(steps_per_epoch, most):
    """Return how many executions are over by each step measured in full.

    Args:
        steps_per_epoch: Int. Batches of an epoch; the last one is left out.
        most: Int. The largest number to return.
    """
    skipped = max(1, steps_per_epoch - 1)
    shift = steps_per_epoch > 1
    found = (
        count + shift * (count // skipped) + 1
        for count in range(most)
        if is_full_step(count)
    )
    return [done for done in found if done <= most]


class Schedule:
    """Counts executions, batches and steps on the host, and plans by them.

    Args:
        model: The model.
        optimizers: List of its leaf optimizers.
        update_freq: Record every so many steps; 0 records no gradients.
        steps_per_epoch: Batches of an epoch, or None.

    Attributes:
        batch: Batches of the present epoch so far.
        executions: Executions so far.
        accumulate: Batches that make an update.
    """

    def __init__(self, model, optimizers, update_freq, steps_per_epoch):
        self.update_freq = update_freq
        self.steps_per_epoch = steps_per_epoch
        self.batch = 0
        self.executions = 0
        self._per_execution = max(1, int(model.steps_per_execution or 1))
        accumulated = [o.gradient_accumulation_steps or 1 for o in optimizers]
        self.accumulate = max([1, *map(int, accumulated)])
        self._micro = max([0, *map(_micro_steps, optimizers)])
        self._considered = 0
        self._looked = 0

    @property
    def step(self):
        """Optimizer steps so far."""
        return self._micro // self.accumulate

    @property
    def skips_on_host(self):
        """Whether the host can leave out the steps that are not wanted."""
        return self.update_freq > 1 and self._per_execution == 1

    @property
    def usual_mode(self):
        """The mode of most executions."""
        no_gradients = not self.update_freq or self.skips_on_host
        return Mode.OFF if no_gradients else Mode.NORMS

    @property
    def updates_next(self):
        """Whether the coming execution ends an accumulation."""
        now, later = self._micro, self._micro + self._per_execution
        return now // self.accumulate < later // self.accumulate

    def next_mode(self, wanted):
        """Choose what the coming execution measures; ask once for each.

        Args:
            wanted: Bool. Whether somebody asked for a full step.
        """
        if self.skips_on_host:
            due = self.step % self.update_freq == 0 and self.updates_next
            if wanted or (due and self._is_look_due()):
                return Mode.FULL
            return Mode.NORMS if due else Mode.OFF
        if self.accumulate > 1 and self._per_execution == 1:
            if not self.updates_next:
                return self.usual_mode
        elif self._is_last_batch():
            # Its batch may be smaller: a shape that would be compiled again.
            return self.usual_mode
        count = self._considered
        self._considered += 1
        due = is_full_step(count)
        return Mode.FULL if due or wanted else self.usual_mode

    def _is_look_due(self):
        """Whether a step that is recorded is measured in full; ask once."""
        count = self._considered
        self._considered += 1
        due = count in _FULL_EARLY or self.step - self._looked >= _FULL_EVERY
        if due:
            self._looked = self.step
        return due

    def _is_last_batch(self):
        steps = self.steps_per_epoch
        return (
            steps is not None
            and steps > self._per_execution
            and self.batch + self._per_execution >= steps
        )

    def steps_of_execution(self):
        """List of the steps that the coming execution takes part in."""
        micro = range(self._micro, self._micro + self._per_execution)
        return [step // self.accumulate for step in micro]

    def advance(self):
        """Note that an execution has run."""
        self.batch += self._per_execution
        self._micro += self._per_execution
        self.executions += 1


def _micro_steps(optimizer):
    """Batches that an optimizer has seen so far."""
    if not optimizer.built:
        return 0
    backend = _backend.current()
    return int(backend.to_numpy(backend.read(keras_private.counter(optimizer))))
