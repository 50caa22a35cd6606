"""What backends have in common where each step runs on one replica only."""


def replicas():
    return 1


def replica():
    # Position of the replica that the code runs on.
    return 0


def on_each_replica(function):
    function()


def keep_collectives_apart(model=None):
    # There are none.
    del model


def draw_of_its_own():
    # Random states are variables or arrays, or the process has them.
    return None


def check_runs_again(function, data):
    # Its random states are part of the state that the step takes.
    del function, data


def reduce_over_replicas(tensors):
    # The tensors: they are reduced already.
    return list(tensors)


def each_whole(tensors):
    return list(tensors)


def over_processes(model, tensor):
    # The tensor: it is that of all of them already.
    del model
    return tensor
