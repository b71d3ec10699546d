"""Attention as data: the map of a sentence, its file, and what is computed from it. No torch needed."""

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.corpus_statistics import CorpusStatistics
from shisen.inspection.map_file import AttentionMapWriter, SavedMaps, load_maps, save_maps
from shisen.inspection.statistics import AttentionStatistics, attention_statistics
from shisen.inspection.words import word_numbers

__all__ = [
    "AttentionMap",
    "AttentionMapWriter",
    "AttentionStatistics",
    "CorpusStatistics",
    "SavedMaps",
    "attention_statistics",
    "load_maps",
    "save_maps",
    "word_numbers",
]
