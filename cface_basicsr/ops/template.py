"""What faces were cropped to, by name: for recognizers, and for networks that enlarge faces."""

from typing import Literal

Template = Literal['center', 'arcface', 'sphereface', 'dlib']
"""center: the middle square of a photograph; arcface, sphereface: five landmarks of that template (in a square both are
the same); dlib: the chip of dlib, which is cut out of such a face."""
