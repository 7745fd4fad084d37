"""The other libraries, each through its own training step: python peers.py LIBRARY

Runs in the peers' environment, and answers jobs (`worker.serve`). Every function trains one SAE on
the batches of a clock and returns the share of latents that its library takes for dead at the end,
or None where it has no such notion.
"""

import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Any
from unittest.mock import MagicMock

import torch
from jobs import NEVER, WEAK, Clock, Job, bind
from torch import Tensor, nn
from worker import serve

PACKAGES = {
    "SAELens": "sae-lens",
    "dictionary_learning": "dictionary-learning",
    "overcomplete": "overcomplete",
    "overcomplete AuxK": "overcomplete",
    "eai-sparsify": "eai-sparsify",
    "dense autograd": "torch",
    "arithmetic limit": "torch",
}


@torch.no_grad()
def weaken(encoder: Tensor, job: Job) -> None:
    """Make the first latents of an encoder [M, D] too weak to fire, in place."""
    encoder[: job.n_dead] *= WEAK


def saelens(job: Job, clock: Clock) -> float:
    """`SAETrainer.fit`, or `train_toy_sae` where data is to be generated."""
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    shape = TopKTrainingSAEConfig(d_in=job.d, d_sae=job.m, k=job.k, device=job.device)
    sae = TopKTrainingSAE(shape)
    if job.generate:
        return saelens_toy(job, clock, sae)
    weaken(sae.W_enc.T, job)
    config = SAETrainerConfig(
        total_training_samples=NEVER * job.batch,
        train_batch_size_samples=job.batch,
        lr=job.lr,
        lr_end=job.lr,
        device=job.device,
        dead_feature_window=job.dead_after // job.batch,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(config, sae, clock)
    with suppress(StopIteration):
        trainer.fit()
    return float(trainer.dead_neurons.float().mean())


def saelens_toy(job: Job, clock: Clock, sae: Any) -> float:
    """`train_toy_sae`: M features, independent, k of them on average."""
    from sae_lens.synthetic.activation_generator import ActivationGenerator
    from sae_lens.synthetic.feature_dictionary import FeatureDictionary
    from sae_lens.synthetic.training import train_toy_sae

    features = FeatureDictionary(job.m, job.d, device=job.device, initializer=None)
    generator = ActivationGenerator(job.m, job.k / job.m, device=job.device)

    def generate(size: int) -> Tensor:
        clock.tick()
        return generator(size)

    with suppress(StopIteration):
        train_toy_sae(
            sae, features, generate, NEVER * job.batch, job.batch, job.lr, device=job.device
        )
    return 0.0


def dictionary_learning(job: Job, clock: Clock) -> float:
    """`TopKTrainer.update`."""
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(
        NEVER, job.d, job.m, job.k, layer=0, lm_name="none", lr=job.lr, device=job.device
    )
    trainer.dead_feature_threshold = job.dead_after
    weaken(trainer.ae.encoder.weight, job)
    for step, x in enumerate(clock):
        trainer.update(step, x)
    dead = trainer.num_tokens_since_fired >= trainer.dead_feature_threshold
    return float(dead.float().mean())


def overcomplete(job: Job, clock: Clock) -> None:
    """`train_sae` with the squared error of its README, which has no AuxK."""
    train_overcomplete(job, clock, lambda x, x_hat, *rest: (x - x_hat).square().mean())


def overcomplete_auxk(job: Job, clock: Clock) -> None:
    """`train_sae` with its own AuxK, which takes the latents that a sample did not choose."""
    train_overcomplete(job, clock, None)


def train_overcomplete(job: Job, clock: Clock, criterion: Any) -> None:
    """Its clipping is on (1.0, its default) and its monitoring off (the default costs more)."""
    # its vision models need a torchvision built for this very torch, and its plots an older
    # Matplotlib; its SAEs need neither
    for part in ("models", "visualization"):
        sys.modules.setdefault(f"overcomplete.{part}", MagicMock())
    from overcomplete.sae import TopKSAE
    from overcomplete.sae.losses import top_k_auxiliary_loss
    from overcomplete.sae.train import train_sae

    sae = TopKSAE(job.d, job.m, top_k=job.k, device=job.device)
    adam = torch.optim.Adam(sae.parameters(), lr=job.lr)
    train_sae(
        sae,
        clock,
        criterion or top_k_auxiliary_loss,
        adam,
        nb_epochs=1,
        monitoring=0,
        device=job.device,
    )


def sparsify(job: Job, clock: Clock) -> float:
    """`SparseCoder` and the steps of `Trainer.fit` around it, less the language model.

    Signum as by default; AuxK at 1/32 (by default it is off).
    """
    from schedulefree import ScheduleFreeWrapper
    from sparsify import SparseCoder, SparseCoderConfig
    from sparsify.sign_sgd import SignSGD

    torch.set_float32_matmul_precision("high")
    sae = SparseCoder(job.d, SparseCoderConfig(num_latents=job.m, k=job.k), job.device)
    weaken(sae.encoder.weight, job)
    optimiser = ScheduleFreeWrapper(SignSGD(sae.parameters(), lr=job.lr), momentum=0.95)
    optimiser.train()
    silent = torch.zeros(job.m, dtype=torch.long, device=job.device)
    for step, x in enumerate(clock):
        if step == 0:
            sae.b_dec.data = x.mean(0)
        sae.set_decoder_norm_to_unit_norm()
        total_variance = (x - x.mean(0)).pow(2).sum()
        out = sae(x, dead_mask=silent > job.dead_after, total_variance=total_variance)
        fired = torch.zeros(job.m, dtype=torch.bool, device=job.device)
        fired[out.latent_indices.flatten()] = True
        float(out.fvu.detach()), float(out.auxk_loss.detach())
        (out.fvu + out.auxk_loss / 32).backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        silent += job.batch
        silent[fired] = 0
    return float((silent > job.dead_after).float().mean())


class Dense(nn.Module):
    """A TopK SAE as one would write it in plain torch: every step dense, gradients by autograd."""

    def __init__(self, job: Job):
        super().__init__()
        w = nn.functional.normalize(torch.randn(job.m, job.d, device=job.device))
        self.w_enc, self.w_dec = nn.Parameter(w.clone()), nn.Parameter(w)
        self.b_enc = nn.Parameter(torch.zeros(job.m, device=job.device))
        self.b_dec = nn.Parameter(torch.zeros(job.d, device=job.device))
        self.k, self.k_aux = job.k, job.d // 2

    def forward(self, x: Tensor, dead: Tensor) -> tuple[Tensor, Tensor]:
        """Loss with AuxK (Gao et al. 2024), and which latents fire [M]."""
        pre = (x - self.b_dec) @ self.w_enc.T + self.b_enc
        z = largest(pre.relu(), self.k)
        error = x - (z @ self.w_dec + self.b_dec)
        loss = error.square().sum() / (x - x.mean(0)).square().sum()
        if n := int(dead.sum()):
            e = error.detach()
            z_dead = largest(pre.relu() * dead, min(n, self.k_aux))
            loss = loss + (z_dead @ self.w_dec - e).square().sum() / e.square().sum() / 32
        return loss, (z > 0).any(0)


def largest(z: Tensor, k: int) -> Tensor:
    """`z` [B, M] with all but the k largest of each row set to 0."""
    values, indices = z.topk(k, dim=1, sorted=False)
    return torch.zeros_like(z).scatter(1, indices, values)


def dense(job: Job, clock: Clock) -> float:
    """The plain loop: clipping, fused Adam, unit decoder rows."""
    sae = Dense(job)
    weaken(sae.w_enc, job)
    adam = torch.optim.Adam(sae.parameters(), lr=job.lr, fused=True)
    silent = torch.zeros(job.m, dtype=torch.long, device=job.device)
    for x in clock:
        loss, fired = sae(x, silent >= job.dead_after)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        adam.step()
        with torch.no_grad():
            sae.w_dec.div_(torch.linalg.vector_norm(sae.w_dec, dim=1, keepdim=True))
        silent = (silent + job.batch) * ~fired
    return float((silent >= job.dead_after).float().mean())


LIBRARIES = {
    "SAELens": saelens,
    "dictionary_learning": dictionary_learning,
    "overcomplete": overcomplete,
    "overcomplete AuxK": overcomplete_auxk,
    "eai-sparsify": sparsify,
    "dense autograd": dense,
}


def limit(job: Job) -> dict[str, Any]:
    """Samples a second if all there were to do is the multiplications of a step, 2 D M to encode
    and 8 D k for the sparse rest, at the speed of one large float32 matrix product.
    """
    a, clock = torch.randn(2048, 2048, device=job.device), Clock(job)
    with suppress(StopIteration):
        while True:
            clock.tick()
            a @ a
    flops = 2.0 * 2048**3 * clock.samples / job.batch / clock.elapsed
    rate = flops / (2 * job.d * job.m + 8 * job.d * job.k)
    return {"rate": rate, "flops": flops, "dead": None, "version": torch.__version__}


def time(job: Job) -> dict[str, Any]:
    """Samples a second of `trainings` trainings, one after the other, and the last one's dead.

    Where there are several, half of them have one thread alone: the faster half counts, since small
    matrices gain nothing from a second thread.
    """
    bind(job.threads)
    library = sys.argv[1]
    if library == "arithmetic limit":
        return limit(job)
    data = None if job.generate else job.load()
    rates, dead = [], None
    for threads in (job.threads, 1)[: job.trainings]:
        torch.set_num_threads(threads)
        clocks = [Clock(job, data) for _ in range(max(1, job.trainings // 2))]
        for clock in clocks:
            dead = LIBRARIES[library](job, clock)
        rates.append(sum(c.samples for c in clocks) / sum(c.elapsed for c in clocks))
    return {
        "rate": max(rates),
        "rates": rates,
        "dead": dead,
        "version": version(PACKAGES[library]),
    }


if __name__ == "__main__":
    serve(time)
