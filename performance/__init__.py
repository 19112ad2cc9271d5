"""Speed and memory against stock BasicSR on this machine, in one run: `python -m performance [NAME …]`.

These are measurements, never tests: a slow machine fails no build. The two sides of each comparison take turns, so
that a busy machine slows both.
"""
