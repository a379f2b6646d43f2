"""The judge's table in the model card: replaced between two marks of README.md, so that it is never typed by hand."""
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
