"""Scaling laws: sweeps over sizes and budgets, fits with intervals, plans from them. `worldpatch scale` is the door."""
