"""Chooses by the plan of a fit when its trace is judged."""

import dataclasses

from keras_gradguard.recording.schedule import full_executions

# The first look is after this share of the plan, within these bounds: before,
# hardly a rule can tell anything. Looks are as dense as that up to the second
# share of the plan, and to so many records.
_OF_PLAN, _FIRST_LOOK = 0.025, (2, 16)
_EARLY, _EARLY_RECORDS = 0.05, 64
# Looks at these shares of the plan, where judging is not felt; of longer plans
# those at doublings are as dense.
_MOST_LOOKED_AT = 20_000
_SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
# And at the last full measurement while no more than this is over, and at the
# last record of all.
_YOUNG = 0.05
_FEWEST = 4
# Looks at these shares in any case: a few in a run are not felt, and what is
# wrong has to be said before half of it is over.
_SURE_SHARES, _BEFORE = (0.05, 0.1, 0.2), 0.5
# Looks behind the first epochs that end with these shares, where judging is not
# felt, and with this one in any case: what the logs tell is new then.
_OF_EPOCHS, _SURE_EPOCH = (0.1, 0.2, 0.25, 0.3, 0.4), (0.15,)
# Epochs shorter than this are not flushed and measured one by one.
SHORT_EPOCH = 128


@dataclasses.dataclass(frozen=True)
class Looks:
    """Numbers of records at which a fit is judged.

    Args:
        epochs: Int. Epochs of the plan; 0 if that is not known.
        steps: Int. Batches of an epoch; 0 if that is not known.
    """

    epochs: int
    steps: int

    @classmethod
    def of(cls, params):
        """Return the looks of a fit, by the `params` of its callbacks."""
        return cls(params.get("epochs") or 0, params.get("steps") or 0)

    @property
    def plan(self):
        """Batches of the whole fit; 0 if that is not known."""
        return self.epochs * self.steps

    @property
    def first(self):
        """Records before the first look."""
        low, high = _FIRST_LOOK
        if not self.plan:
            return high
        return min(high, max(low, int(_OF_PLAN * self.plan)))

    @property
    def early(self):
        """Up to so many records the time that judging takes does not count."""
        return max(_EARLY_RECORDS, int(_EARLY * self.plan))

    @property
    def marks(self):
        """Looks where judging is not felt, as a sorted list of int."""
        return self._at(_SHARES, _OF_EPOCHS)

    @property
    def sure(self):
        """Looks in any case, as a sorted list of int."""
        return self._at(_SURE_SHARES, _SURE_EPOCH)

    def _at(self, shares, parts):
        """Return records by which a share is over, and was measured."""
        seen = full_executions(self.steps, min(self.plan, _MOST_LOOKED_AT))
        wanted = [share * self.plan for share in shares]
        found = [[at for at in seen if at >= share][:1] for share in wanted]
        found.append([at for at in seen if at <= _YOUNG * self.plan][-1:])
        young = int(_YOUNG * self.plan)
        found.append([young] if young >= _FEWEST else [])
        if self.plan >= SHORT_EPOCH:
            found.append([int(_BEFORE * self.plan)])
        if self.steps and self.plan <= _MOST_LOOKED_AT:
            # The logs of an epoch are there with the record behind it.
            ends = [-int(-part * self.plan // self.steps) for part in parts]
            found += [[end * self.steps + 1] for end in ends]
        return sorted({at for first in found for at in first})
