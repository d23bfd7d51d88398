"""The generator against its peers, in one run, as ratios. Run it: ``make bench``, or ``python -m bench --help``."""
