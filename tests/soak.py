"""`python -m tests.soak`: kill each command at random moments, start it again, and compare what it makes.

A command is run unbroken once. Then it is killed as often as asked for, half of the times after some seconds and half
at a moment (see `tests/kill_at`), which a seed draws, and started again each time. When it ends by itself, its weights,
stores, features, numbers and the losses in its logs are compared with those of the unbroken run. SIGKILL reaches only
the process that was started: whatever lives on after it is counted. One kill by the clock in five is a SIGTERM, after
which a training must leave by itself.

The tests kill at moments that do not depend on how fast a machine is, see `tests/kill_at`.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cface_basicsr.files.face_store import store_sha256
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.training.logs import losses_over_iterations, training_logs
from tests.tiny_benchmark import tiny_benchmark

REPOSITORY = Path(__file__).parents[1]
CFACE = [sys.executable, '-m', 'cface_basicsr']
MARK = 'CFACE_SOAK'
"""The variable by which the processes of a command are found."""
_LEAVING = 60.0
"""Seconds within which all processes of a command must have left. A worker that is just being started first imports
what it needs, and only then sees that its parent is gone."""
TINY: dict[str, Any] = {
    'network_g': {'num_feat': 4, 'num_block': 1}, 'network_d': {'num_feat': 2, 'num_dense': 4},
    'network_r': {'num_feat': 2, 'feature_length': 8, 'blocks': [1, 1, 1, 1]}, 'network_c': {'feature_length': 8},
    'datasets': {'train': {'batch_size': 4, 'num_worker_per_gpu': 1}, 'val': {'num_images': 2}},
    'val': {'val_freq': 10}, 'logger': {'print_freq': 1, 'save_checkpoint_freq': 7, 'use_tb_logger': False},
    'train': {'total_epoch': None, 'content_opt': {'type': 'L1Loss', 'loss_weight': 1.0},
              'optim_r': {'lr': 0.001}}}


@dataclass(frozen=True)
class Job:
    """One command: its words after `cface`, and what must be there before it."""

    words: list[str]
    needs: tuple[str, ...] = ()
    recipe: Mapping[str, Any] | None = None


def chain(iterations: int, *left_out: str) -> dict[str, Any]:
    """The stages 0 to 4 at tiny widths, without some of their steps."""
    def step(stage: int, **more: Any) -> dict[str, Any]:
        changes = {'train': {'total_iter': iterations}} | more.pop('set', {})
        return {'options': str(REPOSITORY / f'options/cface_stage{stage}.yml'), 'set': changes, **more}
    steps = {
        'stage0': step(0), 'index': {'index': 'stage0', 'k': 3}, 'stage1': step(1, weights={'network_r': 'stage0'}),
        'stage2': {'generate': 'stage1'}, 'stage3': step(3, weights={'network_r': 'stage0', 'network_c': 'stage0'}),
        'stage4': step(4, weights={'network_g': 'stage1', 'network_d': 'stage1', 'network_r': 'stage3',
                                   'network_c': 'stage3'})}
    return {'name': 'soak', 'scale': 8, 'data': 'data', 'out': 'run', 'common': TINY,
            'steps': {name: content for name, content in steps.items() if name not in left_out}}


def jobs(iterations: int = 24) -> dict[str, Job]:
    """All commands; each is run in a folder of its own, on what the ones before have made."""
    report = {'rows': {'C-Face-v2': 'stage4'}, 'recognizers': {'loss': 'stage0'},
              'tests': {'held-out': {'folds': 4, 'pairs_per_fold': 4, 'faces': 2}}}
    ranks = chain(iterations, 'stage2', 'stage3', 'stage4')
    network = ['--weights', 'net_g.pth', '--out', 'data/train/sr_x8.lmdb']
    return {
        'synth': Job(['synth', '-n', '16', '-m', '4', '--size', '128', '--out', 'faces', '--workers', '2']),
        'prepare': Job(['prepare', '--layout', 'casia', 'faces', '--out', 'data', '--scale', '8', '--crop', 'center',
                        '--holdout', '8', '--seed', '0', '--workers', '2'], ('synth',)),
        'train': Job(['train', 'r.yml'], ('prepare',), chain(iterations) | {'report': report}),
        'train --nproc 2': Job(['train', 'r.yml', '--nproc', '2'], ('prepare',), ranks),
        'index': Job(['index', 'data/train', '--recognizer', 'net_r.pth', '--k', '2'], ('prepare', 'train')),
        'generate': Job(['generate', 'data/train', *network], ('prepare', 'train')),
        'benchmark': Job(['benchmark', 'r.yml'], ('prepare',), tiny_benchmark(tests=report['tests']))}


@dataclass
class Tally:
    """What came of the kills of one command."""

    kills: int = 0
    compared: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Soak:
    """Runs jobs below a folder."""

    def __init__(self, folder: Path, seed: int, chosen: Mapping[str, Job], say: Callable[[str], None] = print) -> None:
        self.folder, self.jobs, self.say = folder, chosen, say
        self.random = random.Random(seed)
        self.unbroken: dict[str, tuple[dict[str, str], float]] = {}
        self.moments: dict[str, int] = {}
        """Job -> how many moments its busiest process has."""

    def kill(self, name: str, kills: int, until: float = float('inf')) -> Tally:
        """Kill a command this often, or until a moment of `time.monotonic`, and compare what it makes."""
        wanted, seconds = self._run_unbroken(name)
        tally = Tally()
        while tally.kills < kills and time.monotonic() < until:
            folder = self._prepared(name, f'{name}.broken')
            over = False
            while not over:
                more = tally.kills < kills and time.monotonic() < until
                clock, moment = self.random.uniform(0, seconds), self.random.randint(1, self.moments[name])
                by_clock = self.random.random() < 0.5  # which mostly hits what takes long, such as imports
                over = self._run_once(name, folder, clock if more and by_clock else None, tally,
                                      moment if more and not by_clock else None)
            self._compare(name, folder, wanted, tally)
        self.say('\n'.join((f'{name}: {tally.kills} kills, {tally.compared} runs compared, {len(tally.wrong)} wrong',
                            *tally.wrong)))
        return tally

    def kill_at(self, name: str, *chains: Sequence[float]) -> Tally:
        """Kill a command at shares of the moments of its busiest process; it starts anew after each chain of kills."""
        wanted, _ = self._run_unbroken(name)
        tally = Tally()
        for chain_of_kills in chains:
            folder, over = self._prepared(name, f'{name}.broken'), False
            for share in (*chain_of_kills, None):
                if not over:
                    moment = share and max(1, round(share * self.moments[name]))
                    over = self._run_once(name, folder, None, tally, moment)
            self._compare(name, folder, wanted, tally)
        return tally

    def _run_unbroken(self, name: str) -> tuple[dict[str, str], float]:
        if name not in self.unbroken:
            for other in self.jobs[name].needs:
                self._run_unbroken(other)
            folder, began = self._prepared(name, name), time.monotonic()
            counts = self.folder / f'{name}.moments'
            counts.mkdir(exist_ok=True)
            process = self._start(name, folder, SOAK_COUNTS=str(counts))
            if process.wait() != 0:
                raise SystemExit(f"{name} failed by itself:\n{(folder / 'output').read_text()[-2000:]}")
            self.unbroken[name] = products(folder), time.monotonic() - began
            self.moments[name] = max(int(path.read_text()) for path in counts.iterdir())
        return self.unbroken[name]

    def _compare(self, name: str, folder: Path, wanted: Mapping[str, str], tally: Tally) -> None:
        found = products(folder)
        tally.compared += 1
        tally.wrong += [f'{name}: {key} differs' for key in wanted if found.get(key) != wanted[key]]
        tally.wrong += [f'{name}: {key} is new' for key in found if key not in wanted]

    def _prepared(self, name: str, place: str) -> Path:
        folder = self.folder / place
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        job = self.jobs[name]
        for other in job.needs:
            for made in ('faces', 'data'):
                if other != 'train' and (self.folder / other / made).is_dir():
                    shutil.copytree(self.folder / other / made, folder / made, dirs_exist_ok=True)
        if 'train' in job.needs:
            for label, step in (('g', 'stage1'), ('r', 'stage0')):
                network = self.folder / f'train/run/{step}/models/net_{label}_latest.pth'
                shutil.copy(network, folder / f'net_{label}.pth')
        if job.recipe:
            (folder / 'r.yml').write_text(yaml.safe_dump(job.recipe, sort_keys=False))
        return folder

    def _start(self, name: str, folder: Path, mark: str = '', **more: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join((str(REPOSITORY / 'tests/kill_at'), str(REPOSITORY)))
        environment = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', MARK: mark,
                       'SOAK_PARENT': str(os.getpid()), **more}
        with open(folder / 'output', 'ab') as output:
            return subprocess.Popen([*CFACE, *self.jobs[name].words], cwd=folder, env=environment, stdout=output,
                                    stderr=output, stdin=subprocess.DEVNULL)

    def _run_once(self, name: str, folder: Path, seconds: float | None, tally: Tally,
                  moment: int | None = None) -> bool:
        """Start a command and kill it after some seconds or at a moment; returns whether it had ended by itself."""
        mark = uuid.uuid4().hex
        process = self._start(name, folder, mark, **({'SOAK_KILL_AT': str(moment)} if moment else {}))
        known: set[Path] = set()
        try:
            code = process.wait(seconds)
            if moment and code == -signal.SIGKILL:
                tally.kills, code = tally.kills + 1, None
                tally.hit[where(folder)] += 1
        except subprocess.TimeoutExpired:
            known = marked(mark)
            self._strike(name, folder, process, tally)
            code = None
        left = wait_for_the_end(mark, known)
        if left:
            tally.wrong.append(f'{name}: {left} processes live on')
        if code not in (None, 0):
            tally.wrong.append(f"{name}: exit code {code}: {(folder / 'output').read_text()[-300:]}")
        return code is not None

    def _strike(self, name: str, folder: Path, process: subprocess.Popen[bytes], tally: Tally) -> None:
        tally.kills += 1
        gently = self.random.random() < 0.2
        tally.hit[f"{where(folder)}{', SIGTERM' if gently else ''}"] += 1
        process.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            tally.wrong.append(f'{name}: it did not leave')
            process.kill()


def wait_for_the_end(mark: str, known: Iterable[Path] = ()) -> int:
    """Wait until no process has this mark in its environment; returns how many still do after some seconds.

    Args:
        mark: see `marked`.
        known: processes that had it. One that is being taken apart shows no environment any more, but may hold a lock.
    """
    left: set[Path] = set(known)
    for _ in range(int(_LEAVING / 0.1)):
        left = {path for path in left | marked(mark) if _lives(path)}
        if not left:
            return 0
        time.sleep(0.1)
    for path in left:
        os.kill(int(path.name), signal.SIGKILL)
    return len(left)


def marked(mark: str) -> set[Path]:
    """The folders in /proc of the processes that have a mark in their environment."""
    return {path for path in Path('/proc').iterdir() if path.name.isdigit() and _has(path, mark)}


def _has(process: Path, mark: str) -> bool:
    try:
        return f'{MARK}={mark}'.encode() in (process / 'environ').read_bytes()
    except OSError:
        return False


def _lives(process: Path) -> bool:
    try:
        return (process / 'stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def where(folder: Path) -> str:
    """What a command is doing, by the files that it writes at this moment."""
    def of_now(pattern: str) -> bool:  # not what an earlier kill has left
        return any(time.time() - path.stat().st_mtime < 1 for path in folder.rglob(pattern) if path.exists())
    if of_now('.*.tmp'):
        return 'a file is being written'
    if of_now('.*.unfinished/*'):
        return 'a store or an index is being made'
    logs = [path for path in folder.rglob('logs/*.log') if '_rank' not in path.name]
    if not logs:
        return 'drawing' if any(folder.rglob('*.jpg')) and not (folder / 'data').is_dir() else 'start-up'
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    lines = [line for line in newest.read_text(errors='replace').splitlines() if line.strip()]
    last = lines[-1] if lines else ''
    if time.time() - newest.stat().st_mtime > 5:
        return 'between trainings'
    doing = 'a step' if ', lr:' in last else 'saving' if 'Saving' in last or 'Save the' in last else \
        'validation' if 'Validation' in last or '# psnr' in last else 'start of a training'
    return f'{newest.stem}: {doing}'


def products(folder: Path) -> dict[str, str]:
    """What a command has made -> its hash; for logs the losses of each iteration, for reports the numbers."""
    found = {}
    for path in sorted(folder.rglob('*')):
        name = str(path.relative_to(folder))
        if '_archived_' in name:
            continue  # of a start that was killed before its first checkpoint
        if path.suffix == '.lmdb' and path.is_dir():
            found[name] = store_sha256(path)
        elif path.is_file() and (path.suffix in ('.jpg', '.npy', '.safetensors') or path.name.endswith('_latest.pth')
                                 or path.name == 'identities.csv'):
            found[name] = file_hash(path, 64)
        elif path.name == 'results.json':
            found[name] = _of([run['measured'] for run in json.loads(path.read_text())['runs']])
        elif path.is_dir() and (logs := training_logs(path)):
            found[f'{name}/log'] = _of(losses_over_iterations(logs, points=10 ** 9))
    return found


def _of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def table(tallies: Mapping[str, Tally]) -> str:
    """The result as Markdown."""
    lines = ['| command | kills | runs compared | wrong | where the kills hit |', '|---|---:|---:|---:|---|']
    for name, tally in tallies.items():
        places = ', '.join(f'{place} {count}' for place, count in tally.hit.most_common())
        lines.append(f'| `cface {name}` | {tally.kills} | {tally.compared} | {len(tally.wrong)} | {places} |')
    return '\n'.join(lines)


def main(words: Iterable[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog='python -m tests.soak', description=__doc__)
    parser.add_argument('--kills', type=int, default=200, help='of all commands together; half of them hit trainings')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--minutes', type=float, default=float('inf'), help='no new kill after this time')
    parser.add_argument('--jobs', nargs='+', default=list(jobs()), choices=list(jobs()))
    given = parser.parse_args(None if words is None else list(words))
    shares = {'train': 4, 'train --nproc 2': 2, 'benchmark': 2}
    total = sum(shares.get(name, 1) for name in given.jobs)
    end, began = time.monotonic() + 60 * given.minutes, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak, tallies = Soak(Path(folder), given.seed, jobs()), {}
        for name in given.jobs:
            share = shares.get(name, 1) / total
            until = time.monotonic() + share * (end - began) if given.minutes != float('inf') else float('inf')
            tallies[name] = soak.kill(name, max(1, round(given.kills * share)), until)
    print(table(tallies))
    wrong = [each for tally in tallies.values() for each in tally.wrong]
    print('\n'.join(wrong) if wrong else 'Every run ended as the unbroken one.')
    sys.exit(bool(wrong))


if __name__ == '__main__':
    main()
