"""The devices and boards that are known, and their resources.

Resources are those of the data sheets: Zynq-7000 DS190; Artix-7, Spartan-7, Kintex-7 and Virtex-7 DS180 (LUT = 4 x
slices, FF = 8 x slices); Kintex and Virtex UltraScale, Artix, Kintex and Virtex UltraScale+ DS890; Zynq UltraScale+
MPSoC DS891, RFSoC DS889; Kria K24 DS985, K26 DS987; Alveo U50 DS965, U55C DS978, U200 and U250 DS962, U280 DS963.
Block RAM counts stand in the table as 36 Kb tiles. One known difference: Vivado offers 133,800 of the XC7A200T's
134,600 LUTs.
"""

from __future__ import annotations

from dataclasses import dataclass

# device (comma: same figures)  LUT  FF  BRAM36  DSP  URAM  usual grade  packages (the usual one first)
_TABLE = """
xc7z007s           14400    28800   50    66    0 -1 clg400 clg225
xc7z010            17600    35200   60    80    0 -1 clg400 clg225
xc7z012s           34400    68800   72   120    0 -1 clg485
xc7z014s           40600    81200  107   170    0 -1 clg400 clg484
xc7z015            46200    92400   95   160    0 -1 clg485
xc7z020            53200   106400  140   220    0 -1 clg400 clg484
xc7z030            78600   157200  265   400    0 -1 fbg484 sbg485 fbg676 ffg676
xc7z035           171900   343800  500   900    0 -1 fbg676 ffg676 ffg900
xc7z045           218600   437200  545   900    0 -2 ffg900 fbg676 ffg676
xc7z100           277400   554800  755  2020    0 -2 ffg900 ffg1156
xc7a12t             8000    16000   20    40    0 -1 csg325 cpg238
xc7a15t            10400    20800   25    45    0 -1 cpg236 csg324 csg325 ftg256 fgg484
xc7a25t            14600    29200   45    80    0 -1 csg325 cpg238
xc7a35t            20800    41600   50    90    0 -1 cpg236 csg324 csg325 ftg256 fgg484
xc7a50t            32600    65200   75   120    0 -1 csg324 cpg236 csg325 ftg256 fgg484
xc7a75t            47200    94400  105   180    0 -1 csg324 ftg256 fgg484 fgg676
xc7a100t           63400   126800  135   240    0 -1 csg324 ftg256 fgg484 fgg676
xc7a200t          134600   269200  365   740    0 -1 sbg484 fbg484 fbg676 ffg1156
xc7s6               3752     7504    5    10    0 -1 cpga196 csga225 ftgb196
xc7s15              8000    16000   10    20    0 -1 cpga196 csga225 ftgb196
xc7s25             14600    29200   45    80    0 -1 csga324 csga225 ftgb196
xc7s50             32600    65200   75   120    0 -1 csga324 fgga484 ftgb196
xc7s75             48000    96000   90   140    0 -1 fgga484 fgga676
xc7s100            64000   128000  120   160    0 -1 fgga484 fgga676
xc7k70t            41000    82000  135   240    0 -1 fbg484 fbg676
xc7k160t          101400   202800  325   600    0 -1 fbg484 fbg676 ffg676
xc7k325t          203800   407600  445   840    0 -2 ffg900 fbg676 ffg676 fbg900
xc7k355t          222600   445200  715  1440    0 -2 ffg901
xc7k410t          254200   508400  795  1540    0 -2 ffg900 fbg676 ffg676 fbg900
xc7k420t          260600   521200  835  1680    0 -2 ffg901 ffg1156
xc7k480t          298600   597200  955  1920    0 -2 ffg901 ffg1156
xc7v585t          364200   728400  795  1260    0 -1 ffg1761 ffg1157
xc7v2000t        1221600  2443200 1292  2160    0 -1 flg1925 fhg1761
xc7vx330t         204000   408000  750  1120    0 -1 ffg1157 ffg1761
xc7vx415t         257600   515200  880  2160    0 -1 ffg1157 ffg1158 ffg1927
xc7vx485t         303600   607200 1030  2800    0 -2 ffg1761 ffg1157 ffg1158 ffg1927 ffg1930
xc7vx550t         346400   692800 1180  2880    0 -1 ffg1158 ffg1927
xc7vx690t         433200   866400 1470  3600    0 -2 ffg1761 ffg1157 ffg1158 ffg1926 ffg1927 ffg1930
xc7vx980t         612000  1224000 1500  3600    0 -1 ffg1926 ffg1928 ffg1930
xcku025           145440   290880  360  1152    0 -1-c ffva1156
xcku035           203128   406256  540  1700    0 -2-e ffva1156 fbva676 fbva900 sfva784
xcku040           242400   484800  600  1920    0 -2-e ffva1156 fbva676 fbva900 sfva784
xcku060           331680   663360 1080  2760    0 -2-e ffva1156 ffva1517
xcku085           497520   995040 1620  4100    0 -2-e flva1517 flvb1760 flvf1924
xcku095           537600  1075200 1680   768    0 -2-e ffva1156 ffvc1517 ffvb1760 ffvb2104
xcku115           663360  1326720 2160  5520    0 -2-e flvb2104 flva1517 flvd1517 flvb1760 flvd1924 flvf1924 flva2104
xcvu065           358080   716160 1260   600    0 -2-e ffvc1517
xcvu080           445712   891424 1421   672    0 -2-e ffvc1517 ffvd1517 ffvb1760 ffva2104 ffvb2104
xcvu095           537600  1075200 1728   768    0 -2-e ffva2104 ffvc1517 ffvd1517 ffvb1760 ffvb2104 ffvc2104
xcvu125           716160  1432320 2520  1200    0 -2-e flva2104 flvd1517 flvb1760 flvb2104 flvc2104
xcvu160           926400  1852800 3276  1560    0 -2-e flgb2104 flgc2104
xcvu190          1074240  2148480 3780  1800    0 -2-e flgc2104 flgb2104 flga2577
xcvu440          2532960  5065920 2520  2880    0 -2-e flga2892 flgb2377
xczu1cg,xczu1eg    37440    74880  108   216    0 -1-e sbva484 sfva625 sfvc784
xczu2cg,xczu2eg    47232    94464  150   240    0 -1-e sbva484 sfva625 sfvc784
xczu3cg,xczu3eg    70560   141120  216   360    0 -1-e sbva484 sfva625 sfvc784
xczu4cg,xczu4eg,xczu4ev   87840 175680 128 728 48 -1-e sfvc784 fbvb900
xczu5cg,xczu5eg,xczu5ev  117120 234240 144 1248 64 -1-e sfvc784 fbvb900
xczu6cg,xczu6eg   214604   429208  714  1973    0 -1-e ffvb1156 ffvc900
xczu7cg,xczu7eg,xczu7ev  230400 460800 312 1728 96 -2-e ffvc1156 fbvb900 ffvf1517
xczu9cg,xczu9eg   274080   548160  912  2520    0 -2-e ffvb1156 ffvc900
xczu11eg          298560   597120  600  2928   80 -2-e ffvc1760 ffvc1156 ffvb1517 ffvf1517
xczu15eg          341280   682560  744  3528  112 -2-e ffvb1156 ffvc900
xczu17eg          423403   846806  796  1590  102 -2-e ffvc1760 ffvb1517 ffvd1760 ffve1924
xczu19eg          522720  1045440  984  1968  128 -2-e ffvc1760 ffvb1517 ffvd1760 ffve1924
xczu21dr          425280   850560 1080  4272   80 -2-e ffvd1156 fsvd1156
xczu27dr,xczu28dr,xczu43dr,xczu47dr,xczu48dr 425280 850560 1080 4272 80 -2-e ffvg1517 ffve1156 fsvg1517 fsve1156
xck24              70560   141120  216   360    0 -2LV-c ubva530
xck26             117120   234240  144  1248   64 -2LV-c sfvc784
xcau7p             37440    74880  108   216    0 -2-e sbvc484 fcva289
xcau10p            44000    88000  100   400    0 -2-e ffvb676 sbvb484 ubva368
xcau15p            77760   155520  144   576    0 -2-e ffvb676 sbvb484 ubva368
xcau20p           109000   218000  200   900    0 -2-e ffvb676 sfvb784
xcau25p           141000   282000  300  1200    0 -2-e ffvb676 sfvb784
xcku3p            162720   325440  360  1368   48 -2-e ffvb676 ffva676 ffvd900 sfvb784
xcku5p            216960   433920  480  1824   64 -2-e ffvb676 ffva676 ffvd900 sfvb784
xcku9p            274080   548160  912  2520    0 -2-e ffve900
xcku11p           298560   597120  600  2928   80 -2-e ffva1156 ffvd900 ffve1517
xcku13p           341280   682560  744  3528  112 -2-e ffve900
xcku15p           522720  1045440  984  1968  128 -2-e ffva1156 ffve1517 ffva1760 ffve1760
xcku19p           842400  1684800 1728  1080  288 -2-e ffvj1760 ffvb2104
xcvu3p            394080   788160  720  2280  320 -2-e ffvc1517
xcvu5p            600577  1201154 1024  3474  470 -2-e flva2104 flvb2104 flvc2104
xcvu7p            788160  1576320 1440  4560  640 -2-e flvb2104 flva2104 flvc2104
xcvu9p           1182240  2364480 2160  6840  960 -2-e flga2104 flgb2104 flgc2104 fsgd2104 flga2577
xcvu11p          1296000  2592000 2016  9216  960 -2-e flga2577 flgf1924 flgb2104 flgc2104 fsgd2104
xcvu13p          1728000  3456000 2688 12288 1280 -2-e flga2577 fhga2104 fhgb2104 fhgc2104 figd2104 fsga2577
xcvu19p          4085760  8171520 2160  3840  320 -2-e fsva3824 fsvb3824
xcvu23p          1029600  2059200 2112  1320  352 -2-e vsva1365 fsvj1760
xcvu27p          1296000  2592000 2016  9216  960 -2-e figd2104 fsga2577
xcvu29p          1728000  3456000 2688 12288 1280 -2-e fsga2577 figd2104
xcvu31p           439680   879360  672  2880  320 -2-e fsvh1924
xcvu33p           439680   879360  672  2880  320 -2-e fsvh2104
xcvu35p,xcvu45p   871680  1743360 1344  5952  640 -2-e fsvh2104 fsvh2892
xcvu37p,xcvu47p  1303680  2607360 2016  9024  960 -2-e fsvh2892
xczu29dr,xczu39dr,xczu49dr 425280   850560 1080  4272   80 -2-e ffvf1760 fsvf1760
xcu50             871680  1743360 1344  5952  640 -2-e fsvh2104
xcu55c           1303680  2607360 2016  9024  960 -2L-e fsvh2892
xcu200           1182240  2364480 2160  6840  960 -2-e fsgd2104
xcu250           1728000  3456000 2688 12288 1280 -2L-e figd2104
xcu280           1303680  2607360 2016  9024  960 -2L-e fsvh2892
"""

BOARDS = {
    "pynq-z1": "xc7z020clg400-1", "pynq-z2": "xc7z020clg400-1", "zedboard": "xc7z020clg484-1",
    "zybo-z7-10": "xc7z010clg400-1", "zybo-z7-20": "xc7z020clg400-1", "zybo": "xc7z010clg400-1",
    "cora": "xc7z007sclg400-1", "cora-z7": "xc7z007sclg400-1",
    "cora-z7-07s": "xc7z007sclg400-1", "cora-z7-10": "xc7z010clg400-1",
    "cora-z7-7s": "xc7z007sclg400-1", "cora-z7s": "xc7z007sclg400-1",
    "arty-a7-35t": "xc7a35ticsg324-1L", "arty-a7-100t": "xc7a100tcsg324-1", "cmod-a7-15t": "xc7a15tcpg236-1",
    "cmod-a7-35t": "xc7a35tcpg236-1", "usb104-a7": "xc7a100tcsg324-1", "tul-pynq-z2": "xc7z020clg400-1",
    "microzed-7010": "xc7z010clg400-1", "microzed-7020": "xc7z020clg400-1", "ac701": "xc7a200tfbg676-2",
    "sp701": "xc7s100fgga676-2", "vcu108": "xcvu095-ffva2104-2-e", "vcu110": "xcvu190-flgc2104-2-e",
    "vcu128": "xcvu37p-fsvh2892-2L-e", "vcu129": "xcvu29p-fsga2577-2L-e", "vcu1525": "xcvu9p-fsgd2104-2L-e",
    "aws-f1": "xcvu9p-flgb2104-2-i", "aws-f2": "xcvu47p-fsvh2892-2-e", "xem8320": "xcau25p-ffvb676-2-e",
    "zcu1275": "xczu29dr-ffvf1760-2-e", "zcu1285": "xczu39dr-ffvf1760-2-i",
    "minized": "xc7z007sclg225-1", "zc702": "xc7z020clg484-1", "zc706": "xc7z045ffg900-2",
    "arty-a7": "xc7a35ticsg324-1L", "arty-a7-35": "xc7a35ticsg324-1L", "arty-a7-100": "xc7a100tcsg324-1",
    "arty": "xc7a35ticsg324-1L", "arty-35t": "xc7a35ticsg324-1L", "arty-s7": "xc7s50csga324-1",
    "arty-s7-25": "xc7s25csga324-1", "arty-s7-50": "xc7s50csga324-1", "arty-z7-10": "xc7z010clg400-1",
    "arty-z7-20": "xc7z020clg400-1", "cmod-a7-15": "xc7a15tcpg236-1", "cmod-a7-35": "xc7a35tcpg236-1",
    "cmod-s7": "xc7s25csga225-1", "basys3": "xc7a35tcpg236-1", "nexys-a7": "xc7a100tcsg324-1",
    "nexys-a7-50": "xc7a50ticsg324-1L", "nexys-a7-100": "xc7a100tcsg324-1",
    "nexys-a7-50t": "xc7a50ticsg324-1L", "nexys-a7-100t": "xc7a100tcsg324-1", "nexys-video": "xc7a200tsbg484-1",
    "genesys2": "xc7k325tffg900-2", "kc705": "xc7k325tffg900-2", "vc707": "xc7vx485tffg1761-2",
    "vc709": "xc7vx690tffg1761-2", "kcu105": "xcku040-ffva1156-2-e",
    "kv260": "xck26-sfvc784-2LV-c", "kr260": "xck26-sfvc784-2LV-c", "kd240": "xck24-ubva530-2LV-c",
    "nexys4": "xc7a100tcsg324-1", "nexys4-ddr": "xc7a100tcsg324-1", "eclypse-z7": "xc7z020clg484-1",
    "blackboard": "xc7z007sclg400-1", "urbana": "xc7s50csga324-1", "boolean": "xc7s50csga324-1",
    "red-pitaya": "xc7z010clg400-1", "ebaz4205": "xc7z010clg400-1", "kcu1500": "xcku115-flvb2104-2-e",
    "aup-zu3": "xczu3eg-sfvc784-2-e", "pynq-zu": "xczu5eg-sfvc784-1-e", "zuboard": "xczu1cg-sbva484-1-e",
    "zuboard-1cg": "xczu1cg-sbva484-1-e", "te0802": "xczu2cg-sbva484-1-e", "axau15": "xcau15p-ffvb676-2-i",
    "genesys-zu-3eg": "xczu3eg-sfvc784-1-e", "genesys-zu-5ev": "xczu5ev-sfvc784-1-e",
    "zcu208": "xczu48dr-fsvg1517-2-e", "zcu216": "xczu49dr-ffvf1760-2-e", "rfsoc2x2": "xczu28dr-ffvg1517-2-e",
    "ultra96": "xczu3eg-sbva484-1-e", "ultra96-v1": "xczu3eg-sbva484-1-e", "ultra96-v2": "xczu3eg-sbva484-1-i",
    "zcu102": "xczu9eg-ffvb1156-2-e", "zcu104": "xczu7ev-ffvc1156-2-e", "zcu106": "xczu7ev-ffvc1156-2-e",
    "zcu111": "xczu28dr-ffvg1517-2-e", "rfsoc4x2": "xczu48dr-ffvg1517-2-e", "vcu118": "xcvu9p-flga2104-2L-e",
    "kcu116": "xcku5p-ffvb676-2-e", "alveo-u50": "xcu50-fsvh2104-2-e", "alveo-u55c": "xcu55c-fsvh2892-2L-e",
    "alveo-u200": "xcu200-fsgd2104-2-e", "alveo-u250": "xcu250-figd2104-2L-e", "alveo-u280": "xcu280-fsvh2892-2L-e",
}  # fmt: skip


@dataclass(frozen=True)
class Device:
    """A line of the table: what the whole device has, its usual speed grade, its packages (the usual one first)."""

    lut: int
    ff: int
    bram36: int
    dsp: int
    uram: int
    grade: str
    packages: tuple[str, ...]


def _read_table() -> dict[str, Device]:
    devices = {}
    for line in _TABLE.strip().splitlines():
        names, *rest = line.split()
        lut, ff, bram36, dsp, uram = (int(cell) for cell in rest[:5])
        device = Device(lut, ff, bram36, dsp, uram, rest[5], tuple(rest[6:]))
        devices.update(dict.fromkeys(names.split(","), device))
    return devices


DEVICES = _read_table()
