"""Project X-Ray's database: what every bit of a 7-series configuration means, as Debian packages it."""

from __future__ import annotations

import os
from pathlib import Path

from flow.core.errors import ToolNotFound
from flow.parts.catalog import Part

VARIABLE = "NMP_PRJXRAY"
_REMEDY = "run scripts/install_nextpnr.sh, which sets it up in a private folder"
_FAMILIES = {"xc7z": "zynq7", "xc7a": "artix7", "xc7s": "spartan7"}


def locate() -> Path:
    """Folder of the database: NMP_PRJXRAY, the folder the set-up script fills, or the system's. Raises ToolNotFound."""
    override = os.environ.get(VARIABLE)
    if override:
        if (Path(override) / "zynq7").is_dir():
            return Path(override)
        raise ToolNotFound(f"{VARIABLE} is set to {override}, which holds no folder zynq7; correct or unset it")
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    places = (home / "nmp-flow" / "nextpnr" / "root" / "usr" / "share", Path("/usr/share"))
    for place in places:
        if (place / "prjxray" / "database" / "zynq7").is_dir():
            return place / "prjxray" / "database"
    looked = " and ".join(f"{place}/prjxray" for place in places)
    raise ToolNotFound(
        f"Project X-Ray's database was not found in {looked}; {_REMEDY}, or set {VARIABLE} to its folder"
    )


def family_folder(part: Part) -> str | None:
    """The database's folder for a part's family; None where it has none."""
    return _FAMILIES.get(part.device[:4])
