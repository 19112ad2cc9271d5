"""Two processes that talk by gloo and run what tests hand them: started once, since their imports take seconds."""

import atexit
import datetime
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

import torch

WORLD = 2
_PATIENCE = 120  # seconds


def _serve(rank: int, store: str, folder: str, jobs: Connection) -> None:
    """Answer jobs until the pipe is closed: (True, what the function returned) or (False, its traceback)."""
    os.chdir(folder)
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=WORLD,
                                         timeout=datetime.timedelta(seconds=_PATIENCE / 2))
    while True:
        try:
            function, arguments = jobs.recv()
        except EOFError:
            return
        try:
            jobs.send((True, function(*arguments)))
        except BaseException:  # whatever it is, the test is to see it
            jobs.send((False, traceback.format_exc()))


@cache
def _ranks() -> list[Connection]:
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['cface_basicsr.train', 'cface_basicsr.register'])
    folder = tempfile.TemporaryDirectory()
    pipes = []
    for rank in range(WORLD):
        mine, theirs = context.Pipe()
        context.Process(target=_serve, args=(rank, f'{folder.name}/store', os.getcwd(), theirs), daemon=True).start()
        theirs.close()
        pipes.append(mine)
    atexit.register(folder.cleanup)
    return pipes


def on_both_ranks(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What a function of a module returns on rank 0 and on rank 1, for the same arguments; no tensors."""
    pipes = _ranks()
    for pipe in pipes:
        pipe.send((function, arguments))
    answers = [pipe.recv() if pipe.poll(_PATIENCE) else (False, 'no answer') for pipe in pipes]
    if not all(fine for fine, _ in answers):
        _ranks.cache_clear()  # a rank that failed may have left the other one waiting
        raise AssertionError('\n'.join(f'rank {rank}: {answer}' for rank, (fine, answer) in enumerate(answers)
                                       if not fine))
    return [answer for _, answer in answers]
