"""Malformed files through the real command lines, a few of each kind; all 300 are benchmarks/malformed.py."""

import malformed

ODD_ONES = [57, 117, 268]  # foreign bytes as a design, a design that is no text, targets of 1e300


def test_each_file_ends_in_one_line_or_is_still_good(tmp_path):
    seeds = [*range(300, 325), *ODD_ONES]
    results = list(malformed.judge(seeds, tmp_path))
    assert [r["seed"] for r in results] == seeds
    assert not [r for r in results if r["wrong"]]
    assert {r["kind"] for r in results if r["status"] == 1} == set(malformed.KINDS)


def test_what_is_no_clear_end_is_told():
    fine = {"status": 1, "told": "error: m.h5 is empty; save it again\n", "left": []}
    assert not malformed.verdict(fine)
    for change in (
        {"status": "traceback"}, {"status": 2}, {"told": ""}, {"told": "Traceback\nerror: x"},
        {"told": "error: one\nand two"}, {"told": "error: " + "x" * 700}, {"left": ["design.json"]},
    ):  # fmt: skip
        assert malformed.verdict({**fine, **change}), change
