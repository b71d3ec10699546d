"""Taking vectors a few at a time gives the values and gradients of plain indexing."""

import pytest
import torch

from shisen.attention import LocalAttention
from shisen.attention.gathering import share, take


def places_of_steps() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 6, (2, queries, 3), generator=generator) for queries in (1, 4, 2)]


def test_values_and_gradients_are_those_of_plain_indexing():
    vectors = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    shared = share(vectors)
    results = []
    for taking in (shared.take, lambda places: take(vectors, places)):
        taken = [taking(places) for places in places_of_steps()]
        loss = sum((step * (n + 1)).sin().sum() for n, step in enumerate(taken))
        (gradient,) = torch.autograd.grad(loss, vectors)
        results.append([*taken, gradient])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    rows = torch.arange(2)[:, None, None]
    torch.testing.assert_close(results[0][1], vectors[rows, places_of_steps()[1]])


def test_gradients_agree_with_finite_differences():
    vectors = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)

    def taken(vectors):
        shared = share(vectors)
        return torch.cat([shared.take(places) for places in places_of_steps()], 1).sin()

    assert torch.autograd.gradcheck(taken, vectors)


def test_a_second_pass_over_the_graph_starts_from_nothing():
    vectors = torch.randn(2, 6, 5, requires_grad=True)
    shared = share(vectors)
    one, other = (shared.take(places).square().sum() for places in places_of_steps()[:2])
    first = torch.autograd.grad(one + other, vectors, retain_graph=True)[0]
    again = torch.autograd.grad(one + other, vectors, retain_graph=True)[0]
    apart = [torch.autograd.grad(loss, vectors, retain_graph=True)[0] for loss in (one, other)]
    assert torch.equal(first, again)
    torch.testing.assert_close(first, apart[0] + apart[1])


def test_a_second_derivative_is_refused():
    vectors = torch.randn(2, 6, 5, requires_grad=True)
    taken = share(vectors).take(places_of_steps()[0])
    (gradient,) = torch.autograd.grad(taken.square().sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


def test_a_step_of_local_attention_gives_back_no_gradient_as_large_as_the_sentence():
    """Beside the one in which all are added up."""
    attention = LocalAttention(8, 8, "monotonic", window=2)
    keys = torch.randn(2, 500, 8, requires_grad=True)
    prepared = attention.prepare(keys)
    steps = [attention.attend(torch.randn(2, 8), prepared, torch.full((2,), t))[0] for t in range(0, 400, 40)]
    made: list[int] = []
    watched = [node for step in steps for node in nodes_before(step)]
    for node in set(watched):
        node.register_hook(lambda given, _: made.extend(g.numel() for g in given if g is not None))
    torch.stack(steps).sum().backward()
    assert keys.grad is not None
    assert keys.grad.abs().sum() > 0
    assert made.count(keys.numel()) == 1


def nodes_before(tensor: torch.Tensor) -> list:
    found, waiting = [], [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.append(node)
            waiting += [before for before, _ in node.next_functions]
    return found
