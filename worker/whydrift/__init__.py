"""whydrift: a streaming worker that tells that a model is failing, since when, what broke, and how sure it is."""

from importlib.metadata import version

__version__ = version("whydrift")
