"""Bad input gets one line that names the argument, what came and what is allowed."""

import numpy as np
import pytest

from synthsae.checks import ConfigError
from synthsae.metrics import (
    activation,
    alignment,
    consensus,
    covariance,
    function,
    grassmann,
    groups,
    latent,
    masking,
    planted,
    rank,
    reappearance,
    recovery,
    regression,
    subspace,
    transfer,
)
from synthsae.metrics.detection import Detection
from synthsae.metrics.shared import shared, shared_pair

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 4))
A, B = X
NAN = np.where(np.arange(4) == 1, np.nan, A)
INF = np.full((2, 5, 4), np.inf)
NARROW = A[:, :3]
ROW = A[0]
TEXT = np.array([["a", "b"]])
COMPLEX = A + 1j
CODES = np.abs(RNG.standard_normal((6, 5)))
SAMPLES = RNG.standard_normal((6, 4))

CASES = {
    "cosines b width": (lambda: latent.cosines(A, NARROW), "b's rows"),
    "cosines a vector": (lambda: latent.cosines(ROW, A), "a"),
    "cosines leading": (lambda: latent.cosines(X, np.ones((3, 5, 4))), "b"),
    "nearest block": (lambda: subspace.nearest(A, NARROW[None, :3]), "basis's columns"),
    "cosines nan": (lambda: latent.cosines(A, NAN), "b"),
    "cosines text": (lambda: latent.cosines(TEXT, A), "a"),
    "cosines complex": (lambda: latent.cosines(COMPLEX, A), "a"),
    "max_cosines": (lambda: latent.max_cosines(NAN, A), "a"),
    "mmcs stack": (lambda: latent.mmcs(X, A), "a"),
    "match stack": (lambda: latent.match(A, X), "b"),
    "match first stack": (lambda: latent.match(X, A), "a"),
    "assign nan": (lambda: latent.assign(NAN), "scores"),
    "mcc no feature": (lambda: latent.mcc(A, A[:0]), "features"),
    "pairwise one seed": (lambda: latent.pairwise_mcc(X[:1]), "directions"),
    "pairwise live": (lambda: latent.pairwise_mcc(X, np.ones((2, 4), bool)), "live"),
    "pairwise mmcs": (lambda: latent.pairwise_mmcs(A), "directions"),
    "summarise": (lambda: latent.summarise([0.1], (0.5, 1.5)), "quantiles"),
    "summarise threshold": (lambda: latent.summarise([0.1], threshold=2), "threshold"),
    "found one seed": (lambda: latent.found(X[:1]), "directions"),
    "found theta": (lambda: latent.found(X, 1.1), "theta"),
    "found theta nan": (lambda: latent.found(X, np.nan), "theta"),
    "found matrix": (lambda: latent.found(A), "directions"),
    "found inf": (lambda: latent.found(INF), "directions"),
    "found block": (lambda: reappearance.found(X, block=0), "block"),
    "reappearance live": (lambda: latent.reappearance(X, live=[[1] * 5] * 2), "live"),
    "labels p": (lambda: reappearance.labels([1.2]), "p_hat"),
    "labels negative": (lambda: reappearance.labels([-0.1]), "p_hat"),
    "labels stable": (lambda: reappearance.labels([1.0], -0.1), "stable"),
    "labels unstable": (lambda: reappearance.labels([1.0], 0.5, 0.5), "unstable"),
    "shared widths": (lambda: shared_pair(A, A, NARROW, NARROW), "b's rows"),
    "shared sides": (lambda: shared_pair(A, A[:3], B, B), "enc_a"),
    "shared theta": (lambda: shared_pair(A, A, B, B, -2), "theta"),
    "shared theta above": (lambda: shared_pair(A, A, B, B, 1.5), "theta"),
    "shared one seed": (lambda: shared(X[:1], X[:1]), "dec"),
    "correlations samples": (
        lambda: activation.correlations(CODES, CODES[:3]),
        "codes_b's samples",
    ),
    "correlations none": (lambda: activation.correlations(CODES[:0], CODES[:0]), "codes_a"),
    "match_activations": (lambda: activation.match_activations(X, X), "codes_a"),
    "rv square": (lambda: covariance.rv(A, A), "a"),
    "rv sizes": (lambda: covariance.rv(A @ A.T, A.T @ A), "b's rows"),
    "rv leading": (lambda: covariance.rv(np.ones((2, 4, 4)), np.ones((3, 4, 4))), "b"),
    "rv symmetric": (lambda: covariance.rv(A[:4], A[:4]), "a"),
    "rv none": (lambda: covariance.rv(np.eye(0), np.eye(0)), "a"),
    "rv nan": (lambda: covariance.rv(A @ A.T, NAN @ NAN.T), "b"),
    "rv draws": (lambda: covariance.permuted_rv(np.eye(2), np.eye(2), RNG, 0), "draws"),
    "rv null stack": (lambda: covariance.permuted_rv(np.eye(2), np.ones((3, 2, 2)), RNG), "b"),
    "nearest": (lambda: planted.nearest_features(A, A[:0]), "features"),
    "nearest stack": (lambda: planted.nearest_features(X, A), "latents"),
    "feature_reappearance": (lambda: planted.feature_reappearance(X, A, np.ones((2, 4))), "p_hat"),
    "feature theta": (lambda: planted.feature_reappearance(X, A, X[..., 0], theta=3), "theta"),
    "detection batch": (lambda: Detection.of(CODES, CODES[:2], [0] * 5), "feature_codes' batch"),
    "detection index": (lambda: Detection.of(CODES, CODES, [5] * 5), "nearest"),
    "detection negative": (lambda: Detection.of(CODES, CODES, [-1] * 5), "nearest"),
    "detection length": (lambda: Detection.of(CODES, CODES, [0]), "nearest"),
    "angles widths": (lambda: subspace.principal_angles(A, A[:3]), "b's columns"),
    "angles nan": (lambda: subspace.principal_angles(NAN, A), "a"),
    "overlap": (lambda: subspace.overlap(A, A[:3]), "u's columns"),
    "overlap stack": (lambda: subspace.overlap(A, X), "u"),
    "energy": (lambda: subspace.block_energy(A, A), "basis's columns"),
    "members threshold": (lambda: subspace.members(A, A.T, threshold=2), "threshold"),
    "members live": (lambda: subspace.members(A, A.T, np.ones(3, bool)), "live"),
    "span rank 0": (lambda: subspace.learned_span(A, 0), "rank"),
    "span rank 1.5": (lambda: subspace.learned_span(A, 1.5), "rank"),
    "recovery widths": (lambda: subspace.recovery_angles(A, A[:3]), "b's columns"),
    "chordal": (lambda: grassmann.chordal_distance(NAN, A), "a"),
    "geodesic": (lambda: grassmann.geodesic_distance(A, A[:2]), "b's columns"),
    "block rank 0": (lambda: recovery.block_recovery(X, A.T[:, :0]), "basis's rank"),
    "block p": (lambda: recovery.block_recovery(X, A.T, p_hat=ROW), "p_hat"),
    "effective rank": (lambda: rank.effective_rank(NAN), "directions"),
    "participation": (lambda: rank.participation_ratio(ROW), "directions"),
    "iid n": (lambda: rank.iid_effective_rank(0, 4), "n"),
    "iid d": (lambda: rank.iid_participation_ratio(4, 0), "d"),
    "transfer widths": (lambda: transfer.transfer_curve(A, NARROW), "target's rows"),
    "transfer empty": (lambda: transfer.transfer_curve(A, A[:0]), "target"),
    "transfer n": (lambda: transfer.matched_transfer(A, A, 6, RNG), "n"),
    "transfer draws": (lambda: transfer.random_transfer(A, RNG, 0), "draws"),
    "groups alpha": (lambda: groups.groups(A, 2), "alpha"),
    "groups least": (lambda: groups.groups(A, least=1), "least"),
    "groups D": (lambda: groups.chance_cosine(5, 1), "d"),
    "identities seeds": (lambda: alignment.identities(X[:1]), "directions"),
    "identities live": (lambda: alignment.identities(X, np.ones((3, 4))), "live"),
    "identities tight": (lambda: alignment.identities(X, tight=2), "tight"),
    "alignment seeds": (lambda: alignment.chance_alignment(0.1, 1, 2, 1), "n_seeds"),
    "consensus shape": (lambda: consensus.consensus(A), "directions"),
    "consensus nan": (lambda: consensus.consensus(np.full((2, 3, 4), np.nan)), "directions"),
    "ev shapes": (lambda: function.explained_variance(A, B[:3]), "x_hat's batch"),
    "ev leading": (lambda: function.fvu(X, np.ones((3, 5, 4))), "x_hat"),
    "ev none": (lambda: function.fvu(A[:0], B[:0]), "x"),
    "ev nan": (lambda: function.explained_variance(A, NAN), "x_hat"),
    "rates none": (lambda: function.firing_rates(CODES[:0]), "codes"),
    "l0 vector": (lambda: function.l0(ROW), "codes"),
    "dead rates": (lambda: function.dead_fraction([0.1, 1.5]), "rates"),
    "dead threshold": (lambda: function.live([0.1], 2), "live_threshold"),
    "masking decoder": (lambda: masking.removal_costs(SAMPLES, SAMPLES, CODES, A.T), "decoder"),
    "masking samples": (
        lambda: masking.removal_costs(SAMPLES, SAMPLES, CODES[:2], A),
        "codes' samples",
    ),
    "masking order": (lambda: masking.masking_curve(SAMPLES, SAMPLES, CODES, A, [0, 0]), "order"),
    "masking range": (lambda: masking.masking_curve(SAMPLES, SAMPLES, CODES, A, [5]), "order"),
    "masking n": (lambda: masking.masking_orders(["stable"], [0.1], -1, RNG), "n"),
    "masking rates": (lambda: masking.masking_orders(["stable"], [0.1, 0.2], 1, RNG), "labels"),
    "masking near": (lambda: masking.masking_orders(["dead"], [0.1], 1, RNG, 0), "near"),
    "masking half": (lambda: masking.masking_curve(SAMPLES, SAMPLES, CODES, A, [0.5]), "order"),
    "masking samples nan": (
        lambda: masking.removal_costs(SAMPLES, SAMPLES * np.nan, CODES, A),
        "x_hat",
    ),
    "detection half": (lambda: Detection.of(CODES, CODES, [0.5] * 5), "nearest"),
    "labels complex": (lambda: reappearance.labels([0.5 + 1j]), "p_hat"),
    "labels text": (lambda: reappearance.labels(["0.5"]), "p_hat"),
    "block p text": (lambda: recovery.block_recovery(X, A.T, p_hat=TEXT), "p_hat"),
    "feature p": (lambda: planted.feature_reappearance(X, A, X[..., 0] + 1j), "p_hat"),
    "cosines masked": (lambda: latent.cosines(np.ma.masked_array(A, A > 1), A), "a"),
    "cosines ragged": (lambda: latent.cosines([[1, 2], [3]], A), "a"),
    "cosines object": (lambda: latent.cosines(A.astype(object), A), "a"),
    "found masked": (lambda: latent.found(np.ma.masked_array(X, X > 1)), "directions"),
    "found ragged": (lambda: latent.found([[[1, 2], [3]]] * 2), "directions"),
    "found theta text": (lambda: latent.found(X, "high"), "theta"),
    "seeds text": (lambda: alignment.chance_alignment(0.1, 1, 2, "4"), "n_seeds"),
    "alignment nan": (lambda: alignment.chance_alignment(np.nan, 1, 2, 3), "angle"),
    "regression rows": (lambda: regression.least_squares([1.0], A), "y"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_error_names_the_argument(name):
    call, argument = CASES[name]
    with pytest.raises(ConfigError) as error:
        call()
    assert error.value.field == argument
    assert "\n" not in str(error.value)


def test_the_line_says_what_came_and_what_is_allowed():
    with pytest.raises(ConfigError, match=r"^b: 5 non-finite values in shape \(5, 4\); allowed: "):
        latent.cosines(A, NAN)
    with pytest.raises(ConfigError, match=r"^theta: 1\.1; allowed: -1 to 1$"):
        latent.found(X, 1.1)
