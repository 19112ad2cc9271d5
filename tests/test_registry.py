"""What an option file may name: every registered class of the plugin is documented, strict, and nobody else's name."""

import inspect
from typing import Any

import pytest
from basicsr.utils import registry

import cface_basicsr.register

REGISTRIES = {name: getattr(registry, f'{name}_REGISTRY') for name in ('DATASET', 'ARCH', 'MODEL', 'LOSS', 'METRIC')}


def of(package: str, kind: str) -> dict[str, Any]:
    return {name: entry for name, entry in REGISTRIES[kind] if entry.__module__.startswith(f'{package}.')}


OURS = [(kind, name) for kind in REGISTRIES for name in of('cface_basicsr', kind)]


def test_the_names_of_the_design_are_there() -> None:
    assert {'SRResNet', 'SRGANDiscriminator', 'SphereFace20', 'BicubicUpsampler', 'OnnxRecognizer',
            'ASoftmaxHead'} <= set(of('cface_basicsr', 'ARCH'))
    assert {'CFaceLoss', 'SuperIdentityLoss', 'ASoftmaxLoss', 'VGGContentLoss', 'VGGPerceptualLoss', 'SumSquaredLoss',
            'MultiStepL1Loss', 'WaveletLoss'} <= set(of('cface_basicsr', 'LOSS'))
    assert {'CFaceModel', 'SICNNModel', 'RecognitionModel', 'GenerateModel'} <= set(of('cface_basicsr', 'MODEL'))
    assert {'CFaceTripletDataset', 'LabelledFaceDataset', 'FacePairDataset',
            'CFaceGenerateDataset'} <= set(of('cface_basicsr', 'DATASET'))


@pytest.mark.parametrize('kind', REGISTRIES)
def test_no_name_is_one_of_basicsrs(kind: str) -> None:
    ours, theirs = of('cface_basicsr', kind), of('basicsr', kind)
    assert theirs
    assert not {name.lower() for name in ours} & {name.lower() for name in theirs}


@pytest.mark.parametrize(('kind', 'name'), OURS)
def test_a_registered_name_is_documented_and_swallows_nothing(kind: str, name: str) -> None:
    entry = REGISTRIES[kind].get(name)
    assert inspect.getdoc(entry) and entry.__doc__
    parameters = list(inspect.signature(entry).parameters.values())
    assert not [p for p in parameters if p.kind is p.VAR_POSITIONAL]
    if kind in ('ARCH', 'LOSS'):
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
    elif kind in ('MODEL', 'DATASET'):
        assert [p.name for p in parameters] == ['opt']
    if kind == 'DATASET':
        assert set(entry.OPTIONS.model_fields) >= {'name', 'type', 'phase', 'scale'}
    if kind != 'METRIC':  # BasicSR calls metrics with the keys of all of them
        assert not [p for p in parameters if p.kind is p.VAR_KEYWORD]


def test_registering_again_changes_nothing() -> None:
    before = {kind: dict(iter(each)) for kind, each in REGISTRIES.items()}
    cface_basicsr.register.register()
    assert {kind: dict(iter(each)) for kind, each in REGISTRIES.items()} == before
