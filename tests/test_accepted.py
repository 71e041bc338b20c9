"""The page of what is accepted says what happens: every form is built, and compared with Keras where it gets in."""

from __future__ import annotations

import re
from pathlib import Path

import accepted_forms
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "accepted.md"
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.* deprecated - use:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]


def rows(section: str) -> dict[str, str]:
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| (?!form |---)(.*?) \| (.*) \|$", text, re.MULTILINE))


@pytest.mark.parametrize("section", accepted_forms.FORMS)
def test_forms_become_what_the_page_says(section):
    found = {form: accepted_forms.outcome(section, form) for form in accepted_forms.FORMS[section]}
    assert found == rows(section)
    assert not any("WRONG" in text for text in found.values())


def test_a_design_that_differs_is_told(monkeypatch):
    own = accepted_forms.extract
    monkeypatch.setattr(accepted_forms, "extract", lambda model: own(accepted_forms.model_of("Weights", "no bias")))
    assert accepted_forms.outcome("Weights", "`quantized_po2(4)`").startswith("WRONG")
