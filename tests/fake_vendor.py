"""AMD's tools for tests: programs that record how they were called and leave reports where the real ones do.

FAKE_STEP names the step that misbehaves and FAKE_HOW how: ``fails`` (exit status 1), ``lies`` (an error line, exit
status 0), ``silent`` (nothing written), ``killed`` (a signal, half a report written), ``cosim`` (verdict Fail).
"""

from __future__ import annotations

from pathlib import Path

from report_samples import Figures, cosim_rpt, csynth_rpt, csynth_xml, timing_rpt, utilization_rpt

FIGURES = Figures(latency=(6, 6), interval=(1, 1), lut=431, ff=207, dsp=0, tiles_x2=0, uram=0, slack=1.234)
PROGRAM = """#!/bin/sh
name=$(basename "$0"); samples=$(dirname "$0")/samples; top=tiny
steps=""
case "$name $*" in
    *vivado_vsynth.tcl) steps=vsynth;;
    *vivado_impl.tcl) steps=impl;;
    *--csim) steps=csim;;
    *--cosim) steps=cosim;;
    *--package) steps=export;;
    "v++ -c"*) steps=synth;;
    vivado_hls*) for word in $3; do case $word in *=1) steps="$steps ${word%=1}";; esac; done;;
    *) steps=$(sed -n 's/^ *\\([a-z_]*\\) 1$/\\1/p' build_opt.tcl);;
esac
at=${top}_prj/solution1
[ "$(echo "$*" | grep -c work_dir)" = 1 ] && at=${top}_prj/hls
put() { mkdir -p "$(dirname "$2")"; cp "$samples/$1" "$2"; }
for step in $steps; do
    echo "$step: $name $*" >> calls.txt
    [ -e hls_config.cfg ] && cp hls_config.cfg config_of_$step
    echo "INFO: [HLS 200-10] Running '$name'"
    how=; [ "$step" = "$FAKE_STEP" ] && how=$FAKE_HOW
    case $how in
        silent) continue;;
        killed) mkdir -p $at/syn/report
            head -c 90 "$samples/csynth.xml" > $at/syn/report/${top}_csynth.xml
            kill -9 $$;;
    esac
    case $step in
        csim) mkdir -p tb_data; echo done > tb_data/csim_results.log;;
        synth) put csynth.xml $at/syn/report/${top}_csynth.xml; put csynth.rpt $at/syn/report/${top}_csynth.rpt
            for f in "$samples"/rtl/*; do put rtl/$(basename $f) $at/syn/verilog/$(basename $f); done;;
        cosim) put cosim.rpt $at/sim/report/${top}_cosim.rpt
            [ "$how" = cosim ] && sed -i s/Pass/Fail/ $at/sim/report/${top}_cosim.rpt;;
        export) put cosim.rpt $at/impl/ip/component.xml;;
        vsynth) put vsynth.rpt vivado_synth.rpt; put timing.rpt vivado_synth_timing.rpt; echo > vivado_synth.dcp;;
        impl) put impl.rpt vivado_impl.rpt; put timing.rpt vivado_impl_timing.rpt; echo > vivado_impl.dcp;;
    esac
    [ "$how" = lies ] && echo "ERROR: [HLS 200-70] it went wrong"
    [ "$how" = fails ] && { echo "ERROR: [HLS 200-70] it went wrong"; exit 1; }
done
exit 0
"""


def install(folder: Path, *names: str, xml: str = "", rtl: dict[str, str] | None = None) -> None:
    """Put fakes of these programs into ``folder``, with the reports and RTL that they leave."""
    samples = folder / "samples"
    (samples / "rtl").mkdir(parents=True, exist_ok=True)
    text = {
        "csynth.xml": xml or csynth_xml(FIGURES),
        "csynth.rpt": csynth_rpt(FIGURES),
        "cosim.rpt": cosim_rpt(FIGURES),
        "vsynth.rpt": utilization_rpt(FIGURES),
        "impl.rpt": utilization_rpt(Figures(lut=400, ff=200, dsp=0, tiles_x2=0, uram=0)).replace(
            "Synthesized", "Routed"
        ),
        "timing.rpt": timing_rpt(FIGURES),
    }
    for name, content in text.items():
        (samples / name).write_text(content)
    for name, content in (rtl or {"tiny.v": "module tiny; endmodule\n"}).items():
        (samples / "rtl" / name).write_text(content)
    for name in names:
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)


def calls(project: Path) -> list[str]:
    """How the programs were called in ``project``, one line per step."""
    path = project / "calls.txt"
    return path.read_text().splitlines() if path.is_file() else []
