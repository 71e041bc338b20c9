"""The import order of the house is kept: nothing reaches upwards, Keras is met in one place."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("keras", "tensorflow", "jax", "qkeras")


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
    return found


def modules(folder: str) -> dict[str, Path]:
    files = (ROOT / folder).rglob("*.py")
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in files}


def reaches(name: str, *prefixes: str) -> bool:
    return any(name == p or name.startswith(p + ".") for p in prefixes)


def test_training_never_imports_the_flow():
    for name, path in modules("keras_models").items():
        assert not [i for i in imports(path) if reaches(i, "flow", "sim")], name


def test_only_extract_imports_keras():
    for name, path in modules("flow").items():
        if not reaches(name, "flow.extract"):
            assert not [i for i in imports(path) if reaches(i, *HEAVY)], name


ORDER = [
    ["flow.errors", "flow.chain"],
    ["flow.untrusted"],
    ["flow.integers"],
    ["flow.fixed"],
    ["flow.ir", "flow.graph"],
    ["flow.ranges"],
    ["flow.check", "flow.evaluate", "flow.cost", "flow.timing", "flow.bench", "flow.luts"],
    ["flow.passes"],
    ["flow.adders", "flow.vectors", "flow.sta", "flow.slices", "flow.parts", "flow.textproof"],
    ["flow.netlist"],
    ["flow.usage", "flow.usage_folded"],
    ["flow.emit"],
    ["flow.simulate", "flow.route"],
    ["flow.remarks", "flow.labels", "flow.saturation", "flow.dataset"],
    ["flow.pipeline"],
    ["flow.stages", "flow.routing", "flow.counting", "flow.netlist_engine", "flow.text_engine"],
    ["flow.engines", "flow.results", "flow.console", "flow.html"],
    ["flow.outcome"],
    ["flow.explore"],
    ["flow.build", "flow.sweep"],
]


def test_imports_go_one_way():
    rank = {prefix: level for level, row in enumerate(ORDER) for prefix in row}

    def level(name: str) -> int | None:
        return next((rank[p] for p in rank if reaches(name, p)), None)

    for name, path in modules("flow").items():
        own = level(name)
        for target in imports(path):
            other = level(target)
            if own is not None and other is not None and not reaches(target, name):
                assert other <= own, f"{name} imports {target}"


def test_the_proof_of_the_text_knows_nothing_of_its_emission():
    for name, path in modules("flow").items():
        if reaches(name, "flow.textproof"):
            assert not [i for i in imports(path) if reaches(i, "flow.emit", "flow.timing", "flow.tools")], name


def test_tools_and_reports_know_no_design():
    above = ("flow.ir", "flow.extract", "flow.pipeline", "flow.engines", "flow.build")
    for name, path in modules("flow").items():
        if reaches(name, "flow.tools", "flow.reports"):
            assert not [i for i in imports(path) if reaches(i, *above)], name


def test_the_gate_is_the_only_reader_of_files_from_outside():
    """JSON, YAML, XML and arrays are taken apart in two modules; the reader of models runs in a process of its own."""
    gates = ("flow.untrusted", "keras_models.untrusted", "flow.modelread")
    own = {"flow.tools.xls_run"}  # reads the job that its parent wrote a moment before
    words = re.compile(r"\bjson\.loads?\(|\bnp\.load\(|safe_load|fromstring\(|ElementTree\.parse|zipfile\.ZipFile\(")
    for name, path in {**modules("flow"), **modules("keras_models")}.items():
        found = words.findall(path.read_text())
        assert not found or name in gates or name in own or found == ALLOWED.get(name), (name, found)


ALLOWED = {  # what the project's own text is parsed with
    "flow.steps": ["json.loads("],
    "flow.shell": ["json.loads("],
    "flow.stages": ["json.loads("],
    "flow.outcome": ["json.loads("],
    "flow.explore.space": ["json.loads("],
    "flow.explore.tables": ["json.loads("],
    "keras_models.preprocess": ["zipfile.ZipFile(", "zipfile.ZipFile("],  # of a file opened by the gate, and a new one
}


def test_help_needs_no_heavy_import():
    for name in ("flow.build", "flow.sweep", "flow.errors", "flow.plan"):
        path = modules("flow")[name]
        assert not [
            i for i in imports(path, lazily=False) if reaches(i, *HEAVY, "numpy", "hls4ml", "optuna", "distributed")
        ], name
