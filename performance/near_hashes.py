"""How the search of `cface audit` for near hashes grows: random hashes against themselves, in all views, mirrored too.

Every pair is compared, so time grows with their number. What a million hashes need is counted from the slope.
"""

from functools import partial

import numpy as np

from performance.limits import Limit
from performance.measure import Finding, slope, take_turns

COUNTED = (1_000_000, 5_000_000)


def run(*, rows: int = 80_000, rounds: int = 3) -> list[Finding]:
    """Measure, with one thread.

    Args:
        rows: hashes; half and a quarter of them are measured, too.
        rounds: how often each search runs.
    """
    from cface_basicsr.data.audit.near_duplicates import NEAR
    from cface_basicsr.data.audit.perceptual_hash import VIEWS, WORDS, near_pairs
    passes = 2 * (2 * len(VIEWS) - 1)  # each middle against each whole picture, and all of it mirrored
    hashes = np.random.default_rng(0).integers(0, 2 ** 63, (rows, WORDS), np.uint64)
    sizes = (rows // 4, rows // 2, rows)

    def search(count: int) -> list:
        return list(near_pairs(hashes[:count], hashes[:count], NEAR, later=True))
    times = take_turns({str(count): partial(search, count) for count in sizes}, rounds)
    seconds = {count: passes * times[str(count)].median_cpu for count in sizes}
    pair = slope([count ** 2 / 2 for count in sizes], list(seconds.values()))  # all passes
    return [*(_finding(count, WORDS, seconds[count], f'{passes} passes, by CPU time, one thread') for count in sizes),
            *(_finding(count, WORDS, pair * count ** 2 / 2, f'counted: {1e9 * pair:.3g} ns a pair')
              for count in COUNTED)]


def _finding(count: int, words: int, seconds: float, how: str) -> Finding:
    limit = Limit(moved=8 * words * count)
    return Finding(f'audit_{count}', f'near hashes among {count:,} pictures', f'{seconds:.3g} core seconds', how,
                   seconds / 3600, 'core hours', limit=f'each hash read once, {limit.words()}',
                   of_limit=seconds / limit.seconds)
