"""The house as it stands: ``python -m benchmarks.house [--dot]`` prints packages, their sizes and who imports whom.

A package is a folder of ``flow`` or ``keras_models``, or a module right in one of them; ``sim`` and ``hls_templates``
are one each. An arrow says that some module of a package imports one of the
other, counted in modules that do. ``--dot`` writes the arrows for Graphviz.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("flow", "keras_models", "sim", "hls_templates")


def imports(path: Path, lazily: bool = True) -> set[str]:
    """Names of modules a file imports; without ``lazily`` only those imported when it is loaded."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if lazily else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)  # which may be modules
    return found


def modules(folder: str) -> dict[str, Path]:
    """The Python modules in a folder of the project, by dotted name."""
    files = (ROOT / folder).rglob("*.py")
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in files}


def package(name: str) -> str:
    """The package of a module: two levels deep in ``flow`` and ``keras_models``, else the folder."""
    parts = name.split(".")
    return ".".join(parts[:2] if parts[0] in ("flow", "keras_models") else parts[:1])


def arrows(known: Mapping[str, Path]) -> dict[str, Counter[str]]:
    """By package the packages that it imports, each with the number of its modules that do."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, path in known.items():
        own = package(name)
        targets = {package(target) for target in imports(path) if target in known}
        found[own].update(targets - {own})
    return dict(found)


def depths(graph: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """How many packages lie at most below each; raises ValueError where some import each other in a circle."""
    found: dict[str, int] = {}
    while len(found) < len(graph):
        ready = {p: targets for p, targets in graph.items() if p not in found and targets.keys() <= found.keys()}
        if not ready:
            raise ValueError(f"a circle of imports: {', '.join(sorted(graph.keys() - found.keys()))}")
        found |= {p: max((found[t] + 1 for t in targets), default=0) for p, targets in ready.items()}
    return found


def main() -> None:
    """Print the house."""
    parser = argparse.ArgumentParser(description="Packages, their sizes and who imports whom.")
    parser.add_argument("--dot", action="store_true", help="the arrows for Graphviz")
    dot = parser.parse_args().dot
    known = {name: path for folder in FOLDERS for name, path in modules(folder).items()}
    graph = arrows(known)
    if dot:
        lines = [f'  "{own}" -> "{other}" [label={n}];' for own in sorted(graph) for other, n in graph[own].items()]
        print("digraph house {\n  rankdir=RL;\n" + "\n".join(lines) + "\n}")
        return
    count = Counter(package(name) for name in known)
    lines_of: Counter[str] = Counter()
    for name, path in known.items():
        lines_of[package(name)] += len(path.read_text().splitlines())
    print(f"{'package':<24}{'modules':>8}{'lines':>8}  imports (modules that do)")
    depth = depths(graph)
    for own in sorted(graph, key=lambda p: (depth[p], p)):
        below = ", ".join(f"{other} {n}" for other, n in sorted(graph[own].items()))
        print(f"{own:<24}{count[own]:>8}{lines_of[own]:>8}  {below}")
    print(f"{'all':<24}{sum(count.values()):>8}{sum(lines_of.values()):>8}  {sum(map(len, graph.values()))} arrows")


if __name__ == "__main__":
    main()
