"""Names find their images: keys, paths and file names, with either kind of accents, and never another image."""

import unicodedata
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cface_basicsr.errors import UserError
from cface_basicsr.files.image_keys import IMAGE_SUFFIXES, escape, find_images, image_key

PEOPLE = ['Ann_Lee', 'J.R._Ray', "Tatiana_O'Neil", 'José_Peña', 'Ann Lee', 'a__b_', '100%', 'x' * 120, 'é' * 40,
          '李_娜', 'a+b']
FORMS = {
    'key': lambda person, number: image_key(person, number),
    'folder/name': lambda person, number: f'{person}/{person}_{number:04d}',
    'path': lambda person, number: f'/data/lfw/{person}/{person}_{number:04d}.jpg',
    'name': lambda person, number: f'{person}_{number:04d}',
    'file name': lambda person, number: f'{person}_{number:04d}.JPEG',
    'key without folder': lambda person, number: image_key(person, number).split('/')[1],
    'Windows': lambda person, number: f'D:\\lfw\\{person}\\{person}_{number:04d}.png'}


@pytest.mark.parametrize(('ours', 'theirs'), product(FORMS, FORMS))
@pytest.mark.parametrize(('accents', 'other'), [('NFC', 'NFC'), ('NFC', 'NFD'), ('NFD', 'NFC')])
def test_each_way_to_write_a_name_finds_the_image_under_each_other_way(ours: str, theirs: str, accents: str,
                                                                       other: str) -> None:
    images = [(person, number) for person in PEOPLE for number in (1, 2)]
    if 'key' in theirs and accents != other:  # the key of a name that was shortened depends on its bytes
        images = [(person, number) for person, number in images if '++' not in escape(person)]
    wanted = [FORMS[ours](unicodedata.normalize(accents, person), number) for person, number in images]
    names = [FORMS[theirs](unicodedata.normalize(other, person), number) for person, number in images]
    if 'key' in ours and 'key' not in theirs:
        keep = [row for row, (person, _) in enumerate(images) if '++' not in escape(person)]  # cannot be undone
        wanted, names = [wanted[row] for row in keep], [names[row] for row in keep]
    assert find_images(wanted, names[::-1], 'list') == list(range(len(names)))[::-1]


def test_a_name_so_long_that_its_key_is_shortened_finds_it_with_either_accents() -> None:
    for accents, other in product(('NFC', 'NFD'), repeat=2):
        person, written = (unicodedata.normalize(form, 'é' * 70) for form in (accents, other))
        key = image_key(person, 1)
        assert '++' in key
        for name in (f'{written}/{written}_0001.jpg', f'{written}_0001'):
            assert find_images([name], ['other/1', key], 'list') == [1], (accents, other, name)


def test_files_of_one_stem_are_told_apart_by_their_ending() -> None:
    keys = ['a/1+jpg', 'a/1+png', 'a/1+', 'a/2']
    assert find_images(['a/1.png', '1.jpg', 'a/2.bmp', 'a/1+png'], keys, 'list') == [1, 0, 3, 1]
    with pytest.raises(UserError, match=r"^list: 'a/1' may be 'a/1\+jpg' or 'a/1\+png'\.\n"):
        find_images(['a/1'], keys, 'list')


def test_a_plus_sign_of_a_name_is_not_the_mark_of_an_ending() -> None:
    assert find_images(['x/a.jpg', 'x/a+b'], ['x/a+b.jpg'], 'list') == [None, 0]
    assert find_images(['x/a%2Bb'], ['x/a+b.jpg'], 'list') == [0]


def test_folders_are_compared_where_both_have_one() -> None:
    assert find_images(['a/1', 'b/1', '2'], ['b/1', 'b/2'], 'list') == [None, 0, 1]


def test_only_an_image_that_is_called_after_its_person_is_taken_from_another_folder() -> None:
    """Its name says whose it is; '001' in another folder is another person's."""
    assert find_images(['Ann/Ann_0001'], ['x/Ann_0001'], 'list') == [None]
    assert find_images(['Ann/Ann_0001'], ['x/Ann_0001'], 'list', any_folder=True) == [0]
    assert find_images(['Ann/Ann_0001'], ['x/Ann_0001', 'Ann/Ann_0001'], 'list', any_folder=True) == [1]
    assert find_images(['a/001', 'a/a1'], ['b/001', 'b/a1'], 'list', any_folder=True) == [None, None]


@pytest.mark.parametrize(('wanted', 'names'), [(['1'], ['a/1', 'b/1']), (['a/1', 'b/1'], ['1.jpg']),
                                               (['é/1'], ['e\u0301/1.jpg', 'é/1.png'])])
def test_a_name_that_may_mean_two_images_is_refused(wanted: list[str], names: list[str]) -> None:
    with pytest.raises(UserError, match=r"^here: '.*' may be '.*' or '.*'\.\nWrite names with their folder"):
        find_images(wanted, names, 'here')


def test_the_same_image_may_be_wanted_twice_and_written_in_two_ways() -> None:
    assert find_images(['a/1', 'a/1', 'a/1.jpg'], ['1'], 'list') == [0, 0, 0]


_PART = st.text(st.characters(exclude_categories=['Cs', 'Cc', 'Zs', 'Zl', 'Zp'], exclude_characters='/\\'), min_size=1,
                max_size=8).filter(lambda part: part not in ('.', '..'))


def comparable(name: str) -> str:
    return unicodedata.normalize('NFC', name)


@settings(max_examples=150)
@given(st.lists(st.tuples(_PART, _PART), min_size=1, max_size=6, unique_by=lambda name: comparable('/'.join(name))),
       st.sampled_from(['NFC', 'NFD']), st.sampled_from(IMAGE_SUFFIXES), st.data())
def test_a_path_finds_the_key_that_was_made_of_it_or_is_refused(names: list[tuple[str, str]], accents: str, suffix: str,
                                                                data: st.DataObject) -> None:
    """Never another image: what is found is the one whose name is the same letter by letter."""
    names = [(folder, image) for folder, image in names if not image.lower().endswith(IMAGE_SUFFIXES)]
    keys = [f'{escape(folder)}/{escape(image)}' for folder, image in names]
    order = data.draw(st.permutations(range(len(keys))))
    paths = [unicodedata.normalize(accents, f'photos/{folder}/{image}{suffix}') for folder, image in names]
    assert find_images(paths, [keys[row] for row in order], 'list') == [order.index(row) for row in range(len(keys))]
