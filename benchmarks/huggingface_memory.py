"""What memory the attention of a long text takes: all layers and heads, one layer, one head.

    python benchmarks/huggingface_memory.py [--tokens 1024]

A GPT-2 of 12 layers and 12 heads with random parameters (192 features) reads a text on the CPU, through
`shisen.adapters.from_huggingface` and by itself with ``output_attentions=True``. Each is a process
of its own; the number is how far its peak of resident memory lies above that of the same model reading the
same text without any weights.
"""

import argparse
import os
import resource
import subprocess
import sys
from typing import Any

WAYS: dict[str, dict[str, Any] | None] = {
    "all layers and heads": {},
    "one layer": {"layers": [5]},
    "one head of one layer": {"layers": [5], "heads": [3]},
    "output_attentions=True of transformers": None,
}


def peak() -> float:
    """The most resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(way: str, tokens: int) -> float:
    """How much more memory one way takes than reading alone, in MiB."""
    import tokenizers
    import torch
    import transformers

    from shisen.adapters import from_huggingface

    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    config = transformers.GPT2Config(
        vocab_size=2, n_embd=192, n_layer=12, n_head=12, n_positions=tokens, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    text = "a " * tokens
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        model(**inputs)
        before = peak()
        options = WAYS[way]
        if options is None:
            model.set_attn_implementation("eager")
            model(**inputs, output_attentions=True)
        else:
            from_huggingface(model, tokenizer, text, **options)
    return peak() - before


def main() -> None:
    """Measure each way in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        print(f"{measure(arguments.way, arguments.tokens):.0f}")
        return
    print(f"{arguments.tokens:,} tokens; MiB above reading alone")
    for way in WAYS:
        command = [sys.executable, __file__, "--tokens", str(arguments.tokens), "--way", way]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        print(f"{way:40} {done.stdout.strip():>8}")


if __name__ == "__main__":
    main()
