"""Symmetrised alignments against the published algorithm, written anew on matrices, and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shisen.errors import UserError
from shisen.inspection.symmetrization import SYMMETRIZATIONS, symmetrize

LINKS = st.frozensets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20)


def published(forward, backward, size, last):
    """GROW-DIAG-FINAL of Koehn et al. (2005), line by line on boolean matrices [target, source]."""
    e2f, f2e = np.zeros((size, size), bool), np.zeros((size, size), bool)
    for source, target in forward:
        e2f[target, source] = True
    for source, target in backward:
        f2e[target, source] = True
    a, union = e2f & f2e, e2f | f2e
    added = True
    while added:
        added = False
        for e in range(size):
            for f in range(size):
                if not a[e, f]:
                    continue
                for de, df in [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]:
                    e_new, f_new = e + de, f + df
                    if not (0 <= e_new < size and 0 <= f_new < size) or a[e_new, f_new]:
                        continue
                    if (not a[e_new].any() or not a[:, f_new].any()) and union[e_new, f_new]:
                        a[e_new, f_new] = added = True
    for alignment in (e2f, f2e) if last else ():
        for e, f in np.argwhere(alignment):
            free = [not a[e].any(), not a[:, f].any()]
            if any(free) if last == "final" else all(free):
                a[e, f] = True
    return {(int(f), int(e)) for e, f in np.argwhere(a)}


@given(LINKS, LINKS)
def test_growing_is_the_published_algorithm(forward, backward):
    for method, last in (("grow-diag", ""), ("grow-diag-final", "final"), ("grow-diag-final-and", "and")):
        assert symmetrize(forward, backward, method) == published(forward, backward, 7, last)


@given(LINKS, LINKS)
def test_each_method_lies_between_the_intersection_and_the_union(forward, backward):
    made = {method: symmetrize(forward, backward, method) for method in SYMMETRIZATIONS}
    assert made["intersection"] == forward & backward
    assert made["union"] == forward | backward
    grown, cautious = made["grow-diag"], made["grow-diag-final-and"]
    assert made["intersection"] <= grown <= cautious <= made["union"]
    assert grown <= made["grow-diag-final"] <= made["union"]


@given(LINKS, LINKS)
def test_final_leaves_no_word_out_that_either_alignment_has(forward, backward):
    links = symmetrize(forward, backward, "grow-diag-final")
    for side in (0, 1):
        assert {link[side] for link in links} == {link[side] for link in forward | backward}


@given(LINKS)
def test_an_alignment_with_itself_is_itself(links):
    assert all(symmetrize(links, links, method) == links for method in SYMMETRIZATIONS)


def test_growth_reaches_diagonal_neighbours_and_final_what_lies_apart():
    forward = {(0, 0), (1, 1), (5, 5), (3, 1)}
    backward = {(0, 0), (2, 2), (6, 6)}
    assert symmetrize(forward, backward, "intersection") == {(0, 0)}
    assert symmetrize(forward, backward, "grow-diag") == {(0, 0), (1, 1), (2, 2), (3, 1)}
    assert symmetrize(forward, backward, "grow-diag-final-and") == {
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 1),
        (5, 5),
        (6, 6),
    }


def test_a_method_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match=r"intersection, union, .* not by 'grow'"):
        symmetrize([], [], "grow")
