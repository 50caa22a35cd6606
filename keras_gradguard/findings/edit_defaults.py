"""What an edit does and the code that tells it agree on."""

# Arguments that a recurrent layer keeps when it becomes another kind.
RECURRENT_KEPT = (
    "units",
    "return_sequences",
    "go_backwards",
    "stateful",
    "unroll",
    "dropout",
    "recurrent_dropout",
)
# Steps of a schedule where nobody knows how long the run is.
SCHEDULE_STEPS = 2000
