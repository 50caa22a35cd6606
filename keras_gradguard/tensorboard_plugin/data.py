"""Reads runs through TensorBoard's data provider and remembers a few."""

import collections
import threading

from tensorboard.data import provider

from keras_gradguard.reporting.tensorboard.chunks import LAYERS_TAG
from keras_gradguard.reporting.tensorboard.chunks import PLUGIN_NAME
from keras_gradguard.reporting.tensorboard.chunks import STARTED_TAG
from keras_gradguard.tensorboard_plugin.run_data import assemble
from keras_gradguard.tensorboard_plugin.summaries import summary

_REMEMBERED = 24
# Fewer where runs are large: bytes of all that are remembered.
_MOST_BYTES = 500e6


class RunStore:
    """The runs of an experiment that have data for the tab.

    A run is put together once and again when something was added to it.

    Args:
        data_provider: `tensorboard.data.provider.DataProvider`.
        most: Int. Chunks to read per tag.
    """

    def __init__(self, data_provider, most):
        self._provider = data_provider
        self._most = most
        self._runs = collections.OrderedDict()
        self._summaries = {}
        self._lock = threading.Lock()

    def list(self, ctx, experiment):
        """Return dict of run name to its version, a float that rises.

        Args:
            ctx: Request context.
            experiment: Str. Experiment id.
        """
        return self.listed(ctx, experiment)[0]

    def listed(self, ctx, experiment):
        """Return what `list` does, and the runs that have only begun."""
        listed = self._provider.list_tensors(
            ctx, experiment_id=experiment, plugin_name=PLUGIN_NAME
        )
        begun = [
            run
            for run, tags in listed.items()
            if STARTED_TAG in tags and LAYERS_TAG not in tags
        ]
        known = {
            run: max(series.max_wall_time for series in tags.values())
            for run, tags in listed.items()
            if LAYERS_TAG in tags
        }
        return known, sorted(begun)

    def summaries(self, ctx, experiment):
        """Return a summary of each run, by name, in the order of names."""
        answer = []
        for run, version in sorted(self.list(ctx, experiment).items()):
            key = (experiment, run)
            known = self._summaries.get(key)
            if known is None or known["version"] != version:
                found = self.read(ctx, experiment, run)
                if found is None:
                    continue
                data, version = found
                known = {"run": run, "version": version, **summary(data)}
                self._summaries[key] = known
            answer.append(known)
        return answer

    def count_all(self, ctx, experiment):
        """Return how many runs there are, those without our data included."""
        return len(self._provider.list_runs(ctx, experiment_id=experiment))

    def read(self, ctx, experiment, run):
        """Return a run.

        Args:
            ctx: Request context.
            experiment: Str. Experiment id.
            run: Str. Name of a run.

        Returns:
            The `RunData` and its version, or None if there is no such run or
            nothing in it can be read.
        """
        version = self.list(ctx, experiment).get(run)
        if version is None:
            return None
        key = (experiment, run)
        with self._lock:
            known = self._runs.get(key)
            if known is not None and known[1] == version:
                self._runs.move_to_end(key)
                return known
        read = self._provider.read_tensors(
            ctx,
            experiment_id=experiment,
            plugin_name=PLUGIN_NAME,
            downsample=self._most,
            run_tag_filter=provider.RunTagFilter(runs=[run]),
        ).get(run, {})
        data = assemble(
            {
                tag: [datum.numpy.ravel().tolist() for datum in series]
                for tag, series in read.items()
            }
        )
        if data is None:
            return None
        with self._lock:
            self._runs[key] = (data, version)
            self._runs.move_to_end(key)
            while self._is_too_much():
                self._runs.popitem(last=False)
        return data, version

    def _is_too_much(self):
        total = sum(data.nbytes for data, _ in self._runs.values())
        count = len(self._runs)
        return count > _REMEMBERED or (count > 1 and total > _MOST_BYTES)
