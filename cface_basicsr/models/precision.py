"""With how many digits the networks of a step compute, and whether this device can."""

import importlib.util
import os
import shutil

import torch
from torch import nn

from cface_basicsr.errors import UserError, describe_error


def half_precision(use_amp: bool, bf16: bool, device: torch.device) -> torch.dtype | None:
    """The type in which networks compute; None: that of their weights.

    Raises:
        UserError: bfloat16 is asked for without mixed precision, or the device cannot compute in this type.
    """
    if not use_amp:
        if bf16:
            raise UserError("option 'train.amp_bf16': needs 'use_amp: true', or it changes nothing.")
        return None
    wanted = torch.bfloat16 if bf16 else torch.float16
    try:
        _convolve(wanted, device)
    except RuntimeError as error:
        raise _lacks('use_amp', f'{str(wanted).removeprefix("torch.")} ({describe_error(error)})', device) from error
    return wanted


def _convolve(kind: torch.dtype, device: torch.device) -> None:
    """Try a convolution and its gradient; bfloat16 that a GPU only emulates, slowly, does not count."""
    if device.type == 'cuda' and kind == torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise RuntimeError('only emulated')
    weight = torch.ones(8, 8, 3, 3, device=device, requires_grad=True)
    with torch.autocast(device.type, kind):
        result = nn.functional.conv2d(torch.ones(1, 8, 8, 8, device=device), weight)
    result.float().sum().backward()


def allow_tf32(device: torch.device) -> None:
    """Let this process multiply float32 matrices with TF32: 10 bits of mantissa in place of 23.

    Raises:
        UserError: the device has no TF32.
    """
    if device.type != 'cuda' or torch.cuda.get_device_capability(device) < (8, 0):
        raise _lacks('fast_matmul', 'TF32, which GPUs have from Ampere on', device)
    torch.set_float32_matmul_precision('high')


def check_compiler(device: torch.device) -> None:
    """Check that torch.compile has what it needs.

    Raises:
        UserError: it does not.
    """
    if device.type == 'cuda':
        if not importlib.util.find_spec('triton'):
            raise _lacks('use_compile', 'Triton', device)
    elif not any(shutil.which(name) for name in (os.environ.get('CXX') or 'g++', 'clang++')):
        raise _lacks('use_compile', 'a C++ compiler', device)


def _lacks(option: str, what: str, device: torch.device) -> UserError:
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'the CPU'
    return UserError(f"option 'train.{option}': {name} here lacks {what}. Leave it out.")
