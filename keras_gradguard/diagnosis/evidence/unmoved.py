"""From when on a loss that stays where it began is reported."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps

_FLAT = {"of_plan": 0.5, "records": 2000, "fewest": 500}
BLIND = {"share": 0.5, "of_plan": 0.05, "records": 100}


@dataclasses.dataclass(frozen=True, slots=True)
class Unmoved:
    """Measurements by which nothing was learnt, late enough to say so.

    Attributes:
        flat: Bool array (K,). The loss has hardly fallen after half of the
            plan.
        blind: Bool array (K,). The outputs were the same for every input.
    """

    flat: np.ndarray
    blind: np.ndarray

    @classmethod
    def of(cls, trace, fall):
        """Return what a trace tells.

        Args:
            trace: The `Trace`, with at least one record.
            fall: Float. Share of the first loss that has to be gone.
        """
        learning = Learning.of(trace)
        start, plan = int(trace.steps[0]), planned_steps(trace)
        run = learning.steps - start
        due = _FLAT["of_plan"] * plan if plan else _FLAT["records"]
        late = run >= max(due, _FLAT["fewest"])
        flat = late & learning.idle(share=fall, follows=0.6)
        soon = run >= max(BLIND["of_plan"] * (plan or 0), BLIND["records"])
        with np.errstate(invalid="ignore"):
            blind = soon & learning.blind & learning.stalled
            blind &= learning.fallen < BLIND["share"]
        return cls(flat, blind)
