"""TensorFlow: the processes that train one model together."""

import tensorflow as tf


def process(model):
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        strategy = tf.distribute.get_strategy()
    resolver = getattr(strategy, "cluster_resolver", None)
    cluster = {} if resolver is None else resolver.cluster_spec().as_dict()
    tasks = [
        (job, i)
        for job in ("chief", "master", "worker")
        for i in range(len(cluster.get(job, ())))
    ]
    if resolver is None or len(tasks) < 2:
        return 0, 1
    own = resolver.task_type, resolver.task_id
    # An evaluator is none of those that train.
    return tasks.index(own) if own in tasks else len(tasks), len(tasks)
