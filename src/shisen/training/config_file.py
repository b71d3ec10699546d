"""Reading a configuration: YAML and ``--set`` into a checked `Config`; each mistake named, with its place."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from shisen.errors import UserError
from shisen.models.config import UNKNOWN_FAMILY, OneOf
from shisen.training.config import Config

Path_ = tuple[str, ...]
"""A key and the sections it lies in: ("training", "batch_size")."""


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file.

    Args:
        path: A YAML file; paths in it are relative to the current directory.
        overrides: Keys set over the file's, each as ``section.key=value`` with the value in YAML.

    Raises:
        UserError: The file cannot be read, or a key or value in it is not allowed.
    """
    path = Path(path)
    values, lines = _read_yaml(path)
    places = {key: f"{path}, line {line}" for key, line in lines.items()}
    for override in overrides:
        key, value = _parse_override(override)
        _set(values, key, value)
        places[key] = f"--set {override}"
    return check_config(values, places, str(path))


def check_config(values: Mapping[str, Any], places: Mapping[Path_, str], origin: str) -> Config:
    """Validate nested plain values as a `Config`.

    Args:
        values: What the file holds.
        places: Where each key was written, for messages.
        origin: What to name for a key that was not written anywhere.

    Raises:
        UserError: Names the first key that is wrong, where it is, and what would be allowed.
    """
    try:
        # As JSON, since strict validation then takes what YAML can express and nothing else.
        text = json.dumps(values, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{origin}: a key is not text, or a value holds itself") from error
    try:
        return Config.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise UserError(_describe(problems[0], places, origin) + _count_of_others(problems)) from error


def dump_config(config: Config) -> str:
    """Return a configuration as YAML with every key, from which the same configuration can be read."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def changed_keys(before: Config, after: Config) -> list[str]:
    """Return the dotted keys in which two configurations differ."""
    old, new = dict(_leaves(before.model_dump())), dict(_leaves(after.model_dump()))
    return [".".join(key) for key in {**old, **new} if old.get(key) != new.get(key)]


def allowed_values(field: FieldInfo) -> str:
    """Say in words what a key takes: ``a whole number, at least 1``."""
    listed = next((part for part in field.metadata if isinstance(part, OneOf)), None)
    if listed is not None:
        return "one of " + ", ".join(listed.names)
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if kinds and not isinstance(kinds[0], type) and get_args(kinds[0]):  # Optional[Literal[...]]
        kinds = list(get_args(kinds[0]))
    if kinds and not isinstance(kinds[0], type):
        return "one of " + ", ".join(str(choice) for choice in kinds)
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    text = " or ".join(names.get(kind, kind.__name__) for kind in kinds)
    limits = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
    bounds = [
        f"{word} {_number(getattr(bound, name))}"
        for name, word in limits
        for bound in field.metadata
        if getattr(bound, name, None) is not None
    ]
    return ", ".join([text, " and ".join(bounds)] if bounds else [text])


def sections_of(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Return the sections that a key may stand for, by tag where there are several; none: it is a value."""
    kinds = get_args(field.annotation) or (field.annotation,)
    tagged = {
        part.tag: get_args(kind)[0]
        for kind in kinds
        for part in getattr(kind, "__metadata__", ())
        if isinstance(part, Tag)
    }
    only = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return tagged or ({"": only} if only else {})


class _Loader(yaml.SafeLoader):
    """YAML as people write it: ``1e-3`` is a number, and a key written twice is a mistake."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[Path_, int]]:
    """Return a file's nested values, and the line of every key."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start + 1})") from error
    except OSError as error:
        raise UserError(f"{path}: the configuration cannot be read ({error.strerror})") from error
    try:
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path}: nested too deeply") from error
    if values is None:
        return {}, {}
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}: expected the sections data, model and training, and found {_kind(values)}")
    try:
        return values, dict(_key_lines(node, path))
    except RecursionError as error:
        raise UserError(f"{path}: a value holds itself") from error


def _key_lines(node: yaml.MappingNode, path: Path, above: Path_ = ()) -> Iterator[tuple[Path_, int]]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        place = (*above, name)
        if name in seen:
            raise UserError(
                f"{path}, line {line}: {'.'.join(place)} is set twice (first in line {seen[name]})"
            )
        seen[name] = line
        yield place, line
        if isinstance(value, yaml.MappingNode):
            yield from _key_lines(value, path, place)


def _parse_override(override: str) -> tuple[Path_, Any]:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {override}: expected section.key=value, as in model.attention=none")
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"--set {override}: the value is not valid YAML") from error
    return tuple(name.strip().split(".")), value


def _set(values: dict[str, Any], key: Path_, value: Any) -> None:
    """Set a nested key; a section that is missing, empty or not a section gives way."""
    for name in key[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[key[-1]] = value


def _describe(problem: Any, places: Mapping[Path_, str], origin: str) -> str:
    """Say what is wrong with one key: where, what came, what is allowed."""
    key, field, section = _locate(problem["loc"])
    name = ".".join(key)
    place = next((places[key[:n]] for n in range(len(key), 0, -1) if key[:n] in places), origin)
    kind, given = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{place}: unknown key {name}" + _suggestion(key, section)
    if kind == "missing":
        is_section = field is not None and sections_of(field)
        return f"{origin}: {'the section ' if is_section else ''}{name} is missing{_needed(field)}"
    if kind == UNKNOWN_FAMILY and field is not None and isinstance(given, Mapping):
        place, families = places.get((*key, "family"), place), ", ".join(sections_of(field))
        return f"{place}: {name}.family is {_shown(given['family'])}; allowed: one of {families}"
    if kind == "value_error":
        return f"{place}: {name + ': ' if name else ''}{problem['ctx']['error']}"
    if field is None:
        return f"{place}: {name or 'the configuration'}: {problem['msg']}"
    if sections_of(field):
        return f"{place}: {name} is a section of keys, and is given as {_kind(given)}"
    return f"{place}: {name} is {_shown(given)}; allowed: {allowed_values(field)}"


def _locate(location: Sequence[Any]) -> tuple[Path_, FieldInfo | None, type[BaseModel]]:
    """Follow a validation error's location: the key, its field if it is known, the section it lies in.

    A location may go on past the field with the name of a union's member; the key ends at the field.
    """
    section: type[BaseModel] = Config
    key: Path_ = ()
    field = None
    for part in map(str, location):
        if field is not None:
            below = sections_of(field)
            if len(below) > 1 and part in below:  # the tag of the one that was chosen, which is no key
                section, field = below[part], None
                continue
            if not below:
                break
            section = below.get("", section)
        key = (*key, part)
        field = section.model_fields.get(part)
        if field is None:
            break
    return key, field, section


def _suggestion(key: Path_, section: type[BaseModel]) -> str:
    """Name the nearest key: of the same section first, else of any."""
    near = difflib.get_close_matches(key[-1], section.model_fields, n=1)
    if near:
        return f"; did you mean {'.'.join((*key[:-1], near[0]))}?"
    everywhere = {path[-1]: path for path in all_keys(Config)}
    near = difflib.get_close_matches(key[-1], everywhere, n=1)
    if near:
        return f"; did you mean {'.'.join(everywhere[near[0]])}?"
    return f"; {'.'.join(key[:-1]) or 'the configuration'} has the keys {', '.join(section.model_fields)}"


def all_keys(section: type[BaseModel], above: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every key of a section and the sections in it."""
    for name, field in section.model_fields.items():
        yield (*above, name)
        for below in sections_of(field).values():
            yield from all_keys(below, (*above, name))


def _leaves(values: Mapping[str, Any], above: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _needed(field: FieldInfo | None) -> str:
    """The first clause of a key's meaning, as a hint."""
    clause = re.split(r"[;:.] |\.$", (field.description if field else None) or "")[0]
    return f" ({clause[:1].lower()}{clause[1:]})" if clause else ""


def _count_of_others(problems: Sequence[Any]) -> str:
    others = len({tuple(_locate(problem["loc"])[0]) for problem in problems}) - 1
    return f" (and {others} more {'problem' if others == 1 else 'problems'})" if others else ""


def _number(value: int | float) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return _kind(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    names = {dict: "a section", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(value), repr(value))
