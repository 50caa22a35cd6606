"""`python -m keras_gradguard`: the demo, and reports from run directories."""

from keras_gradguard.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
