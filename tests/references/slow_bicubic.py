"""Antialiased bicubic resize, one pixel at a time, from the definition: Keys' kernel (a = -0.5), widened to reduce."""

import math


def keys(t: float, a: float = -0.5) -> float:
    t = abs(t)
    if t <= 1:
        return (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1
    if t < 2:
        return a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a
    return 0.0


def resize_row(row: list[float], new_length: int) -> list[float]:
    scale = len(row) / new_length
    width = max(scale, 1.0)
    out = []
    for i in range(new_length):
        centre = (i + 0.5) * scale - 0.5  # in pixel numbers
        total = weight_sum = 0.0
        for j in range(math.floor(centre - 2 * width), math.ceil(centre + 2 * width) + 1):
            if 0 <= j < len(row):
                weight = keys((j - centre) / width)
                total, weight_sum = total + weight * row[j], weight_sum + weight
        out.append(total / weight_sum)
    return out


def resize_image(image: list[list[float]], height: int, width: int) -> list[list[float]]:
    wide = [resize_row(row, width) for row in image]
    columns = [resize_row(list(column), height) for column in zip(*wide, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]
