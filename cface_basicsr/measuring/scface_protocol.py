"""SCface: faces that five cameras saw from three distances, compared with mug shots."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import torch

from cface_basicsr.errors import UserError, first_few
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.identification import ranks_of_scores
from cface_basicsr.evaluation.verification import Ints, threshold_at_far
from cface_basicsr.files.image_keys import image_label
from cface_basicsr.measuring.protocol import (
    Features,
    Outcome,
    Protocol,
    assumption_of_parts,
    outcome_of_parts,
    parts_of,
)
from cface_basicsr.measuring.request import Request

_DISTANCES = {1: '4.20 m', 2: '2.60 m', 3: '1.00 m'}
"""By their numbers in the names of the images (Grgic, Delac and Grgic 2011, "SCface")."""
_NAME = re.compile(r'(?P<person>\d{3})_(?:frontal|cam[1-5]_(?P<distance>[123]))')


class ScfaceProtocol(Protocol):
    """Each image of the five cameras for visible light is compared with all frontal mug shots, by distance."""

    name = 'scface'
    help = "SCface's images of five cameras against the frontal mug shots, by distance"
    gives = 'rank 1 and VR at 4.20, 2.60, 1.00 m'
    unit = 'parts'
    assumption = assumption_of_parts('People', 'mug shots at the same threshold')
    paired = tuple(f'{number}_d{distance}' for number in ('rank1', 'vr') for distance in _DISTANCES)
    shown = (*((f'rank1_d{distance}', f'rank 1 % at {text}', False) for distance, text in _DISTANCES.items()),
             *((f'vr_d{distance}', f'VR % at FAR {{far}} %, {text}', False) for distance, text in _DISTANCES.items()))
    takes = ('far',)
    has_sides = True
    sides = 'one'
    small = True

    def __init__(self, keys: Sequence[str], *, far: float | None = None) -> None:
        """
        Args:
            keys: of the N rows; 001_frontal is a mug shot, 001_cam1_2 what camera 1 saw at distance 2, and other
                images (infrared, poses) are not compared.
            far: false accept rate of VR; None: 0.01.

        Raises:
            UserError: a mug shot is missing or there twice, or a distance has no images.
        """
        self.far = 0.01 if far is None else far
        names = {row: match for row, key in enumerate(keys)
                 if (match := _NAME.fullmatch(image_label(key).rpartition('/')[2]))}
        self.labels = np.array([int(names[row]['person']) if row in names else -1 for row in range(len(keys))])
        self.gallery = np.array([row for row, name in names.items() if not name['distance']], np.int64)
        self.probes = {each: np.array([row for row, name in names.items() if name['distance'] == str(each)], np.int64)
                       for each in _DISTANCES}
        self.images = np.array([*names], np.int64)
        everywhere = np.isin(self.labels, _people_at_all_distances(self.labels, self.gallery, self.probes))
        self.part = np.full(len(keys), -1)  # of those who are missing at a distance
        self.part[everywhere] = parts_of(self.labels[everywhere])
        seen, people = len(self.images) - len(self.gallery), len(self.gallery)
        super().__init__(
            f'SCface: {seen:,} images of five cameras (officially 1,950) against the mug shots of {people:,} people '
            f'(officially 130). VR at FAR = {100 * self.far:g} % is over all pairs of an image of that distance and a '
            'mug shot.',
            hashlib.sha256('\n'.join(keys[row] for row in self.images).encode()).hexdigest(),
            {'people': people, 'images': seen, 'far': self.far, 'parts': int(self.part.max()) + 1})

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'ScfaceProtocol':
        """See `Protocol.from_request`; who is on an image is in its name."""
        return cls(keys, far=request.far)

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/rank1_d<distance>', 'vr_d<distance>'; `features` are of the mug shots."""
        numbers, per_part, enrolled = {}, {}, unit_features(features[self.gallery])
        for distance, probe in self.probes.items():
            seen = unit_features((features if right is None else right)[probe])
            scores = seen @ enrolled.T  # (P, G)
            same = self.labels[probe, None] == self.labels[self.gallery]
            ranks = ranks_of_scores(scores, torch.from_numpy(same)).numpy()
            threshold, _ = threshold_at_far(scores.numpy()[~same], self.far)
            outcome = outcome_of_parts({f'{name}/rank1_d{distance}': ranks == 1,
                                        f'{name}/vr_d{distance}': scores.numpy()[same] >= threshold}, self.part[probe])
            numbers |= outcome.numbers
            per_part |= outcome.per_fold
        return Outcome(numbers, per_part)


def _people_at_all_distances(labels: Ints, gallery: Ints, probes: dict[int, Ints]) -> Ints:
    """The people whom the cameras saw from all distances; refuses what is not SCface's set of images."""
    people = labels[gallery]
    if len(gallery) < 2 or len(set(people)) < len(gallery):
        raise UserError('scface: expected one mug shot, 001_frontal, of each of two or more people, got '
                        f'{len(gallery)} of {len(set(people))} people.')
    if strangers := sorted(set(labels[np.concatenate([*probes.values()])]) - set(people)):
        raise UserError(f'scface: {len(strangers)} people have no mug shot, first '
                        f'{first_few([f"{person:03d}" for person in strangers])}.')
    everywhere = sorted(set.intersection(*(set(labels[rows]) for rows in probes.values())))
    if not everywhere:
        raise UserError('scface: nobody was seen from all three distances, as in 001_cam1_1, 001_cam1_2, 001_cam1_3. '
                        'Prepare the whole SCface_database.')
    return np.array(everywhere)
