"""Erasing tokens and weights: each curve against a loop that erases by hand."""

import numpy as np
import torch
from explained_models import DECIDED, SOURCE, TARGET, explained_model, log_probabilities

from shisen.inspection.faithfulness.erasure import erasure_curves, order_by, token_counts, without_each


def orders(names: str) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {name: np.stack([draw.permutation(5) for _ in DECIDED]) for name in names}


def test_every_point_of_a_curve_is_the_probability_with_those_tokens():
    model = explained_model("bahdanau")
    fractions = (0.2, 0.5, 0.9)
    whole = log_probabilities(model, SOURCE).exp().gather(1, DECIDED[:, None])[:, 0].double().numpy()
    given = orders("ab")
    curves = erasure_curves(model, SOURCE, TARGET, DECIDED, whole, given, fractions)
    for name, order in given.items():
        for step in range(len(DECIDED)):
            for column, count in enumerate((1, 3, 5)):  # ⌈0.2 · 5⌉, ⌈0.5 · 5⌉, ⌈0.9 · 5⌉
                first = set(order[step][:count].tolist())
                for measure, stays in (
                    ("comprehensiveness", [i for i in range(6) if i not in first]),
                    ("sufficiency", [i for i in range(6) if i in first or i == 5]),
                ):
                    left = log_probabilities(model, SOURCE[stays])[step].exp()
                    expected = whole[step] - float(left[DECIDED[step]])
                    found = getattr(curves[name], measure)[step, column]
                    assert np.isclose(found, expected, atol=1e-6), (name, step, count, measure)


def test_every_token_can_be_erased_with_the_end_among_them():
    model = explained_model("transformer")
    whole = np.zeros(len(DECIDED))
    order = np.stack([np.arange(6)] * len(DECIDED))
    curves = erasure_curves(model, SOURCE, TARGET, DECIDED, whole, {"all": order}, (0.99,))
    # Nothing is left: the model reads </s> alone, for it cannot read nothing.
    alone = log_probabilities(model, SOURCE[-1:]).exp().gather(1, DECIDED[:, None])[:, 0]
    np.testing.assert_allclose(curves["all"].comprehensiveness[:, 0], -alone.numpy(), atol=1e-6)


def test_shares_are_rounded_up():
    assert token_counts((0.1, 0.2, 0.5), 10) == [1, 2, 5]
    assert token_counts((0.1, 0.2, 0.5), 7) == [1, 2, 4]


def test_equal_tokens_come_in_random_order():
    order = order_by(np.array([[0.5, 0.1, 0.1, 0.1]] * 300), np.random.default_rng(0))
    assert (order[:, 0] == 0).all()
    counts = np.bincount(order[:, 1], minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 60


def test_one_weight_at_a_time_is_erased():
    weights = torch.tensor([0.5, 0.3, 0.2, 0.0]).view(1, 1, 4)
    erased = without_each(weights, 3, is_renormalised=False)[0, 0]
    assert erased.tolist() == [
        [0, *torch.tensor([0.3, 0.2, 0.0]).tolist()],
        [0.5, 0, *torch.tensor([0.2, 0.0]).tolist()],
        [0.5, *torch.tensor([0.3]).tolist(), 0, 0],
    ]
    renormalised = without_each(weights, 3, is_renormalised=True)[0, 0]
    torch.testing.assert_close(renormalised.sum(-1), torch.ones(3))
    torch.testing.assert_close(renormalised[0], torch.tensor([0, 0.6, 0.4, 0]))


def test_of_a_weight_that_has_everything_nothing_is_left():
    weights = torch.tensor([[[0.0, 1.0]]])
    assert without_each(weights, 2, is_renormalised=True)[0, 0].tolist() == [[0, 1], [0, 0]]
