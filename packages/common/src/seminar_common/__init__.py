"""Tools that every topic package shares: device, seeds, run folders, metrics, cost, plots and reports.

Nothing here imports a topic, and importing this package imports nothing heavy: each module is imported
where it is used, so that a command line answers ``--help`` at once.
"""

from importlib.metadata import version

__version__ = version("seminar-common")
