"""What TensorBoard imports at its start.

An error here would keep TensorBoard from starting, so nothing but the base
class is imported, and whatever fails later costs this one tab.
"""

import logging

try:
    from tensorboard.plugins.base_plugin import TBLoader
except Exception:  # another TensorBoard than we know
    TBLoader = object


class GradGuardLoader(TBLoader):
    """Makes the plugin of the GradGuard tab, or says in the log why not."""

    def fix_flags(self, flags):
        """Let all data of the tab be loaded, unless the user said how much."""
        try:
            from keras_gradguard.reporting.tensorboard import chunks

            name, most = chunks.PLUGIN_NAME, chunks.SAMPLES
            flags.samples_per_plugin.setdefault(name, most)
        except Exception as error:
            _tell(error)

    def load(self, context):
        """Return the plugin, None if it cannot be made.

        Args:
            context: `TBContext` of TensorBoard.
        """
        try:
            from keras_gradguard.tensorboard_plugin.plugin import (
                GradGuardPlugin,
            )

            return GradGuardPlugin(context)
        except Exception as error:
            _tell(error)
            return None


def _tell(error):
    logging.getLogger(__name__).warning(
        "keras_gradguard: there is no GradGuard tab: %s: %s. It needs "
        'TensorBoard 2.21: pip install -U "keras-gradguard[tensorboard]"',
        type(error).__name__,
        error,
    )
