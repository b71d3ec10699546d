"""A trained model for other engines and libraries: CTranslate2, ONNX, Hugging Face transformers.

One file a target; `export_model` is the way in. Each names what its target cannot compute.
"""

from shisen.export.exporting import TARGETS, export_model
from shisen.export.manifest import MANIFEST, Manifest, is_exported, read_manifest

__all__ = ["MANIFEST", "TARGETS", "Manifest", "export_model", "is_exported", "read_manifest"]
