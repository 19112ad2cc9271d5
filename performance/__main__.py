"""`python -m performance [NAME …] [--out FILE]`: run the measurements and print one Markdown table."""

import argparse
import importlib
import inspect
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from cface_basicsr.runtime import cores
from performance.measure import Finding, load_average, markdown

BENCHMARKS = {
    'step': ('training_step', 'a stage-1 step against SRGANModel\'s'),
    'loader': ('loader', 'CFaceTripletDataset against PairedImageDataset'),
    'forms': ('stored_forms', 'the forms of `cface prepare --store`: images a second and core, bytes an image'),
    'growth': ('growth', 'start-up and memory of a training process by the number of images, made-up keys'),
    'audit': ('near_hashes', 'the search of `cface audit` for near hashes, counted to 1 and 5 million pictures'),
    'classifier': ('classifier', 'A-Softmax by a sample of the classes, counted to 2 million people'),
    'prepare': ('packing', '`cface prepare`, photos per second and core'),
    'index': ('compare_rows', 'the compare index at CASIA size: growth, memory, against plain NumPy'),
    'lfw': ('folds', 'accuracy over ten folds, from scores and from features, against a grid of 400 thresholds'),
    'restoration': ('restoration', 'PSNR and SSIM against BasicSR\'s functions'),
    'blufr': ('blufr', 'ten BLUFR trials against their bare score products, and their memory'),
    'commands': ('commands', '`cface` end to end: start-up, enhance, index, evaluate; time and memory'),
    'validation': ('validation', 'validation against BasicSR\'s, and stage 2 against the generator\'s forward'),
    'photos': ('photos', 'a 12-megapixel photograph with 20 small faces; pasting against facexlib'),
    'checkpoints': ('checkpoints', 'what it costs to hash, flush and check a checkpoint'),
    'landmarks': ('landmarks', 'how exact the landmarks and boxes of faces of 16, 24 and 40 pixels are'),
    'precision': ('precision', 'a step in float32, TF32, bfloat16, channels last, compiled'),
    'gpu': ('gpu', 'all that is worth doing on one GPU: losses against the CPU, DDP, precision, every training'),
}
DEFAULT = ('step', 'loader', 'prepare', 'index', 'lfw', 'restoration', 'blufr', 'commands')


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(
        prog='python -m performance', formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog='measurements:\n' + '\n'.join(f'  {name:<12} {text}' for name, (_, text) in BENCHMARKS.items()))
    parser.add_argument('names', nargs='*', metavar='NAME', help=f"which ones; default: {' '.join(DEFAULT)}")
    parser.add_argument('--width', choices=['small', 'paper'], help='of the networks (step, gpu)')
    parser.add_argument('--batch', type=int, help='faces per step (step, gpu)')
    parser.add_argument('--rounds', type=int, help='how often each side is measured')
    parser.add_argument('--rows', type=int, help='features of the index, pairs of images (restoration)')
    parser.add_argument('--config', type=Path, help='the official blufr_lfw_config.mat (blufr); else made-up trials')
    parser.add_argument('--threads', type=int, help='of our side, default: all cores; rivals take one or as many, '
                                                     'whichever is faster')
    parser.add_argument('--out', type=Path, help='also write the table to this file (.json: as numbers)')
    chosen = parser.parse_args(words)
    for name in chosen.names:
        if name not in BENCHMARKS:
            parser.error(f"'{name}' is no benchmark; choose from {', '.join(BENCHMARKS)}")
    return chosen


def run_one(name: str, **settings: int | str | Path | None) -> list[Finding]:
    """One benchmark; of the settings, those that it knows and that are not None."""
    run = importlib.import_module(f'performance.{BENCHMARKS[name][0]}').run
    known = inspect.signature(run).parameters
    return run(**{key: value for key, value in settings.items() if key in known and value is not None})


def main() -> None:
    """Run what was named, print and save the table."""
    chosen, load = arguments(), load_average()
    import torch
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    findings: list[Finding] = []
    for name in chosen.names or DEFAULT:
        print(f'{name}: {BENCHMARKS[name][1]} …', file=sys.stderr, flush=True)
        new = run_one(name, width=chosen.width, batch=chosen.batch, rounds=chosen.rounds, rows=chosen.rows,
                      config=chosen.config, threads=chosen.threads or cores())
        print('\n'.join(f"  {each.what}: {each.cells()[3]}" for each in new), file=sys.stderr, flush=True)
        findings += new
    command = shown(sys.argv[1:])
    print(markdown(findings, command, load))
    if chosen.out:
        save(findings, chosen.out, command, load)


def shown(words: list[str]) -> str:
    """The command as others would give it: without the file it was saved to.

    >>> shown(['step', '--out', 'table.md', '--batch', '4'])
    'python -m performance step --batch 4'
    """
    kept = [word for number, word in enumerate(words)
            if word != '--out' and not word.startswith('--out=') and words[number - 1:number] != ['--out']]
    return ' '.join(['python -m performance', *kept])


def save(findings: list[Finding], path: Path, command: str, load: float) -> None:
    """Write the table as Markdown or JSON, aside and then renamed."""
    text = json.dumps({'command': command, 'load': load, 'findings': [asdict(each) | {'passed': each.passed} for each
                                                                      in findings]}, indent=1)
    aside = path.with_name(f'.{path.name}.tmp')
    aside.write_text(text if path.suffix == '.json' else markdown(findings, command, load), encoding='utf-8')
    os.replace(aside, path)


if __name__ == '__main__':
    main()
