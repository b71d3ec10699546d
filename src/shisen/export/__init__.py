"""A trained model for other engines and libraries: CTranslate2, ONNX, Hugging Face transformers.

`shisen.export.exporting.export_model` is the way in; one file a target, which also names what its target
cannot compute. `shisen.export.onnx_runtime` runs the graphs of an ONNX export, without PyTorch.
"""
