"""Colours of solids and tones of backgrounds.

Solids are saturated and far apart in hue or lightness; backgrounds are pale (HSV saturation under 0.2 before shading),
so that a colour word in a caption always means a solid.
"""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.08, 0.10),
    "orange": (1.00, 0.50, 0.02),
    "yellow": (0.98, 0.88, 0.06),
    "green": (0.08, 0.66, 0.16),
    "cyan": (0.06, 0.80, 0.88),
    "blue": (0.10, 0.22, 0.90),
    "purple": (0.48, 0.12, 0.76),
    "pink": (1.00, 0.46, 0.74),
}
"""RGB in [0, 1]. The hues are 359, 29, 53, 128, 186, 231, 274 and 329 degrees."""

FEW = ("red", "yellow", "green", "cyan", "blue", "purple")
"""The six colours of level 1."""

ALL = tuple(COLOURS)

TONES: dict[str, tuple[float, float, float]] = {
    "white": (0.96, 0.96, 0.96),
    "grey": (0.76, 0.77, 0.78),
    "cream": (0.96, 0.92, 0.83),
    "pale blue": (0.82, 0.88, 0.95),
    "beige": (0.87, 0.82, 0.74),
}
"""Background tones by their caption words."""
