"""Pictures from the node-agent's own engine (`limner generate --jobs`), so that what is judged is what people get."""
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]


def draw(model: str, jobs: list[dict]) -> list[np.ndarray]:
    """One uint8 [h, w, 3] for each job (API field names, without id and model), by the ONNX folder `model`."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f'{folder}/models')
        os.symlink(os.path.abspath(model), f'{folder}/models/judged')
        cases = [{'id': f'{i:05d}', 'model': 'judged', 'task': 'txt2img', **job} for i, job in enumerate(jobs)]
        with open(f'{folder}/jobs.json', 'w') as file:
            json.dump(cases, file)
        subprocess.run(
            ['node', str(ROOT / 'scripts/bootstrap.mjs'), 'limner', 'generate', '--jobs', f'{folder}/jobs.json', '--models', f'{folder}/models', '--out-dir', f'{folder}/out'],
            check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        return [np.asarray(Image.open(f'{folder}/out/{case["id"]}.png').convert('RGB')) for case in cases]


def defaults(model: str) -> dict:
    """Steps, guidance and size that the model's card (limner.json) asks for."""
    with open(f'{model}/limner.json') as file:
        card = json.load(file)
    own = card['defaults']
    return {'steps': own['steps'], 'guidance': own['guidance'], 'width': card['nativeWidth'], 'height': card['nativeHeight'],
            **({'scheduler': own['scheduler']} if 'scheduler' in own else {})}
