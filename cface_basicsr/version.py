"""The version of the package, which setuptools reads too."""

__version__ = '0.1.0'
