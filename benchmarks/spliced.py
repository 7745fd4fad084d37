"""The spliced loss beside whole passes: python benchmarks/spliced.py MODEL TEXT [LAYER ...]

The same ablations of one SAE on the same contexts: the whole model is run for each of them, and the
SAE encodes each time, or `Splice.losses` goes on from the site. Rounds of both, one after the
other, on one thread, in seconds of the processor: other work on the machine counts little. The
record goes to benchmarks/results/spliced.json, and from there to RESULTS.md.
"""

import datetime
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import report
import torch
from torch import Tensor

from realdata.activations import Activations
from realdata.scores.spliced import Ablation, Splice
from synthsae.config import SourceConfig
from synthsae.metrics.function import Residual
from synthsae.sae import SAEConfig, SAEStack, kernels

CONTEXTS, ROUNDS, LATENTS, K = 4, 4, 4096, 32
ZEROED = (0, *(i / 32 for i in range(1, 13)))


@dataclass
class WholePasses:
    """The loss as it was: the model from the first block on for each ablation."""

    splice: Splice
    sae: SAEStack

    def losses(self, ablations: list[Ablation]) -> list[float]:
        """Mean cross-entropy: clean, with zeros, with each ablation."""
        model, tokens = self.splice.source.model, self.splice.tokens
        found = [model.loss(tokens), model.loss(tokens, lambda x: self._spliced(x, None))]
        for _, latents in ablations:
            w = self.sae.params["w_dec"].clone()
            w[:, list(latents)] = 0
            found.append(model.loss(tokens, lambda x, w=w: self._spliced(x, w)))
        return [float(loss.double().mean()) for loss in found]

    def _spliced(self, x: Tensor, w: Tensor | None) -> Tensor:
        """What the model goes on with: zeros, or the reconstruction by the decoder `w`."""
        out, at = x.clone(), self.splice.replaced.to(x.device)
        if w is None:
            out[at] = 0
            return out
        seen = self.splice.source.normal.apply(x[at].float()).to(w.device)
        made = (kernels.decode(self.sae.encode(seen), w) + self.sae.params["b_dec"][:, None])[0]
        Residual.of(seen.cpu().numpy(), made.cpu().numpy())
        out[at] = self.splice.source.normal.undo(made).to(x)
        return out


def measure(model: str, text: str, layer: int, cache: str) -> dict[str, object]:
    """The seconds of each round at one layer. Raises AssertionError where the losses differ."""
    torch.set_num_threads(1)
    fields = {"model": model, "layer": layer, "text": text, "tokens": 8000, "batch": CONTEXTS}
    source = Activations.open(SourceConfig(**fields, cache=cache, held_out=0.3))  # type: ignore
    splice = Splice.of(source, CONTEXTS)
    config = SAEConfig(arch="topk", n_latents=LATENTS, k=K)
    sae = SAEStack.init(config, source.d_model, [0], source.model.device)
    order = np.random.default_rng(0).permutation(LATENTS)
    sets = [frozenset(order[: round(share * LATENTS)].tolist()) for share in ZEROED]
    ablations, whole = [Ablation(0, latents) for latents in sets], WholePasses(splice, sae)
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        before = whole.losses(ablations)
        between = time.process_time()
        now = splice.losses(sae, ablations)
        seconds.append((between - began, time.process_time() - between))
        np.testing.assert_allclose([now.clean, now.zero, *now.loss], before, rtol=0, atol=1e-5)
        print(f"layer {layer}: {seconds[-1][0]:.1f} s, {seconds[-1][1]:.1f} s", flush=True)
    n = len(source.model.blocks)
    name = Path(model).name
    return {"model": name, "layer": layer, "layers": n, "seconds": seconds}


def main(model: str, text: str, *layers: str) -> None:
    """Measure each layer, and record them."""
    with tempfile.TemporaryDirectory() as cache:
        rows = [measure(model, text, int(layer), cache) for layer in layers or ("10",)]
    date = datetime.date.today().isoformat()
    report.save("spliced", {"date": date, "machine": report.machine(), "rows": rows})


if __name__ == "__main__":
    main(*sys.argv[1:])
