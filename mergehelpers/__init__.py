"""mergehelpers: the thin package behind *Model Merging by Experiment*.

Import the module you need (`from mergehelpers import mloss`); each is one idea, short enough to
read in one sitting.
"""

__version__ = "0.1.0"
