"""The whole row at sizes that games have: data set, tokenizer, latents, dynamics, film, scrubber.

Wide, high, and no whole number of tokens; nothing is squeezed, cut or barred on the way.
"""
import pytest
import torch

from wmkit.core import threads
from wmkit.data.clips import to_uint8
from wmkit.data.episodes import toy_dataset
from wmkit.runs import Run
from wmkit.training.setups import (
    DynamicsPlan, DynamicsSetup, TokenizerPlan, TokenizerSetup, encode_frames, open_frames)
from wmkit.widgets.scrub import scrub
from wmkit.worlds.films import Keys, write_video

TINY = dict(
    conv=dict(width=8), vq=dict(width=8, codes=16),
    transformer=dict(channels=4, width=16, heads=2, depth=1, every=1, mask_steps=8))
BODY = dict(
    conv=dict(width=16, depth=1, paint=16),
    transformer=dict(width=16, depth=1, heads=2, every=1, registers=1, window=3))
ATARI = 106, 80  # half of 210x160
ROWS = [(ATARI, "conv", "conv"), ((36, 64), "vq", "transformer")]
MORE = [((36, 64), "conv", "conv"), ((64, 96), "conv", "conv"), ((96, 64), "conv", "conv"),
        (ATARI, "vq", "conv"), (ATARI, "transformer", "transformer")]
ROWS += [pytest.param(*row, marks=pytest.mark.slow) for row in MORE]


def trained_on(run, size, kind):
    "(frames, a tokenizer trained on them for a few steps)."
    toy_dataset(run.data/"toy", episodes=4, frames=40, test=2, size=size)
    seen = open_frames(run, "toy")
    assert seen.size == size and seen.picture == f"{size[0]}x{size[1]}, the data set's own size"
    plan = TokenizerPlan(TokenizerSetup(kind, TINY[kind], steps=4, batch=4), seen)
    assert plan.forecast().bytes > 0
    return seen, plan.train(run)


@pytest.mark.parametrize("size, kind, body", ROWS)
def test_the_row_at_this_size(tmp_path, size, kind, body):
    run = Run.create("row", root=tmp_path)
    with threads(1):
        seen, trained = trained_on(run, size, kind)
        coded = encode_frames(run, seen, trained)
        plan = DynamicsPlan(DynamicsSetup(body, model=BODY[body], steps=3, batch=4, K=1), coded)
        assert plan.forecast().bytes > 0
        learnt = plan.train(run)
        world = plan.worlds(learnt.model.cpu())[1]
        k = world.context
        clip = seen.test.get([(seen.test.windows(k + 4)[0])], k + 4)
        frames = clip.data.float()/127.5 - 1
        dream = world.dream(frames[:, :k], clip.actions)
    assert dream.shape == (1, 4, 3, *size)
    lanes = dict(truth=clip.data[0, k:], dream=to_uint8(dream[0]))
    keys = Keys(clip.actions[0, k:], seen.test.space)
    film = write_video(tmp_path/"row.mp4", lanes, 10, keys)
    assert film.stat().st_size > 500
    assert tuple(scrub(**lanes).layout[side] for side in ("height", "width")) == size
    with pytest.raises(ValueError, match=f"trained on {size[0]}x{size[1]}; bring frames there"):
        world.reset(torch.zeros(1, k, 3, 48, 48), clip.actions[:, :k])
