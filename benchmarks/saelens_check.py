"""Exchange SAEs with SAELens itself, both ways: python benchmarks/saelens_check.py [PYTHON]

PYTHON is an interpreter that has sae-lens; without one, the environment of the other libraries is
made (`environment.py`). Nothing is trained: weights are random, in no special position. Every
architecture is written here and loaded there, and the other way round (`saelens_side.py`), and
codes and reconstructions of the same samples are compared. It fails where a latent fires on one
side alone, or a number differs by more than rounding.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import environment
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from synthsae.checks import ConfigError
from synthsae.sae import ARCHITECTURES, SAEConfig, SAEStack
from synthsae.sae.saelens import load_saelens, save_saelens

B, D, M, K = 2048, 24, 64, 30
ROUNDING = 2e-6
"""Differences allowed, as a share of the largest number."""


def random_stack(arch: str) -> SAEStack:
    """Three SAEs with random weights."""
    stack = SAEStack.init(SAEConfig(arch=arch, n_latents=M, k=K), D, (7, 8, 9))
    generator = torch.Generator().manual_seed(1)
    for name, p in stack.params.items():
        size = 1.0 if name in ("w_enc", "w_dec") else 0.3
        p.copy_(size * torch.randn(p.shape, generator=generator))
    if "threshold" in stack.params:
        stack.params["threshold"].abs_().add_(0.5)
    return stack


def compare(name: str, stack: SAEStack, x: Tensor, path: Path) -> bool:
    """Print how far our codes and reconstructions are from SAELens's."""
    theirs, code = load_file(path), stack.encode(x)
    codes, out = code.dense(stack.config.size)[0], stack.decode(code)[0]
    flips = int(((codes > 0) != (theirs["codes"] > 0)).sum())
    gaps = [
        float((a - b).abs().max() / b.abs().max())
        for a, b in ((codes, theirs["codes"]), (out, theirs["out"]))
    ]
    good = flips == 0 and max(gaps) < ROUNDING
    l0 = float((codes > 0).sum(1).double().mean())
    print(
        f"{name:34} {stack.config.arch:18} {l0:6.2f} {flips:6d} {gaps[0]:9.1e} {gaps[1]:9.1e}"
        f"{'' if good else '   WRONG'}"
    )
    return good


def kept(stack: SAEStack, folder: Path) -> bool:
    """Whether an SAE that SAELens loaded and saved is still ours, bit for bit."""
    again = load_saelens(folder)
    same = (again.config, again.seeds) == (stack.config, stack.seeds)
    for name, p in again.params.items():
        was = stack.params[name]
        same &= torch.equal(*((q.exp().float() if "log" in name else q) for q in (p, was)))
    return same


def refused(folder: Path) -> bool:
    """Whether a folder is refused; prints why."""
    try:
        load_saelens(folder)
    except ConfigError as error:
        print(f"  {str(error).replace(str(folder.parent) + '/', '')}")
        return True
    print(f"  {folder.name}: LOADED")
    return False


def main(python: str) -> int:
    """The number of failures."""
    generator = torch.Generator().manual_seed(2)
    x = {side: torch.randn(B, D, generator=generator) for side in ("ours", "theirs")}
    stacks = {arch: random_stack(arch) for arch in ARCHITECTURES if ARCHITECTURES[arch].saelens}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_file(x, root / "x.safetensors")
        for arch, stack in stacks.items():
            save_saelens(stack, root / "ours" / arch, position=1)
        side = Path(__file__).with_name("saelens_side.py")
        subprocess.run([python, "-W", "ignore", str(side), folder], check=True)
        print(f"{'':34} {'architecture':18}     L0  flips     codes       out")
        print("written here, loaded there")
        good = []
        for arch, stack in stacks.items():
            one, path = stack.select([1]), root / "answers" / "ours" / f"{arch}.safetensors"
            good.append(compare(arch, one, x["ours"], path))
            good.append(kept(one, root / "again" / arch))
            if not good[-1]:
                print(f"{arch}: SAELens loaded and saved it, and it is another")
        print("written there, loaded here")
        for path in sorted((root / "answers" / "theirs").iterdir()):
            stack = load_saelens(root / "theirs" / path.stem)
            good.append(compare(path.stem, stack, x["theirs"], path))
        print("refused")
        good += [refused(path) for path in sorted((root / "refused").iterdir())]
    print(f"{good.count(True)} of {len(good)} as they should be")
    return good.count(False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else str(environment.make())) > 0)
