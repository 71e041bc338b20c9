"""YAML, XML and the text of reports, bent."""

from __future__ import annotations

import random

from hostile.mutate_json import Changed, damaged

_SCALARS = (
    "2024-13-45",
    "2024-02-30 25:61:61",
    "0x",
    "1_",
    "!!int x",
    "!!float abc",
    "!!binary '*'",
    "!!timestamp x",
    "!!python/object/apply:os.system ['true']",
    "!!python/name:os.system ''",
    "!foreign 3",
    "190:20:30",
    "1e400",
    "9" * 5000,
    "1" + ":59" * 80,
    ".nan",
    "-.inf",
    "~",
    "''",
    '"\\ud800"',
    "'x\0'",
    "[]",
    "{}",
    "? [a]",
    "&a [1, 2]",
    "*a",
    "<<: {a: 1}",
    "!!set {a}",
    "!!omap [a: 1]",
    "{[1]: 2}",
    "0o777",
    "+.5",
    "yes",
    "1.5",
    "-3",
)


def yaml_changed(rng: random.Random, text: str) -> Changed:
    """YAML with a scalar that does not convert, tags, aliases, deep nesting, odd keys, or plain damage."""
    lines = text.splitlines()
    place = rng.choice([i for i, line in enumerate(lines) if ":" in line])
    how = rng.randrange(6)
    if how == 0:
        return damaged(rng, text.encode())
    if how == 1:
        bombs = {
            "aliases that double": "a: &a [1,1]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(24)),
            "nested lists": "[" * 5000,
            "nested blocks": "".join("  " * i + "a:\n" for i in range(500)),
            "two documents": f"{text}\n---\n{text}",
            "an endless key": "? " * 5000,
            "flow nested": "{a: " * 400,
            "a list of itself": "&a [*a]",
            "a tab": "a:\n\t- b",
            "a value of 100 kB": "Model: {Strategy: " + "x" * 100_000 + "}",
            "UTF-16": text,
            "2 MB": "#" * (2 << 20),
            "control": "a: \x07",
        }
        name = rng.choice(sorted(bombs))
        return name, bombs[name].encode("utf-16" if name == "UTF-16" else "utf-8")
    key, _, _ = lines[place].partition(":")
    value = rng.choice(_SCALARS)
    if how == 2:
        lines[place] = (
            " " * (len(key) - len(key.lstrip()))
            + f"{rng.choice(['x', '3', 'null', '[a]', 'x' * 300])}:"
            + lines[place][len(key) + 1 :]
        )
        return f"line {place}: another key", "\n".join(lines).encode(errors="replace")
    if how == 3:
        lines.insert(place, lines[place])
        return f"line {place} twice", "\n".join(lines).encode()
    lines[place] = f"{key}: {value}"
    if how == 4:  # what stood below the key goes
        depth = len(key) - len(key.lstrip())
        end = next(
            (i for i in range(place + 1, len(lines)) if len(lines[i]) - len(lines[i].lstrip()) <= depth), len(lines)
        )
        del lines[place + 1 : end]
    return f"line {place}: {value[:40]!r}", "\n".join(lines).encode(errors="replace")


def text_changed(rng: random.Random, text: str) -> Changed:
    """A report, text or XML: lines and cells bent, entities declared, parts repeated without end, or plain damage."""
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    how = rng.randrange(6)
    if how == 0:
        return damaged(rng, text.encode())
    if how == 1 and "<" in text[:200]:
        return _xml_changed(rng, text)
    if how == 1:
        filled = rng.choice(
            ["+-+\n", "| a |\n", "Latency ", "== Vitis HLS Report for '", "| Tool Version : Vivado v.", "\n"]
        )
        return f"{filled[:12]!r} for 8 MB at {place}", "\n".join(
            [*lines[:place], filled * ((8 << 20) // len(filled)), *lines[place:]]
        ).encode()
    if how == 2:
        number = rng.choice(
            ["9" * 400, "-1", "1e999", "nan", "\u0661", "0x1f", "1,000", "", "\x1b[31m", "1" * 18, "\ud800"]
        )
        digits = [i for i, line in enumerate(lines) if any(c.isdigit() for c in line)]
        at = rng.choice(digits)
        first = next(i for i, c in enumerate(lines[at]) if c.isdigit())
        lines[at] = lines[at][:first] + number + lines[at][first + 1 :]
        return f"line {at}: {number[:20]!a}", "\n".join(lines).encode(errors="surrogatepass")
    if how == 3:
        lines[place:place] = lines[max(place - 5, 0) : place] * rng.choice([1, 2000])
        return f"lines before {place} repeated", "\n".join(lines).encode()
    if how == 4:
        del lines[place : place + rng.choice([1, 5])]
        return f"lines at {place} missing", "\n".join(lines).encode()
    lines[place] = rng.choice(["x" * 5_000_000, "\0" * 100, lines[place][::-1], "|" * 3000, "\u2028" * 50])
    return f"line {place} is another", "\n".join(lines).encode()


def _xml_changed(rng: random.Random, text: str) -> Changed:
    body = text[text.index("<", text.find("?>") + 2 if "?>" in text[:200] else 0) :]
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol"}">' for i in range(12))
    wholes = {
        "a billion laughs": f'<?xml version="1.0"?><!DOCTYPE profile [{laughs}]>' + body.replace(">", ">&l11;", 1),
        "an outside entity": '<!DOCTYPE profile [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + body.replace(">", ">&x;", 1),
        "a spaced doctype": f'<?xml version="1.0"?>\n<!DOCTYPE\nprofile []>{body}',
        "nested": "<profile>" + "<a>" * 50_000,
        "another encoding": f'<?xml version="1.0" encoding="utf-7"?>{body}',
        "100000 attributes": body.replace(">", " " + " ".join(f'a{i}="1"' for i in range(100_000)) + ">", 1),
        "not closed": body[: body.rindex("</")],
        "an attribute twice": body.replace(">", ' a="1" a="2">', 1),
    }
    name = rng.choice(sorted(wholes))
    return name, wholes[name].encode()
