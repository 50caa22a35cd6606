"""`python -m keras_gradguard`: the demo, reports of runs, and replays."""

from keras_gradguard.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
