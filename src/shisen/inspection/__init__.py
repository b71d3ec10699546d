"""Attention as data: the map of a sentence, its file, and what is computed from it. No torch needed."""

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.corpus_statistics import CorpusStatistics
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
    "ReportGatherer",
    "SavedMaps",
    "attention_statistics",
    "load_maps",
    "open_maps",
    "save_maps",
    "word_numbers",
]
