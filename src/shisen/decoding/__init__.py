"""Decoding over one step interface: greedy, beam search, sampling, and a given translation forced."""

from shisen.decoding.beam import beam_search
from shisen.decoding.forcing import force
from shisen.decoding.greedy_search import greedy
from shisen.decoding.hypothesis import Hypothesis, length_normaliser
from shisen.decoding.interface import DecodableModel
from shisen.decoding.options import (
    BeamOptions,
    Constraints,
    LengthLimits,
    SamplingOptions,
    check_length_penalty,
)
from shisen.decoding.sampling import sample

__all__ = [
    "BeamOptions",
    "Constraints",
    "DecodableModel",
    "Hypothesis",
    "LengthLimits",
    "SamplingOptions",
    "beam_search",
    "check_length_penalty",
    "force",
    "greedy",
    "length_normaliser",
    "sample",
]
