"""Writes a dictionary as TOML: tables, arrays of tables, and plain values."""

import json


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(str(value))


def _is_table(value):
    return isinstance(value, dict)


def _is_tables(value):
    return isinstance(value, list) and value and all(map(_is_table, value))


def dumps(table, path=()):
    lines = [f"{key} = {_value(value)}" for key, value in table.items()
             if not _is_table(value) and not _is_tables(value)]
    for key, value in table.items():
        name = ".".join((*path, key))
        if _is_table(value):
            lines += ["", f"[{name}]", dumps(value, (*path, key))]
        elif _is_tables(value):
            for item in value:
                lines += ["", f"[[{name}]]", dumps(item, (*path, key))]
    return "\n".join(lines) + ("\n" if not path else "")
