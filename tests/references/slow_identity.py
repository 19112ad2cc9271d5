"""Equations (3) to (6) of C-Face, literally: one face, one class, one number at a time."""

import math

Vector = list[float]


def norm(v: Vector) -> float:
    return math.sqrt(sum(x * x for x in v))


def super_identity(a: Vector, b: Vector) -> float:
    """Equation (4)."""
    return sum((x / norm(a) - y / norm(b)) ** 2 for x, y in zip(a, b, strict=True))


def squared_l2(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def one_minus_cosine(a: Vector, b: Vector) -> float:
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / (norm(a) * norm(b))


DISTANCES = {'normalized': super_identity, 'l2': squared_l2, 'cosine': one_minus_cosine}


def cface(sr: list[Vector], hr: list[Vector], compare: list[Vector], gamma1: float, gamma2: float, *, margin: bool,
          distance: str, has_compare: list[bool]) -> float:
    """Equation (6), or (5) without the margin, mean over the batch; faces without a compare image skip term two."""
    d = DISTANCES[distance]
    total = 0.0
    for s, h, c, has in zip(sr, hr, compare, has_compare, strict=True):
        total += gamma1 * d(s, h)
        if has and margin:
            total += gamma2 * max(d(s, c) - d(h, c), 0)
        elif has:
            total += gamma2 * d(s, c)
    return total / len(sr)


def a_softmax(features: list[Vector], classes: list[Vector], labels: list[int], margin: int, lambda_: float) -> float:
    """Equation (3) with annealing; `classes` are the columns of the weight."""
    total = 0.0
    for x, y in zip(features, labels, strict=True):
        exponents = []
        for j, w in enumerate(classes):
            cos = sum(p * q for p, q in zip(x, w, strict=True)) / (norm(x) * norm(w))
            if j == y:
                theta = math.acos(max(-1.0, min(1.0, cos)))
                k = min(math.floor(margin * theta / math.pi), margin - 1)
                psi = (-1) ** k * math.cos(margin * theta) - 2 * k
                exponents.append(norm(x) * (lambda_ * cos + psi) / (1 + lambda_))
            else:
                exponents.append(norm(x) * cos)
        total -= math.log(math.exp(exponents[y]) / sum(map(math.exp, exponents)))
    return total / len(features)
