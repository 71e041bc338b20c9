"""The import order of the house is kept: nothing reaches upwards, Keras is met in one place."""

import re
from pathlib import Path

import pytest

from benchmarks.house import ROOT, arrows, depths, imports, modules

HEAVY = ("keras", "tensorflow", "jax", "qkeras")


def reaches(name: str, *prefixes: str) -> bool:
    return any(name == p or name.startswith(p + ".") for p in prefixes)


def test_training_never_imports_the_flow():
    for name, path in modules("keras_models").items():
        assert not [i for i in imports(path) if reaches(i, "flow", "sim")], name


def test_only_extract_imports_keras():
    for name, path in modules("flow").items():
        if not reaches(name, "flow.extract"):
            assert not [i for i in imports(path) if reaches(i, *HEAVY)], name


# From the ground up: a package imports those in rows before its own, and itself. Every module stands in one of them.
ORDER = [
    "hls_templates sim keras_models.untrusted keras_models.digits keras_models.optional keras_models.version"
    " keras_models.interrupts",
    "keras_models.command_line",
    "flow.core", "flow.files", "flow.parts flow.bench", "flow.parallel", "flow.folded flow.tools flow.tool_reports",
    "flow.streamed",
    "keras_models.data", "keras_models.quantizers", "keras_models.layers", "keras_models.loop", "keras_models.methods",
    "keras_models.training", "keras_models keras_models.train", "keras_models.estimators keras_models.quantize",
    "flow.extract flow.emit flow.report", "flow.netlist", "flow.verify flow.proof", "flow.bitstream", "flow.build",
    "flow.hls flow.sweep",
    "flow.api flow.errors", "flow flow.hls_config flow.hls_stock flow.family", "flow.nmp",
]  # fmt: skip
RANK = {prefix: level for level, row in enumerate(ORDER) for prefix in row.split()}


def home(name: str) -> str | None:
    """The longest entry of the order that a module belongs to; ``flow`` and ``keras_models`` are themselves alone."""
    found = [p for p in RANK if name == p or (name.startswith(p + ".") and p not in ("flow", "keras_models"))]
    return max(found, key=len) if found else None


def all_modules() -> dict[str, Path]:
    return {n: p for folder in ("flow", "keras_models", "sim", "hls_templates") for n, p in modules(folder).items()}


def test_every_module_has_its_place():
    assert not [name for name in all_modules() if home(name) is None]


def test_imports_go_one_way():
    known = all_modules()
    for name, path in known.items():
        for target in imports(path):
            other = home(target) if target in known else None
            if other is not None and other != home(name):
                assert RANK[other] < RANK[home(name)], f"{name} imports {target}"


def test_no_packages_import_each_other_in_a_circle():
    """Inside a package too: of its folders and modules, none reaches itself through others."""
    known = all_modules()
    for package, path in known.items():
        if path.name != "__init__.py":
            continue
        inside = {n: n[len(package) + 1 :].split(".")[0] for n in known if n.startswith(package + ".")}
        arrows: dict[str, set[str]] = {child: set() for child in inside.values()}
        for name, child in inside.items():
            for target in imports(known[name], lazily=False):
                if target in inside and inside[target] != child:
                    arrows[child].add(inside[target])
        while free := {child for child, targets in arrows.items() if not targets & arrows.keys()}:
            arrows = {child: targets for child, targets in arrows.items() if child not in free}
        assert not arrows, f"{package}: {arrows}"


def test_the_proof_of_the_text_knows_nothing_of_its_emission():
    for name, path in modules("flow").items():
        if reaches(name, "flow.proof.text"):
            above = ("flow.emit", "flow.parallel.pipelining", "flow.tools")
            assert not [i for i in imports(path) if reaches(i, *above)], name


def test_tools_and_reports_know_no_design():
    above = ("flow.core.design", "flow.extract", "flow.build")
    for name, path in modules("flow").items():
        if reaches(name, "flow.tools", "flow.tool_reports"):
            assert not [i for i in imports(path) if reaches(i, *above)], name


def test_the_gate_is_the_only_reader_of_files_from_outside():
    """JSON, YAML, XML and arrays are taken apart in two modules; the reader of models runs in a process of its own."""
    gates = ("flow.core.untrusted", "keras_models.untrusted", "flow.extract.model_reader")
    own = {"flow.tools.xls_run"}  # reads the job that its parent wrote a moment before
    words = re.compile(r"\bjson\.loads?\(|\bnp\.load\(|safe_load|fromstring\(|ElementTree\.parse|zipfile\.ZipFile\(")
    for name, path in {**modules("flow"), **modules("keras_models")}.items():
        found = words.findall(path.read_text())
        assert not found or name in gates or name in own or found == ALLOWED.get(name), (name, found)


ALLOWED = {  # what the project's own text is parsed with
    "flow.files.steps": ["json.loads("],
    "flow.build.engines.shell": ["json.loads("],
    "flow.build.stages": ["json.loads("],
    "flow.build.outcome": ["json.loads("],
    "flow.sweep.space": ["json.loads("],
    "flow.sweep.tables": ["json.loads("],
    "keras_models.data.preprocess": ["zipfile.ZipFile("] * 2,  # of a file opened by the gate, and a new one
}


def test_help_needs_no_heavy_import():
    for name in ("flow.build.command", "flow.sweep.command", "flow.core.errors", "flow.files.plan"):
        path = modules("flow")[name]
        assert not [
            i for i in imports(path, lazily=False) if reaches(i, *HEAVY, "numpy", "hls4ml", "optuna", "distributed")
        ], name


def test_the_graph_of_packages_has_no_circle_and_one_is_found():
    graph = arrows(all_modules())
    assert depths(graph)["flow.core"] < depths(graph)["flow.emit"] < depths(graph)["flow.build"]
    with pytest.raises(ValueError, match=r"a circle of imports: flow\.core, flow\.emit"):
        depths({"flow.core": {"flow.emit": 1}, "flow.emit": {"flow.core": 2}, "sim": {}})


def paths_named(text: str) -> set[str]:
    """Files and folders of the project that a page names in backquotes; a bare name lies beside the one before it."""
    found, beside = set(), Path()
    for name in re.findall(r"`([\w./-]+)`", text):
        if re.match(r"(flow|keras_models|sim|tests|benchmarks|scripts|hls_templates|docs)/", name):
            found.add(name)
            beside = Path(name) if name.endswith("/") else Path(name).parent
        elif re.fullmatch(r"\w+\.py", name):
            found.add((beside / name).as_posix())
    return found


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/extend.md", "docs/files.md", "CONTRIBUTING.md"])
def test_every_path_that_a_page_names_exists(page):
    named = paths_named((ROOT / page).read_text())
    assert not [name for name in sorted(named) if not (ROOT / name).exists()], page
    assert paths_named("`flow/core/design.py`, `gone.py`") == {"flow/core/design.py", "flow/core/gone.py"}
