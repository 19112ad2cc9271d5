import numpy as np
import pytest

from cface_basicsr.enhancing.enlarging import enlarged, enlarged_part


@pytest.mark.parametrize('factor', [1, 2, 3, 4])
@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_a_part_of_an_enlarged_photograph_is_enlarged_by_itself(kind: type, factor: int) -> None:
    photo = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (30, 40, 3)).astype(kind)
    whole = enlarged(photo, factor)
    for rows, columns in ((slice(0, 7), slice(5, 40)), (slice(17, 30), slice(1, 2)), (slice(0, 30), slice(0, 40))):
        assert (enlarged_part(photo, factor, rows, columns) == whole[rows, columns]).all()
        far = [slice(each.start + (factor - 1) * size, each.stop + (factor - 1) * size)
               for each, size in ((rows, 30), (columns, 40))]  # up to the last row and column
        assert (enlarged_part(photo, factor, *far) == whole[far[0], far[1]]).all()
