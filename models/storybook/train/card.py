"""What a folder says about its model: the judge's table in README.md, replaced between two marks so that it is never typed by hand,
and limner.json."""
import json
import shutil
from pathlib import Path

BEGIN, END = '<!-- judge -->', '<!-- /judge -->'


def table(result: dict) -> str:
    """Markdown of what `judge.score` returned."""
    lines = ['| attribute | right | 95 % interval | pictures | the judge on drawn scenes |', '| --- | --- | --- | --- | --- |']
    for r in result['rows']:
        lines.append(f'| {r["attribute"]} | {r["rate"]:.1%} | {r["low"]:.1%} to {r["high"]:.1%} | {r["n"]} | {r["drawn"]:.1%} |')
    lines.append(f'| **mean** | **{result["mean"]:.1%}** | | {result["pictures"]} | {result["meanDrawn"]:.1%} |')
    settings = ', '.join(f'{name} {result[name]}' for name in ('steps', 'guidance', 'scheduler', 'width', 'height') if name in result)
    return '\n'.join([*lines, '', f'Measured with the node-agent\'s own engine ({settings}), the first picture of each prompt.'])


def update(readme: Path, result: dict) -> None:
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f'train: {readme} has no place for the judge\'s table ({BEGIN} … {END}).')
    readme.write_text(f'{before}{BEGIN}\n{table(result)}\n{END}{after}')


DEFAULTS = {  # what limner.json of a folder says of each part, unless it says something itself
    'teacher': {'displayName': 'Storybook', 'defaults': {'steps': 20, 'guidance': 4, 'scheduler': 'ddim'}},
    'student': {'displayName': 'Storybook Lightning', 'defaults': {'steps': 4, 'guidance': 1, 'scheduler': 'ddim'}},
    'inpaint': {'displayName': 'Storybook Inpaint', 'defaults': {'steps': 20, 'guidance': 4, 'scheduler': 'ddim'}},
}


def describe(part: str, folder: Path, home: Path, size: int) -> dict:
    """limner.json and preview.json of `folder`: what they say already, else what the teacher's (in `home`) say; and the true size."""
    read = lambda path: json.loads(path.read_text()) if path.exists() else {}
    taught = {k: v for k, v in read(home / 'limner.json').items() if k in ('licence', 'scope')}
    own = read(folder / 'limner.json')
    missing = {k: v for k, v in {**DEFAULTS[part], **taught}.items() if k not in own}
    card = {**own, **missing, 'nativeWidth': size, 'nativeHeight': size}
    (folder / 'limner.json').write_text(json.dumps(card, indent=2, ensure_ascii=False) + '\n')
    if not (folder / 'preview.json').exists() and (home / 'preview.json').exists():
        shutil.copyfile(home / 'preview.json', folder / 'preview.json')
    return card
