"""How far the weights have come, measured between epochs."""

import numpy as np

from keras_gradguard import _backend
from keras_gradguard._backend import host_norms

# Entries per copy that are kept to compare with: 2 copies, 4 bytes each.
_SAMPLE = 1 << 16
_SEED = 20


class WeightWatch:
    """Norm, share of zeros and change of every variable.

    Norms and zeros are exact. The change is exact for models of up to 65,536
    parameters; larger ones keep a fixed random sample of each variable, of
    which the norm is scaled up, since a copy of the weights would double the
    memory they take.

    Args:
        variables: Keras variables, length V.
        sizes: Integer array `(V,)`, their numbers of elements.
        cache: Dict that keeps for the next watch what takes time to make.

    Attributes:
        columns: Positions of the measurements in the order of `reorder`.
    """

    def __init__(self, variables, sizes, cache):
        self._variables = list(variables)
        self._backend = _backend.current()
        self._sizes = np.asarray(sizes)
        self._start = None
        self.columns = list(range(len(self._variables)))
        self._last = None
        self._cache = {} if cache is None else cache
        key = "sample", tuple(self._sizes.tolist())
        if key not in self._cache:
            self._cache[key] = self._choose(self._sizes)
        self._samples = self._cache[key]

    def _choose(self, sizes):
        total = int(sizes.sum())
        if total <= _SAMPLE:
            return None
        generator = np.random.default_rng(_SEED)
        samples = []
        for size in sizes:
            count = int(np.clip(_SAMPLE * size // total, min(size, 64), size))
            chosen = None
            if count < size:
                # Sorted, and int32 for JAX; without `choice`, whose memory
                # grows with the size of the variable, and without `unique`,
                # which takes ten times as long.
                chosen = generator.integers(0, size, count)
                chosen = chosen.astype("int64" if size > 2**31 else "int32")
                chosen.sort()
                chosen = chosen[np.diff(chosen, prepend=-1) > 0]
            samples.append(chosen)
        return samples

    def covers(self, variables):
        """Whether it measures exactly these variables.

        Args:
            variables: List of Keras variables.
        """
        ours = {id(v) for v in self._variables}
        return ours == {id(v) for v in variables}

    def reorder(self, variables):
        """Choose the order of `columns`.

        Args:
            variables: The same variables in another order.
        """
        place = {id(v): i for i, v in enumerate(self._variables)}
        self.columns = [place[id(v)] for v in variables]

    def measure(self):
        """Measure the variables as they are.

        Returns:
            Dict of float32 arrays `(V,)`: `weight_norm`, `zero_fraction`,
            `distance` (norm of the weights minus those of the first
            measurement) and `epoch_change` (minus those of the last one).
        """
        to_numpy = self._backend.to_numpy
        values = [self._backend.read(v) for v in self._variables]
        on_host = self._backend.on_host(values)
        if on_host is None and self._samples is None:
            on_host = [to_numpy(value) for value in values]
        if on_host is None:
            norms, zeros, sample = self._on_device()(values)
            sample = [_flat(to_numpy(part)) for part in sample]
        else:
            norms = host_norms.l2_norms(on_host)
            zeros = host_norms.zero_fractions(on_host)
            sample = self._sample(on_host)
        if self._start is None:
            self._start = self._last = sample
        measured = {
            "weight_norm": np.asarray(to_numpy(norms), "float32"),
            "zero_fraction": np.asarray(to_numpy(zeros), "float32"),
            "distance": self._change(sample, self._start),
            "epoch_change": self._change(sample, self._last),
        }
        self._last = sample
        return measured

    def _sample(self, arrays):
        """Copies of what is compared later."""
        if self._samples is None:
            return [_flat(array) for array in arrays]
        return [
            _flat(array if chosen is None else array.reshape(-1)[chosen])
            for array, chosen in zip(arrays, self._samples, strict=True)
        ]

    def _on_device(self):
        """One compiled function: large weights stay on the device."""
        if "weights" not in self._cache:
            backend, samples = self._backend, self._samples

            def function(values):
                return (
                    backend.l2_norms(values),
                    backend.zero_fractions(values),
                    [
                        backend.take_flat(value, chosen)
                        for value, chosen in zip(values, samples, strict=True)
                    ],
                )

            self._cache["weights"] = backend.compiled(function)
        return self._cache["weights"]

    def _change(self, now, before):
        # Weights may be infinite: then so is their change, or it is NaN.
        with np.errstate(invalid="ignore", over="ignore"):
            norms = [
                _norm(np.subtract(a, b, dtype="float64"))
                * np.sqrt(size / max(1, len(a)))
                for a, b, size in zip(now, before, self._sizes, strict=True)
            ]
            return np.asarray(norms, "float32")


def _flat(array):
    return array.reshape(-1).astype("float32")


def _norm(vector):
    # Not `np.linalg.norm`: BLAS threads wait for the cores that train.
    return np.sqrt(np.square(vector).sum())
