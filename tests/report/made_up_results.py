"""A made-up benchmark with everything a report shows: seeds, a failure, marks, scores, curves, costs, faces."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cface_basicsr.data.generated_faces.render import render_face
from cface_basicsr.measuring.results import (
    Check,
    Compared,
    Costs,
    CurvePoint,
    DataSet,
    Faces,
    Facts,
    Measured,
    Region,
    Results,
    Run,
    save_mapped,
    save_scores,
)

SYSTEMS = ['HR', 'Bicubic', 'VDSR', 'EDSR', 'ESRGAN', 'C-Face-v1', 'C-Face-v2']
QUALITY = dict(zip(SYSTEMS, (2.6, 1.0, 1.3, 1.5, 1.6, 1.7, 2.0), strict=True))
FOLDS, PAIRS = 10, 40


def made_up_results(folder: Path, *, systems: Sequence[str] = SYSTEMS, scales: Sequence[int] = (4, 8),
                    seeds: Sequence[int] = (0, 1), size: int = 32, faces: int = 2) -> Results:
    """Results whose scores and pictures lie in `folder`; EDSR x8 of the last seed has failed."""
    keys = [f'{identity:07d}/000' for identity in range(faces)]
    hr = {key: render_face(identity, 0, size) for identity, key in enumerate(keys)}
    runs = [_run(folder, system, scale, seed, hr) for scale in scales for system in systems
            for seed in ([None] if system in ('HR', 'Bicubic') else seeds)]
    low = {scale: {key: _save(folder, f'lr_x{scale}/{place}', _resized(face, size // scale))
                   for place, (key, face) in enumerate(hr.items())} for scale in scales}
    others = {key: (key.replace('/000', '/001'), _save(folder, f'compare/{place}', render_face(place, 1, size)))
              for place, key in enumerate(keys)}
    shown = [Faces(test.name, keys, low, {keys[0]: Region('mouth', (0.3, 0.6, 0.7, 0.9))}, others) for test in TESTS]
    return Results('benchmark', 'C-Face & others <made up>', _facts(seeds), list(systems), list(scales), runs, shown,
                   show_published=True)


def _compared(sha256: str) -> list[Compared]:
    return [Compared('pairs', sha256, 'Ten folds.', {'pairs': FOLDS * PAIRS, 'folds': FOLDS, 'far': 0.01})]


TESTS = [DataSet('held-out', 'test', 'b' * 64, 41, 190, _compared('e' * 64), 'lfw'),
         DataSet('generated', 'test', 'c' * 64, 20, 100, _compared('f' * 64), 'celeba')]


def _facts(seeds: Sequence[int]) -> Facts:
    checks = [Check('identities of training and test are disjoint (by key)', 'holds', '200 and 41, none shared'),
              Check('no test image is a training image (by hash)', 'broken', '2 of 190: 0000003/001, 0000005/002'),
              Check('same kernel', 'unknown', 'the manifest does not name it')]
    return Facts('cface benchmark options/benchmark/made_up.yml', list(seeds),
                 [DataSet('train', 'train', 'a' * 64, 200, 900), *TESTS], {'sphereface': 'd' * 64},
                 {'cface-basicsr': '0.1.0', 'torch': '2.9'}, 'CPU, 2 threads', '8,000 images through each generator',
                 checks, {'scales': [4, 8]}, ['Nothing here was measured.'])


def _run(folder: Path, system: str, scale: int, seed: int | None, hr: dict[str, np.ndarray]) -> Run:
    run = Run(system, scale, seed, {'type': system}, '' if seed is None else '16 of 64 features')
    if (system, scale, seed) == ('EDSR', 8, 1):
        run.status, run.reason = 'failed', 'the loss is NaN at iteration 42'
        return run
    if (system, scale) == ('VDSR', 8):
        run.footnotes.append('not converged')
    random = np.random.default_rng([SYSTEMS.index(system), 0 if system == 'HR' else scale, seed or 0])
    run.measured = {test.name: _measured(folder, run, test, random, list(hr)) for test in TESTS}
    run.faces = {key: _save(folder, f'{system}_x{scale}_{seed}/{place}', _worse(face, system, scale))
                 for place, (key, face) in enumerate(hr.items())}
    if system != 'HR':
        run.costs = Costs(0 if seed is None else 1_234_567, 2_500_000_000, 12.5, None if seed is None else 80.0, 'CPU')
    if seed is not None:
        run.images_g, run.images_r, run.curve = 8000, 0, _curve(system, random)
    return run


def _measured(folder: Path, run: Run, test: DataSet, random: np.random.Generator, keys: Sequence[str]) -> Measured:
    same = np.tile(np.repeat([True, False], PAIRS // 2), FOLDS)
    scores = random.normal(size=len(same)) + QUALITY[run.system] * (1 - run.scale / 40) * same
    per_fold = ((scores > 0.8) == same).reshape(FOLDS, -1).mean(axis=1)
    numbers = {'psnr': None if run.system == 'HR' else 24 + QUALITY[run.system] + 16 / run.scale + random.normal() / 9,
               'ssim': 1.0 if run.system == 'HR' else 0.6 + QUALITY[run.system] / 9,
               'sphereface/accuracy': per_fold.mean(), 'sphereface/accuracy_std': per_fold.std(ddof=1),
               'sphereface/vr': (scores[same] > 2.3).mean(),
               'sphereface/dir': None if test.like == 'celeba' else (scores[same] > 2.5).mean()}
    path = save_scores(folder / f'scores/{test.name}_{run.system}_x{run.scale}_{run.seed}.npz', same,
                       {'sphereface': scores})
    mapped = [key.replace('/000', f'/{number:03d}') for key in keys for number in range(3)]
    features = save_mapped(folder / 'features' / path.name, mapped,
                             {'sphereface': made_up_features(run.system, mapped)})
    return Measured({key: None if value is None else float(value) for key, value in numbers.items()},
                    {'sphereface/accuracy': per_fold.tolist()}, str(path.relative_to(folder)),
                    str(features.relative_to(folder)))


def made_up_features(system: str, keys: Sequence[str]) -> np.ndarray:
    """(n, 8): a direction of the person's own, and the further from it the worse the system is."""
    random = np.random.default_rng(5)
    own = {person: random.normal(size=8) for person in dict.fromkeys(key.split('/')[0] for key in keys)}
    return np.stack([own[key.split('/')[0]] + random.normal(size=8) / QUALITY[system] for key in keys])


def _curve(system: str, random: np.random.Generator) -> list[CurvePoint]:
    phases = ['PSNR', 'GAN'] if system == 'ESRGAN' else ['']
    return [CurvePoint(images, phases[len(phases) * (images - 1) // 8000],
                       {'l_g_pix': float(0.3 * np.exp(-images / 2000) + 0.03 + random.random() / 100)}
                       | ({'l_cface': float(0.8 - images / 20000)} if system.startswith('C-Face') else {}),
                       {'psnr': float(20 + 3 * (1 - np.exp(-images / 2000)))})
            for images in range(400, 8001, 400)]


def _worse(face: np.ndarray, system: str, scale: int) -> np.ndarray:
    if system == 'HR':
        return face
    blurred = _resized(_resized(face, len(face) // scale), len(face)).astype(float)
    share = min(1.0, (QUALITY[system] - 1) / 1.2)
    return (share * face + (1 - share) * blurred).round().astype(np.uint8)


def _resized(face: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC))


def _save(folder: Path, name: str, face: np.ndarray) -> str:
    path = folder / 'faces' / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(face).save(path)
    return str(path.relative_to(folder))
