"""Where training runs: threads, precision and memory layout for CPU and CUDA."""
import os

import torch


def setup(name: str, threads: int) -> torch.device:
    """Prepare torch for `name` ('cpu' or 'cuda'); `threads` counts on a CPU only."""
    if name == 'cuda' and not torch.cuda.is_available():
        raise SystemExit('train: no CUDA device here; use --device cpu, or install a torch with CUDA.')
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    torch.set_num_threads(threads)
    if name == 'cuda':
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return torch.device(name)


def autocast(device: torch.device):
    """bfloat16 arithmetic on either device; parameters, EMA and optimiser stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16)
