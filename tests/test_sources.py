"""docs/sources.md: every result of the Ochre log is explained by a check that exists."""
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[(\w+)\]\(\.\./(nbs/\w+\.ipynb)\)")
sys.path.insert(0, str(ROOT/"docs"))


@pytest.fixture(scope="module")
def homes():
    "{check: the chapter that it stands in}, of all that are registered."
    import pages
    return {name: chapter for name, chapter in LINK.findall(pages.checks())}


@pytest.mark.parametrize("heading,column,count", [
    ("### The Ochre log, result by result", 2, 29),
    ("### What nobody noticed", 1, 12),
])
def test_every_row_names_checks_that_exist(homes, heading, column, count):
    text = (ROOT/"docs/sources.md").read_text(encoding="utf-8").split(heading)[1]
    table = [line for line in text.split("\n#")[0].splitlines() if line.startswith("| ")][1:]
    assert len(table) == count
    for row in table:
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        named = LINK.findall(cells[column])
        assert named, f"no check: {row}"
        wrong = [name for name, chapter in named if homes.get(name) != chapter]
        assert not wrong, f"{cells[0]}: not registered, or in another chapter: {wrong}"
