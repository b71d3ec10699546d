"""The configuration as a file to read and edit: every key with its default, its meaning and what it takes."""

import textwrap
from collections.abc import Iterator

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shisen.training.config import Config
from shisen.training.config_file import allowed_values, sections_of

_WIDTH = 100

_HEAD = """\
Every key of a shisen training configuration, with its default. Leave out what you do not change.
Paths are relative to the directory in which shisen is run.
"""


def config_text() -> str:
    """Return a YAML file of all keys; it can be used as it is once the required paths are filled in."""
    return "\n".join([*_comment(_HEAD, ""), *_section(Config, "")]) + "\n"


def _section(section: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        below = list(sections_of(field).values())
        if not indent:
            yield ""
        yield from _comment(_meaning(field, is_section=bool(below)), indent)
        if not below:
            yield f"{indent}{name}:{_default(field)}"
            continue
        yield f"{indent}{name}:"
        if field.default is None:  # a section that may be left out: shown, not set
            yield from _shown(below[0], indent)
            continue
        yield from _section(below[0], indent + "  ")
        for other in below[1:]:
            yield ""
            yield from _comment(f"Or, in place of these keys: {_first_line(other)}", indent)
            yield f"{indent}# {name}:"
            yield from _shown(other, indent)


def _shown(section: type[BaseModel], indent: str) -> Iterator[str]:
    """A section behind comment signs."""
    return (f"{indent}# {line[len(indent) :]}" for line in _section(section, indent + "  "))


def _first_line(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").splitlines()[0]


def _meaning(field: FieldInfo, is_section: bool) -> str:
    text = (field.description or "").strip()
    if not text.partition(" ")[0].endswith(":"):  # the first word is not one of the values explained
        text = text[:1].upper() + text[1:]
    text += "" if text.endswith(".") else "."
    if is_section:
        return text + (" Empty: none." if field.default is None else "")
    allowed = allowed_values(field)
    return f"{text} [{'required: ' if field.is_required() else ''}{allowed}]"


def _default(field: FieldInfo) -> str:
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if value is None:
        return ""
    return " " + yaml.safe_dump(value, default_flow_style=True).splitlines()[0]


def _comment(text: str, indent: str) -> list[str]:
    prefix = f"{indent}# "
    lines = text.splitlines()
    return [
        wrapped
        for line in lines
        for wrapped in textwrap.wrap(
            line, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False
        )
    ]
