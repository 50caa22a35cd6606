"""torch: updates that happen or not."""


def known_now(condition):
    return bool(condition)


def chooses_after(exact):
    del exact
    return False


def branch(condition, then, otherwise, variables, exact=False):
    del variables, exact
    then() if known_now(condition) else otherwise()


def assert_in_graph(condition, message):
    del condition, message
    return False
