"""The one pipeline that makes storybook: scenes, autoencoder, text encoder + UNet, student, inpainting, export, judge, card.

Run it from models/storybook:  python -m train all --minutes 600 --device cpu
Every part is a command of its own; a part that was stopped goes on when its command is given again.
"""
import argparse
import datetime
import os
import shutil
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SHARES = {'teacher': 0.7, 'student': 0.15, 'inpaint': 0.15}  # of the minutes of `all`
AUTOENCODER_MINUTES, JUDGE_MINUTES = 14, 12


def moment(options) -> float:
    """--until (UTC) or now + --minutes, as Unix time."""
    if options.until:
        return datetime.datetime.fromisoformat(options.until).replace(tzinfo=datetime.timezone.utc).timestamp()
    return time.time() + options.minutes * 60


def work(options, *parts: str) -> str:
    return os.path.join(options.work, *parts)


def start_model(options) -> str:
    """The diffusers folder that training begins from, in the work folder: the shipped weights, or with --fresh a new tokenizer and autoencoder."""
    from . import autoencoder, tokenizer, unpack
    from .device import setup

    model = work(options, 'model')
    if os.path.exists(f'{model}/vae/config.json'):
        return model
    if options.fresh:
        tokenizer.train(f'{model}/tokenizer')
        autoencoder.train(f'{model}/vae', options.autoencoder_minutes, setup(options.device, options.threads), sheet=work(options, 'autoencoder.png'))
    else:
        unpack.unpack(str(HOME), model)
    return model


def train_decoder(options) -> None:
    """The autoencoder's decoder, further; the latents, and so the networks that draw them, stay as they are."""
    from . import autoencoder
    from .device import setup

    folder = f'{start_model(options)}/vae'
    autoencoder.train(folder + '.new', options.minutes, setup(options.device, options.threads), base=folder, lr=options.lr or 5e-4, size=options.size,
                      batch=options.batch or 8, sheet=work(options, 'decoder.png'))
    shutil.rmtree(folder)
    os.replace(folder + '.new', folder)


def networks_of(options) -> str:
    """A diffusers folder with the teacher as trained so far: what student and inpainting begin from."""
    model, trained, out = start_model(options), work(options, 'teacher', 'final'), work(options, 'teacher', 'whole')
    if not os.path.exists(trained):
        return model
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(model, out, ignore=shutil.ignore_patterns('unet', 'text_encoder'))
    shutil.copytree(trained, out, dirs_exist_ok=True)
    return out


def run_task(options, name: str, until: float) -> bool:
    from .device import setup
    from .inpaint import Inpaint
    from .loop import Loop, Settings
    from .student import Student
    from .teacher import Teacher

    device = setup(options.device, options.threads)
    kinds = {'teacher': (Teacher, 5e-4), 'student': (Student, 2e-4), 'inpaint': (Inpaint, 3e-4)}
    kind, lr = kinds[name]
    model = start_model(options) if name == 'teacher' else networks_of(options)
    sizes = {'batch': options.batch} if options.batch else {}
    if getattr(options, 'pictures_in', None):
        sizes['pictures'] = options.pictures_in
    if options.first:
        sizes['first'] = options.first
    task = kind(model, options.size, device, seed=options.seed, workers=options.workers, **sizes)
    return Loop(task, Settings(out=work(options, name), until=until, lr=options.lr or lr, seed=options.seed, save_minutes=options.save_minutes)).run()


FOLDERS = {'teacher': HOME, 'student': HOME.parent / 'storybook-lightning', 'inpaint': HOME.parent / 'storybook-inpaint'}


def export(options, name: str) -> None:
    from . import card, golden
    from . import export as files

    model, trained = start_model(options), work(options, name, 'final')
    if not os.path.exists(trained):
        if name != 'teacher':
            raise SystemExit(f'train export: there is nothing in {trained}; run `python -m train {name}` first.')
        trained = model
    out = Path(options.out) if options.out else FOLDERS[name]
    pipe = files.pipeline(trained, model, options.store)
    files.write_onnx(pipe, str(out), f'{model}/tokenizer', options.store)
    settings = card.describe(name, out, HOME, pipe.unet.config.sample_size * pipe.vae_scale_factor)['defaults']
    place = Path(options.golden) if options.golden else HOME.parent.parent / 'tests/reference' / FOLDERS[name].name
    golden.write(pipe, str(place), settings['steps'], settings['guidance'])
    if golden.replay(str(out), str(place)) > golden.LARGEST_PIXEL_DIFFERENCE:
        raise SystemExit('train export: the node-agent and diffusers disagree.')


def unpacked(options) -> None:
    from . import unpack

    unpack.unpack(options.model or str(HOME), options.out)


def judge_model(options) -> None:
    from . import card, judge

    folder = Path(options.model) if options.model else HOME
    result = judge.score(str(folder), options.pictures, show_prompts=not options.quiet)
    if options.card:
        card.update(folder / 'README.md', result)


def train_judge(options) -> None:
    from . import judge
    from .device import setup

    judge.train(f'{start_model(options)}/vae', options.minutes, options.size, setup(options.device, options.threads), options.scenes)


def everything(options) -> None:
    from . import judge
    from .device import setup

    began = time.time()
    start_model(options)
    if not (judge.FOLDER / 'frozen.json').exists():
        judge.train(f'{work(options, "model")}/vae', JUDGE_MINUTES, options.size, setup(options.device, options.threads))
    left = options.minutes * 60 - (time.time() - began)
    for name, share in SHARES.items():
        if not run_task(options, name, time.time() + left * share):
            return
        export(options, name)
    for name in ('teacher', 'student'):
        options.model = str(FOLDERS[name])
        judge_model(options)


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog='python -m train', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = root.add_subparsers(dest='command', required=True, metavar='command')
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--work', default=os.environ.get('LIMNER_TRAIN_DIR', str(HOME / 'out')), help='checkpoints and intermediate files; not for git')
    common.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    common.add_argument('--threads', type=int, default=2, help='of the CPU')
    common.add_argument('--size', type=int, default=128, help='pixels')
    common.add_argument('--fresh', action='store_true', help='from nothing, rather than from the shipped weights')
    common.add_argument('--autoencoder-minutes', type=float, default=AUTOENCODER_MINUTES)
    timed = argparse.ArgumentParser(add_help=False)
    timed.add_argument('--minutes', type=float, default=60)
    timed.add_argument('--until', help='UTC, as 2030-01-01T12:00; instead of --minutes')
    timed.add_argument('--batch', type=int, help='default 64; on a GPU more')
    timed.add_argument('--lr', type=float)
    timed.add_argument('--first', type=int, help='scenes drawn before the first step (default 4096), or for the student ways of the teacher (1024)')
    timed.add_argument('--workers', type=int, default=0, help='processes that draw scenes; for use beside a GPU')
    timed.add_argument('--save-minutes', type=float, default=10)
    timed.add_argument('--seed', type=int, default=1)
    judged = argparse.ArgumentParser(add_help=False)
    judged.add_argument('--pictures', type=int, default=400)
    judged.add_argument('--model', help='an ONNX model folder; default: storybook')
    judged.add_argument('--quiet', action='store_true', help='without the prompts')
    judged.add_argument('--card', action='store_true', help="put the table into the folder's README.md")
    placed = argparse.ArgumentParser(add_help=False)
    placed.add_argument('--out', help='default: the folder of the model in models/')
    placed.add_argument('--golden', help='default: the folder of that name in tests/reference/')
    placed.add_argument('--store', choices=['float16', 'int8'], default='float16', help='weights of the UNet and the text encoder')
    add = lambda name, help, *parents: commands.add_parser(name, help=help, parents=[common, *parents])
    add('all', 'everything, within --minutes', timed, judged, placed).set_defaults(run=everything)
    for name, words in (('teacher', 'text encoder and UNet'), ('student', 'four steps instead of twenty'), ('inpaint', 'the nine-channel variant')):
        training = add(name, words, timed)
        training.set_defaults(run=lambda o, name=name: run_task(o, name, moment(o)))
        if name == 'teacher':
            training.add_argument('--pictures-in', metavar='FOLDER', help='pictures of your own with their captions in metadata.jsonl, instead of scenes')
    add('decoder', "the autoencoder's decoder, further", timed).set_defaults(run=train_decoder)
    exporting = add('export', 'the folder in models/ of what was trained', placed)
    exporting.add_argument('part', choices=list(FOLDERS))
    exporting.set_defaults(run=lambda o: export(o, o.part))
    unpacking = add('unpack', 'a diffusers folder out of an ONNX folder')
    unpacking.add_argument('--model', help='default: storybook')
    unpacking.add_argument('--out', default=str(HOME / 'torch'), help='default: torch/, which git ignores')
    unpacking.set_defaults(run=unpacked)
    add('judge', "how well a model's pictures follow their prompts", judged).set_defaults(run=judge_model)
    judging = add('train-judge', 'a new judge, and freeze it', timed)
    judging.add_argument('--scenes', type=int, default=24_000)
    judging.set_defaults(run=train_judge)
    sheet = add('sheet', 'a contact sheet, first seeds', judged)
    sheet.add_argument('file')
    sheet.add_argument('--count', type=int, default=64)
    sheet.set_defaults(run=contact_sheet)
    world = add('scenes', 'a sheet of drawn training scenes and their captions')
    world.add_argument('file')
    world.set_defaults(run=show_scenes)
    return root


def contact_sheet(options) -> None:
    from . import sheet

    sheet.write(options.model or str(HOME), options.file, options.count)


def show_scenes(options) -> None:
    import random

    import numpy as np
    from PIL import Image

    from . import scenes

    rng = random.Random(3)
    chosen = [scenes.sample(rng) for _ in range(40)]
    tiles = [scenes.draw(s, rng, options.size) for s in chosen]
    Image.fromarray(np.vstack([np.hstack(tiles[i : i + 8]) for i in range(0, 40, 8)])).save(options.file)
    print('\n'.join(scenes.caption(s, rng) for s in chosen))


def main() -> None:
    options = parser().parse_args()
    options.run(options)


if __name__ == '__main__':
    main()
