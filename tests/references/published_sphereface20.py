"""SphereFace-20 as wy1iu's layer table and clcarwin's port say it, under their names, with made-up weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

LAST = {1: 3, 2: 5, 3: 9, 4: 3}
"""Of each stage, the number of its last convolution; a unit is two of them, from the second on."""


def made_up_weights(*, width: int = 4, features: int = 6, people: int = 9, unit_biases: bool = True,
                    seed: int = 0) -> dict[str, Tensor]:
    """A state dict in clcarwin's naming, fc6 (features x people) included; all weights matter to the outcome."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float = 0.3) -> Tensor:
        return scale * torch.randn(shape, generator=generator)

    weights, before = {}, 3
    for stage, last in LAST.items():
        now = width * 2 ** (stage - 1)
        for number in range(1, last + 1):
            weights[f'conv{stage}_{number}.weight'] = random(now, before, 3, 3, scale=(before * 9) ** -0.5)
            weights[f'conv{stage}_{number}.bias'] = random(now) * (unit_biases or number == 1)
            weights[f'relu{stage}_{number}.weight'] = 0.25 + random(now)
            before = now
    weights['fc5.weight'] = random(features, before * 7 * 6, scale=0.1)
    weights['fc5.bias'] = random(features)
    weights['fc6.weight'] = random(features, people)
    return weights


def layer_outputs(weights: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """The output of every layer of their table, in the order in which they compute."""
    out: dict[str, Tensor] = {}

    def conv_relu(stage: int, number: int, x: Tensor) -> Tensor:
        conv, relu = f'conv{stage}_{number}', f'relu{stage}_{number}'
        out[conv] = functional.conv2d(x, weights[f'{conv}.weight'], weights.get(f'{conv}.bias'),
                                      stride=2 if number == 1 else 1, padding=1)
        slope = weights[f'{relu}.weight'][:, None, None]
        out[relu] = torch.where(out[conv] > 0, out[conv], slope * out[conv])
        return out[relu]

    for stage, last in LAST.items():
        x = conv_relu(stage, 1, x)
        for number in range(2, last, 2):
            x = x + conv_relu(stage, number + 1, conv_relu(stage, number, x))
            out[f'res{stage}_{number + 1}'] = x
    dense = weights['fc5.weight'].reshape(-1, *x.shape[1:])  # channels, rows, columns
    out['fc5'] = torch.einsum('bchw,dchw->bd', x, dense) + weights['fc5.bias']
    return out


class _Unit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.resblock = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width),
                                      nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.resblock(x)


def list_of_layers(width: int = 4, features: int = 6) -> nn.Sequential:
    """The same network as one list, whose places name the weights of the file that SR_LRFR hands out."""
    layers, before = [], 3
    for stage, units in enumerate((1, 2, 4, 1)):
        now = width * 2 ** stage
        layers += [nn.Conv2d(before, now, 3, 2, 1), nn.PReLU(now), nn.Sequential(*(_Unit(now) for _ in range(units)))]
        before = now
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * 7 * 6, features))
