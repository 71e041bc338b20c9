"""The pages in a browser: axe finds nothing, light and dark; the script runs under the page's own security policy."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from html_samples import folded_report, report, sweep_page

from flow.report.html import pages

AXE_VERSION = "4.14.1"
ROOT = Path(__file__).resolve().parents[1]
_SCHEMES = {"light": 1, "dark": 0}
_RUN_AXE = """axe.run(document, {resultTypes: ["violations"]}).then((found) => {
  const told = found.violations.map((v) => ({rule: v.id, nodes: v.nodes.map((n) => n.html.slice(0, 200))}));
  document.body.innerHTML = "";
  const result = document.createElement("pre");
  result.id = "axe-result";
  result.textContent = JSON.stringify(told);
  document.body.append(result);
});"""


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if not found:
        pytest.skip("no Chromium found; install it (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe: NMP_AXE, an installed package, or fetched by npm."""
    for path in (Path(os.environ.get("NMP_AXE", "axe.min.js")), ROOT / "node_modules" / "axe-core" / "axe.min.js"):
        if path.is_file():
            return path.read_text()
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no npm to fetch axe-core with; install Node.js or set NMP_AXE to an axe.min.js")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"axe-core@{AXE_VERSION}"]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=1200)
    except (subprocess.SubprocessError, OSError) as exc:
        pytest.skip(f"npm could not fetch axe-core ({exc}); set NMP_AXE to an axe.min.js")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def browse(chromium: str, text: str, folder: Path, *options: str) -> str:
    """The document as it stands after its scripts have run."""
    (folder / "page.html").write_text(text)
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=60000", "--dump-dom", *options, (folder / "page.html").as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=1200).stdout


def all_pages(tmp_path: Path) -> dict[str, str]:
    wrong = {"hls": {"vectors": 10, "mismatches": 2, "seconds": 1.0, "first_mismatch": "vector 3, neuron 1"}}
    (tmp_path / "a.json").write_text(json.dumps(report()))
    (tmp_path / "b.json").write_text(json.dumps(report(status="mismatch", verification=wrong, latency_cycles=2)))
    return {
        "sweep": sweep_page(),
        "build": pages.page(report()),
        "folded": pages.page(folded_report()),
        "mismatch": pages.page(report(status="mismatch", verification=wrong, differences=["engine hls: vector 3"])),
        "comparison": pages.compare(tmp_path / "a.json", tmp_path / "b.json"),
    }


@pytest.mark.parametrize("scheme", _SCHEMES)
@pytest.mark.parametrize("kind", ["build", "folded", "mismatch", "comparison", "sweep"])
def test_axe_finds_nothing(chromium, axe, tmp_path, kind, scheme):
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", all_pages(tmp_path)[kind])  # lets axe in
    scripts = "".join(f"<script>{code}</script>" for code in (axe.replace("</script", r"<\/script"), _RUN_AXE))
    text = text.replace("<details>", "<details open>").replace("</body>", scripts + "</body>")
    shown = browse(chromium, text, tmp_path, f"--blink-settings=preferredColorScheme={_SCHEMES[scheme]}")
    result = re.search(r'<pre id="axe-result">(.*?)</pre>', shown, re.S)
    assert result, shown[-2000:]
    assert result[1] == "[]"


def test_script_runs_under_the_security_policy(chromium, tmp_path):
    """The script takes the Tab stop from tables that fit; a wrong digest in the policy would leave it."""
    text = all_pages(tmp_path)["build"]
    assert text.count('class="scroll" role="region" tabindex="0"') > 5
    wide = browse(chromium, text, tmp_path, "--window-size=1400,900")
    assert wide.count('class="scroll" role="region" tabindex="-1"') > 5


def test_foreign_scripts_are_refused(chromium, tmp_path):
    text = all_pages(tmp_path)["build"].replace("</body>", "<script>document.title = 'taken over'</script></body>")
    assert "taken over</title>" not in browse(chromium, text, tmp_path)
