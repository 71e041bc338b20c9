"""What a build may remove or replace: its own files, known from its record, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from strategies import random_design

from flow.build.state import Options, finish
from flow.core.design import to_json
from flow.core.errors import NotOurs
from flow.files import plan
from flow.files.ownership import files_below, load, refuse_foreign
from flow.files.steps import build_lock
from flow.parts.catalog import resolve
from keras_models.training.output import InTheWay, _replace_front, check_place

ROOT = Path(__file__).resolve().parents[1]
FILES, FOLDERS = ("report.json",), ("rtl", "synth", "sim")
RTL = {"a.v": "module a;\n", "files.f": "a.v\n"}


def command(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "flow.build", "--engines", "integer", "--vectors", "20", *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip


def contents(folder):
    """Everything below a folder, links and empty folders as well."""
    found = {}
    for path in sorted(folder.rglob("*")):
        what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = what
    return found


def write_like_a_build(root):
    """What a build writes, in short: files of its own, a mirrored folder, a folder that programs fill."""
    with build_lock(root, "build", FILES, FOLDERS):
        plan.mirror(RTL, root / "rtl")
        plan.write_file(plan.fresh_folder(root / "synth") / "synth.ys", "synth")
        for name in ("netlist.v", "netlist.json", "yosys.log"):
            (root / "synth" / name).write_text("made by yosys")
        plan.claim_tree(plan.fresh_folder(root / "sim" / "verilator" / "model") / "model")
        (root / "sim" / "verilator" / "model" / "model").mkdir()
        (root / "sim" / "verilator" / "model" / "model" / "Vtop.h").write_text("made by Verilator")
        plan.write_file(root / "report.json", "{}")


@pytest.fixture(scope="module")
def design_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("design") / "d.json"
    path.write_text(to_json(finish(random_design(12, max_layers=2))))
    return path


@pytest.fixture(scope="module")
def real(design_file, tmp_path_factory):
    """A finished build, by the command, in a folder that has other things in it."""
    out = tmp_path_factory.mktemp("real")
    (out / "notes.txt").write_text("mine")
    (out / "shell").mkdir()
    (out / "shell" / "mine.sh").write_text("mine: no build without --shell needs this folder")
    done = command("--model", design_file, "--out", ".", cwd=out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("mine", ["rtl/mine.v", "synth/deep/mine.tcl", "sim/x", "report.json", ".state/mine"])
def test_a_folder_with_foreign_files_in_the_way_is_refused_and_left_as_it_was(mine, tmp_path):
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(NotOurs, match=f"{Path(mine).parts[0]}.*move it away"):
        write_like_a_build(tmp_path)
    assert contents(tmp_path) == before


def test_the_command_refuses_in_one_line_before_it_works(design_file, tmp_path):
    own = [tmp_path / name for name in ("rtl/mine.v", "synth/mine.tcl", "design.json")]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        before = contents(tmp_path)
        done = command("--model", design_file, "--out", tmp_path)
        assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
        assert contents(tmp_path) == before
        path.unlink()


@pytest.mark.parametrize("link", ["rtl", "synth", "sim", ".state", "report.json"])
def test_a_link_in_the_way_is_refused_and_not_followed(link, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "precious.v").write_text("mine")
    root = tmp_path / "out"
    root.mkdir()
    (root / link).symlink_to(tmp_path / "far" / ("precious.v" if "." in link[1:] else ""))
    before = contents(tmp_path)
    with pytest.raises(NotOurs):
        write_like_a_build(root)
    assert contents(tmp_path) == before


def test_links_inside_an_own_folder_are_never_followed(tmp_path):
    far, root = tmp_path / "far", tmp_path / "out"
    far.mkdir()
    (far / "netlist.v").write_text("mine")
    write_like_a_build(root)
    (root / "synth" / "netlist.v").unlink()
    (root / "synth" / "netlist.v").symlink_to(far / "netlist.v")
    shutil.rmtree(root / "sim" / "verilator" / "model" / "model")
    (root / "sim" / "verilator" / "model" / "model").symlink_to(far)
    (root / "synth" / "far").symlink_to(far)
    with build_lock(root, "build", FILES, FOLDERS):
        plan.fresh_folder(root / "synth")
        assert not (root / "synth" / "netlist.v").is_symlink() and (root / "synth" / "far").is_symlink()
        with pytest.raises(NotOurs):
            plan.fresh_folder(root / "sim" / "verilator" / "model" / "model")
    assert (far / "netlist.v").read_text() == "mine"


def test_what_a_user_lays_beside_our_files_stays(tmp_path):
    write_like_a_build(tmp_path)
    mine = [tmp_path / n for n in ("rtl/mine.v", "synth/mine.tcl", "synth/deep/netlist.v", "sim/mine/result.json")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with build_lock(tmp_path, "build", FILES, FOLDERS):
        plan.mirror({"b.v": "module b;\n"}, tmp_path / "rtl")
        plan.fresh_folder(tmp_path / "synth")
        plan.remove(tmp_path / "sim")
        with pytest.raises(NotOurs, match=r"mine\.v"):
            plan.mirror({"b.v": "", "mine.v": "ours"}, tmp_path / "rtl")
    assert all(path.read_text() == "mine" for path in mine)
    assert {p.name for p in (tmp_path / "rtl").iterdir()} == {"b.v", "mine.v"}
    assert {p.name for p in (tmp_path / "synth").iterdir()} == {"mine.tcl", "deep"}
    assert {p.name for p in (tmp_path / "sim").iterdir()} == {"mine"}


def test_what_a_kill_left_is_removed_and_a_users_file_beside_it_is_not(tmp_path):
    """A build killed while Yosys ran: nothing of Yosys' files was recorded, the folder was."""
    write_like_a_build(tmp_path)
    (tmp_path / "rtl" / ".a.v.abcd_123").write_text("half of a file")
    (tmp_path / "rtl" / ".mine.v.abcd_123").write_text("mine")
    (tmp_path / ".report.json.abcd_123").write_text("half of a file")
    (tmp_path / "synth" / "mine.log.txt").write_text("mine")
    with build_lock(tmp_path, "build", FILES, FOLDERS):
        plan.mirror(RTL, tmp_path / "rtl")
        plan.fresh_folder(tmp_path / "synth")
        plan.fresh_folder(tmp_path / "sim" / "verilator" / "model")
    left = {n for n in files_below(tmp_path) if not n.startswith(".state")}
    assert left == {"report.json", "rtl/a.v", "rtl/files.f", "rtl/.mine.v.abcd_123", "synth/mine.log.txt"}


def test_a_failed_first_build_leaves_only_what_was_there(design_file, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text(design_file.read_text().replace('"layers"', '"lairs"'))
    out = tmp_path / "out"
    assert command("--model", broken, "--out", out).returncode == 1 and not out.exists()
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert command("--model", broken, "--out", out).returncode == 1
    assert contents(out) == {"notes.txt": b"mine"}


def test_a_folder_of_another_kind_is_refused(tmp_path):
    write_like_a_build(tmp_path)
    with pytest.raises(NotOurs, match="holds a build"):
        refuse_foreign(tmp_path, "sweep")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "", "files": 1, "folders": [], "trees": []}', "\xff",
                                  '{"kind": "", "files": ["../precious"], "folders": [], "trees": []}'])  # fmt: skip
def test_a_damaged_record_is_told_and_nothing_removed(text, tmp_path):
    write_like_a_build(tmp_path)
    (tmp_path / ".state" / "own.json").write_text(text, encoding="latin-1")
    before = contents(tmp_path)
    with pytest.raises(NotOurs, match="damaged"):
        write_like_a_build(tmp_path)
    assert contents(tmp_path) == before


def test_a_real_build_owns_all_it_made_and_nothing_else(real):
    own = load(real)
    mine = {name for name in files_below(real) if not own.holds(name)}
    assert mine == {"notes.txt", "shell/mine.sh"}


def test_a_build_from_before_there_was_a_record_goes_on(real, design_file, tmp_path):
    old = tmp_path / "old"
    later = ("own.json", "shell", "notes.txt", "netproof", "build.yml")  # what builds then did not make
    shutil.copytree(real, old, ignore=shutil.ignore_patterns(*later))
    known = {name for name in files_below(old) if not name.startswith(".state")}
    (old / "rtl" / "mine.v").write_text("mine")
    own = load(old)
    assert {name for name in known if not own.holds(name)} == set() and not own.holds("rtl/mine.v")
    done = command("--model", design_file, "--out", old)
    assert done.returncode == 0 and done.stdout.count("unchanged") >= 2, done.stderr + done.stdout
    assert (old / "rtl" / "mine.v").read_text() == "mine"


def test_parts_of_a_build_may_be_removed_by_hand(real, design_file, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(real, out)
    before = contents(out / "rtl")
    for name in ("rtl", "synth"):
        shutil.rmtree(out / name)
    (out / "report.html").unlink()
    assert command("--model", design_file, "--out", out).returncode == 0
    assert contents(out / "rtl") == before and (out / "synth" / "netlist.v").is_file()


def test_only_folders_that_are_asked_for_are_in_the_way(tmp_path):
    options = Options(
        model=tmp_path, part=resolve("xc7z020"), out=tmp_path, engines=("integer",), architecture="parallel"
    )
    assert set(options.places()[1]) == {"rtl", "sim", "synth", "netproof"}


def test_training_replaces_only_what_a_training_wrote(tmp_path):
    out = tmp_path / "m.h5"
    check_place(out, front=True, pictures=True)
    (tmp_path / "m.train.json").write_text('{"metric": "accuracy", "method": "nmp", "epochs": 1}')
    (tmp_path / "m.history.csv").write_text("epoch,loss\n1,2\n")
    for folder, name in (("m.front", "luts_000012.h5"), ("m.pictures", "front.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("ours")
    (tmp_path / "m.front" / "front.json").write_text('[{"file": "luts_000012.h5"}]')
    check_place(out, front=True, pictures=True)
    for name in ("m.train.json", "m.history.csv", "m.front/mine.h5", "m.front/front.json"):
        path = tmp_path / name
        kept = path.read_text() if path.exists() else None
        path.write_text('{"mine": 1}')
        before = contents(tmp_path)
        with pytest.raises(InTheWay, match="was not written by a training"):
            check_place(out, front=True, pictures=True)
        assert contents(tmp_path) == before
        path.unlink() if kept is None else path.write_text(kept)
    (tmp_path / "m.train.json").unlink()
    with pytest.raises(InTheWay, match="pictures"):
        check_place(out, front=True, pictures=True)
    check_place(out, front=False, pictures=False)


def test_a_new_front_leaves_a_users_file_that_came_meanwhile(tmp_path):
    old, fresh = tmp_path / "m.front", tmp_path / "fresh"
    for folder, names in ((old, ("luts_1.h5", "luts_2.h5", "mine.h5")), (fresh, ("luts_2.h5", "luts_3.h5"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(folder.name)
    (old / "front.json").write_text('[{"file": "luts_1.h5"}, {"file": "luts_2.h5"}, {"file": "../precious"}]')
    (fresh / "front.json").write_text("[]")
    (tmp_path / "precious").write_text("mine")
    _replace_front(old, fresh)
    assert {p.name: p.read_text() for p in old.iterdir()} == {
        "luts_2.h5": "fresh", "luts_3.h5": "fresh", "mine.h5": "m.front", "front.json": "[]",
    }  # fmt: skip
    assert (tmp_path / "precious").read_text() == "mine"


def test_pages_and_configurations_replace_no_users_file(tmp_path, real):
    mine = tmp_path / "hls.yml"
    mine.write_text("edited: 1\n")
    asked = (
        ("flow.hls_config", "--model", real / "design.json", "--out", mine),
        ("flow.report", "--compare", real, real, "--out", mine),
        ("flow.hls_stock", "--model", real / "design.json", "--out", tmp_path),
        ("flow.sweep", "--data", "digits", "--out", tmp_path.parent, "--name", tmp_path.name),
    )
    (tmp_path / "study.db").write_text("mine")
    before = contents(tmp_path)
    for module, *arguments in asked:
        done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], cwd=tmp_path, check=False,
                              env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)  # fmt: skip
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1, (module, done.stderr)
        assert contents(tmp_path) == before, module
