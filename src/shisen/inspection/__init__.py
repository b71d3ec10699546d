"""Attention as data: the map of a sentence, its file, and what is computed from it. No torch needed."""

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.corpus_statistics import CorpusStatistics
from shisen.inspection.faults import FaultFinder, TranslationFaults, learn_faults
from shisen.inspection.head_patterns import PatternScores, recognize_pattern, recognize_patterns
from shisen.inspection.head_similarity import HeadSimilarity, head_similarity
from shisen.inspection.heads import HeadsGatherer, HeadsReport
from shisen.inspection.intervention_effect import InterventionEffect, compare_intervention
from shisen.inspection.interventions import (
    Intervention,
    cut_edge,
    cut_heads,
    force_alignment,
    head_mask,
    replace_map,
    scale_edge,
    scale_heads,
    uniform_attention,
)
from shisen.inspection.map_file import AttentionMapWriter, SavedMaps, load_maps, save_maps
from shisen.inspection.readers import open_maps
from shisen.inspection.report import AttentionReport, ReportGatherer
from shisen.inspection.statistics import AttentionStatistics, attention_statistics
from shisen.inspection.words import word_numbers

__all__ = [
    "AttentionMap",
    "AttentionMapWriter",
    "AttentionReport",
    "AttentionStatistics",
    "CorpusStatistics",
    "FaultFinder",
    "HeadSimilarity",
    "HeadsGatherer",
    "HeadsReport",
    "Intervention",
    "InterventionEffect",
    "PatternScores",
    "ReportGatherer",
    "SavedMaps",
    "TranslationFaults",
    "attention_statistics",
    "compare_intervention",
    "cut_edge",
    "cut_heads",
    "force_alignment",
    "head_mask",
    "head_similarity",
    "learn_faults",
    "load_maps",
    "open_maps",
    "recognize_pattern",
    "recognize_patterns",
    "replace_map",
    "save_maps",
    "scale_edge",
    "scale_heads",
    "uniform_attention",
    "word_numbers",
]
