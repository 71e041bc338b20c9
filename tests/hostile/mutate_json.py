"""JSON and plain bytes, bent: odd values anywhere, and text no decent program writes."""

from __future__ import annotations

import json
import random
from typing import Any

Changed = tuple[str, bytes]
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    3,
    10**9,
    2**63,
    2**70,
    10**99,
    1e308,
    -1e-320,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x00",
    "a\nb",
    "\x1b[31mred",
    "../../etc/passwd",
    "s" * 300,
    "s" * 5000,
    "\u202eabc",
    "NaN",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    {"class_name": "Lambda", "config": {}},
    [1] * 3000,
    [[[[[[[[1]]]]]]]],
    "__import__('os').system('true')",
)
_MARK = "@here@"


def damaged(rng: random.Random, content: bytes) -> Changed:
    """Bytes cut, flipped, overwritten, zeroed, doubled or foreign."""
    at = rng.randrange(1, max(len(content), 2))
    how = rng.randrange(7)
    if how == 0:
        return f"cut at {at}", content[:at]
    if how in (1, 2):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 3, 30])):
            place = rng.randrange(len(changed))
            changed[place] = changed[place] ^ 1 << rng.randrange(8) if how == 1 else rng.randrange(256)
        return ("bits flipped", "bytes overwritten")[how - 1], bytes(changed)
    if how == 3:
        length = rng.choice([16, 512, 4096])
        return f"{length} zeros at {at}", content[:at] + bytes(length) + content[at + length :]
    if how == 4:
        return f"a part doubled at {at}", content[:at] + content[max(0, at - 1000) :]
    if how == 5:
        return "foreign", rng.choice(
            [
                b"",
                b"\n",
                b"PK\x03\x04",
                b"PK\x05\x06" + bytes(18),
                b"\x89HDF\r\n\x1a\n",
                b"\x93NUMPY\x01\x00",
                b"<html>",
                b"\xef\xbb\xbf",
                b"\xff\xfe{\x00}\x00",
                b"\x80\x04K\x01.",
                bytes(999),
                b"{" * 100_000,
                b"[" * 100_000,
            ]
        )
    return "random bytes", rng.randbytes(rng.choice([1, 100, 20_000]))


def bent(rng: random.Random, data: Any) -> tuple[str, Any]:
    """JSON-like data with one odd value somewhere, a member missing or renamed, a list grown or shrunk."""
    data = json.loads(json.dumps(data))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(data)
    if not places:
        return "nothing", data
    # One of the kinds of places, so that a thousand weights do not hide the few names.
    kinds = sorted({str(key) if isinstance(node, dict) else "item" for node, key in places})
    kind = rng.choice(kinds)
    node, key = rng.choice([p for p in places if (str(p[1]) if isinstance(p[0], dict) else "item") == kind])
    how = rng.randrange(6)
    if how == 0:
        del node[key]
        return f"{key!r} missing", data
    if how == 1 and isinstance(node, list):
        node.extend([node[key]] * rng.choice([1, 1000]))
        return f"list grown at {key}", data
    if how == 2 and isinstance(node[key], int | float):
        node[key] = rng.choice([-node[key] - 1, node[key] * 1000003, node[key] + 0.5, node[key] * 10**30])
        return f"{key!r} is {node[key]}", data
    if how == 3 and isinstance(node, dict):
        node[rng.choice(["", "x" * 300, "a\nb", str(key).upper()])] = node.pop(key)
        return f"{key!r} renamed", data
    if how == 4 and isinstance(node[key], list | dict):
        node[key] = {str(i): v for i, v in enumerate(node[key])} if isinstance(node[key], list) else list(node[key])
        return f"{key!r} as the other container", data
    node[key] = rng.choice(ODD)
    return f"{key!r} is {str(node[key])[:40]!r}", data


def json_changed(rng: random.Random, data: Any) -> Changed:
    """JSON text: damaged, bent, or written as no decent program writes it."""
    text = json.dumps(data)
    how = rng.randrange(6)
    if how == 0:
        return damaged(rng, text.encode())
    if how == 1:
        return _odd_text(rng, data)
    done, changed = bent(rng, data)
    if rng.randrange(4) == 0:
        more, changed = bent(rng, changed)
        done = f"{done}; {more}"
    return done, json.dumps(changed).encode()


def _odd_text(rng: random.Random, data: Any) -> Changed:
    done, changed = bent(rng, data)
    name = done.split("'")[1] if "'" in done else "x"
    marked = json.dumps({**data, name: _MARK} if isinstance(data, dict) else [data, _MARK])
    inner = {
        "an integer of 401 digits": "1" + "0" * 400,
        "an integer of 5000 digits": "9" * 5000,
        "1e999": "1e999",
        "a long fraction": "0." + "3" * 4000,
        "nested 972 deep": "[" * 972 + "]" * 972,
        "NaN": "NaN",
        "nested 60 deep": "[" * 60 + "]" * 60,
        "nested 100000 deep": "[" * 100_000 + "]" * 100_000,
        "-Infinity": "-Infinity",
        "objects nested deep": '{"a":' * 2000 + "1" + "}" * 2000,
        "half a surrogate": '"\\ud800"',
        "a control": '"\x01"',
        "a name twice": f'1, "{name}": 2',
        "a raw tab": '"\t"',
        "a trailing comma": "1,",
        "hexadecimal": "0x10",
        "none": "",
        "a million empty lists": "[" + "[]," * 1_000_000 + "[]]",
    }
    how = rng.choice([*inner, "UTF-16", "UTF-8 with BOM", "Latin-1", "two documents", "only a number", "only a list"])
    if how in inner:
        return f"{name}: {how}", marked.replace(json.dumps(_MARK), inner[how]).encode()
    text = json.dumps(changed)
    whole = {
        "UTF-16": text.encode("utf-16"),
        "UTF-8 with BOM": b"\xef\xbb\xbf" + json.dumps(data).encode(),
        "Latin-1": text.replace("{", '{"\xe9": 1, ', 1).encode("latin-1", "replace"),
        "two documents": (text + text).encode(),
        "only a number": b"7",
        "only a list": b"[1, [2, {}]]",
    }
    return how, whole[how]
