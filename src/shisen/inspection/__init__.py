"""Attention as data: the map of a sentence, its file, and what is computed from it. No torch needed."""

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.map_file import AttentionMapWriter, SavedMaps, load_maps, save_maps
from shisen.inspection.words import word_numbers

__all__ = ["AttentionMap", "AttentionMapWriter", "SavedMaps", "load_maps", "save_maps", "word_numbers"]
