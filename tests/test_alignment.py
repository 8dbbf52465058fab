"""A recorded Atari game, its rows moved: what the alignment says of the file itself."""
import pytest

from wmkit.data.align import judge_alignment
from wmkit.data.episodes import Dataset
from wmkit.data.record import record
from wmkit.doctor.formulas import check_action_lag_scan

pytestmark = pytest.mark.xdist_group("games")


class Moved(Dataset):
    "A data set whose rows stand `by` rows late."
    def __init__(self, root, by):
        super().__init__(root)
        self.by = by

    def actions(self, episode): return super().actions(episode).roll(self.by, 0)


@pytest.fixture(scope="module")
def freeway(tmp_path_factory):
    pytest.importorskip("ale_py")
    folder = tmp_path_factory.mktemp("atari")/"freeway"
    return record(folder, 9, 300, "ALE/Freeway-v5", seed=3, test=1, size=(112, 84)).root


@pytest.mark.slow
@pytest.mark.parametrize("by, verdict, finding", [(0, "aligned", "ok"), (1, "off by 1", "fail"),
                                                  (-1, "late by 1", "warn")])
def test_three_minutes_of_atari_tell_where_their_rows_belong(freeway, by, verdict, finding):
    found = judge_alignment(Moved(freeway, by))
    assert (found.verdict, check_action_lag_scan(found.scan).verdict) == (verdict, finding)
    assert "action" in found.text and "mouse" not in found.text and "camera" not in found.text


@pytest.mark.slow
def test_half_a_minute_says_that_it_is_too_short(freeway, tmp_path):
    short = record(tmp_path/"short", 2, 220, "ALE/Freeway-v5", seed=4, test=1, size=(112, 84))
    found = judge_alignment(short)
    finding = check_action_lag_scan(found.scan)
    assert (found.verdict, finding.value) == ("cannot tell", None)
    assert "minutes more than these" in finding.message
