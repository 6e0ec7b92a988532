"""worldpatch: an open world simulator. Importing the package imports nothing heavy; its rooms are imported by name."""

__version__ = "0.1.0"
