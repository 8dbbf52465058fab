"""Token worlds: killed, continued, in two processes; and codes of another codebook, refused."""
import multiprocessing
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from notebooks import SETTINGS
from test_trainer import curve, losses, new_run, one_thread, wait_for_rows  # noqa: F401
from writers import gamefactory, play

from wmkit.checkpoints import latest, model_hash, save_model
from wmkit.cli import main
from wmkit.data.actions import DOOM
from wmkit.data.clips import Clip
from wmkit.data.episodes import toy_dataset
from wmkit.data.latents import open_latents
from wmkit.doctor.report import doctor_checkpoint
from wmkit.dynamics.convgru import ConvGRUDynamics
from wmkit.dynamics.maskgit import MaskGITDynamics
from wmkit.dynamics.tokens import TokenSampling
from wmkit.findings import Report
from wmkit.files import read_json, write_json
from wmkit.objectives.schedules import Lengths, OwnSamples
from wmkit.objectives.token_losses import TokenLoss, TokenTerms
from wmkit.runs import Run
from wmkit.tokenizers.vq import VQTokenizer
from wmkit.training.setups import encode_frames, open_or_untrained, open_tokenizer
from wmkit.training.tokens import TokenPlan, TokenSetup
from wmkit.training.trainer import Checkpoints, Recipe, train
from wmkit.worlds.load import export_world, open_world
from wmkit.worlds.world import World

# ---- killed and continued, with everything that changes over the steps

ROOT = Path(__file__).resolve().parents[1]
STEPS, CODES, GRID = 30, 12, (3, 4)
SMALL = dict(width=8, condition=8, context=2)
JOINT = SMALL | dict(head_depth=1, heads=2)
KINDS = dict(
    convgru=partial(ConvGRUDynamics, DOOM.to_dict(), CODES, GRID, depth=2, truncate=3, **SMALL),
    maskgit=partial(MaskGITDynamics, DOOM.to_dict(), CODES, GRID, **JOINT),
    transformer=partial(MaskGITDynamics, DOOM.to_dict(), CODES, GRID, body="transformer",
                        more=dict(depth=2, heads=2, recompute=True), **JOINT))
OWN = OwnSamples(longest=5, start=4, ramp=16, low=.2, high=.9, middle=12, steepness=4.)
LENGTHS = Lengths(4, 8, share=.3, long_from=20, batch=4, long_batch=2)


def draw_codes(generator, steps_done):
    "Codes that an action moves."
    now = LENGTHS.at(steps_done)
    b, t = now.batch, now.length
    codes = torch.randint(CODES, (b, 1, *GRID), generator=generator).repeat(1, t, 1, 1)
    actions = torch.rand(b, t, DOOM.size, generator=generator).round()
    moved = actions[..., 0].cumsum(1).long()
    known = torch.rand(b, t, generator=generator) < .9
    return Clip((codes + moved[..., None, None]) % CODES, actions, known, [])


def loss_of(kind, seed=0):
    book = torch.randn(CODES, 4, generator=torch.Generator().manual_seed(seed))
    sampling = TokenSampling(1 if kind == "convgru" else 3, temperature=.9, top_k=6)
    return TokenLoss(TokenTerms(smoothing=.05, semantic=1.), OWN, sampling, book)


def fit(run, kind, accumulate=1, seed=0):
    torch.manual_seed(0)
    lengths = Lengths(**vars(LENGTHS) | dict(accumulate=accumulate, long_accumulate=accumulate))
    recipe = Recipe(STEPS, lr=3e-3, warmup=4, lengths=lengths, clip=.5, device="cpu",
                    precision="fp32")
    return train(KINDS[kind](), draw_codes, loss_of(kind, seed), recipe, run, "dynamics",
                 checkpoints=Checkpoints(save_every=5))


def fit_alone(run, kind):
    torch.set_num_threads(1)
    fit(run, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_among_own_samples_continues_bit_for_bit(new_run, kind):  # noqa: F811
    whole, killed = new_run("whole"), new_run("killed")
    context = multiprocessing.get_context("fork")
    process = context.Process(target=fit_alone, args=(killed, kind))
    process.start()
    wait_for_rows(killed, 13, process)
    process.kill()
    process.join()
    reached = latest(killed.checkpoints/"dynamics").name
    assert "step_000010" <= reached < f"step_{STEPS:06}", "killed too late to show anything"
    expected, result = fit(whole, kind), fit(Run.open(killed.folder), kind)
    assert curve(killed) == curve(whole)
    assert model_hash(result.model) == model_hash(expected.model)
    shares = [row["own_share"] for row in expected.history]
    assert shares[0] == 0 and max(shares) > .2  # it is the schedule that was continued
    books = [loss_of(kind, seed).describe()["codebook"] for seed in (0, 1)]
    refused(lambda: fit(Run.open(killed.folder), kind, seed=1), *books)


def test_two_processes_learn_one_token_world(new_run, monkeypatch):  # noqa: F811
    one = losses(fit(None, "maskgit", accumulate=2))
    monkeypatch.setenv("WMKIT_PROCESSES", "2")
    two = losses(fit(new_run("two"), "maskgit"))
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)  # the same global batch


# ---- another codebook

MODEL = dict(width=8, condition=8, depth=1, context=2)


def save_tokenizer(root, name, seed):
    "An untrained tokenizer with codes; its checkpoint."
    torch.manual_seed(seed)
    tokenizer = VQTokenizer((32, 32), stride=8, codes=CODES, dim=4, width=8).eval()
    return save_model(root/f"checkpoints/{name}/tokenizer/step_000000", tokenizer,
                      dict(dataset="toy_frames_32x32"))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A working tree with toy play, two tokenizers with codes, and a token world of the first."
    root = tmp_path_factory.mktemp("house")
    (root/"settings.ini").write_text(SETTINGS)
    toy_dataset(root/"data/toy", episodes=5, frames=40, test=2, size=(32, 32))
    for seed, name in enumerate(("eyes", "others")):
        save_tokenizer(root, name, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run = Run.create("world", {})
        plan_with(run, "eyes").train(run)
    return root


def plan_with(run, name):
    "The plan of a world with the tokenizer of that name."
    trained = open_tokenizer(f"{name}/tokenizer")
    coded = encode_frames(run, trained.frames(run, "toy"), trained)
    setup = TokenSetup(model=MODEL, lengths=dict(short=4), steps=4, batch=2, own=dict(longest=2),
                       evaluate_every=None)
    return TokenPlan(setup, coded)


def tokenizers():
    return [open_tokenizer(f"{name}/tokenizer").model for name in ("eyes", "others")]


def refused(call, *hashes):
    "The error of a call, which names these hashes."
    with pytest.raises(ValueError) as error:
        call()
    assert all(h in str(error.value) for h in hashes), (hashes, str(error.value))


def test_codes_and_worlds_of_another_codebook_are_refused(house, monkeypatch):
    monkeypatch.chdir(house)
    mine, other = tokenizers()
    books = mine.codebook_hash(), other.codebook_hash()
    run, world = Run("outputs/world"), open_world("world")
    assert world.dynamics.card["codebook"] == books[0]

    store = house/f"data/toy_latents_{model_hash(mine)}"
    refused(lambda: open_latents(store, other), *books, model_hash(mine), model_hash(other))
    refused(lambda: World(other, world.dynamics), model_hash(mine), model_hash(other))
    del other.card["hash"]  # of nobody knows where: its codebook tells
    refused(lambda: World(other, world.dynamics), *books)
    refused(lambda: plan_with(run, "others").train(run), *books)  # the run is resumed


def test_a_checkpoint_of_another_codebook_in_its_place_is_refused(house, tmp_path, monkeypatch):
    root = tmp_path/"house"
    shutil.copytree(house, root)
    monkeypatch.chdir(root)
    hashes = [model_hash(tokenizer) for tokenizer in tokenizers()]
    books = [tokenizer.codebook_hash() for tokenizer in tokenizers()]
    place = root/"checkpoints/eyes/tokenizer/step_000000"
    shutil.rmtree(place)
    shutil.copytree(root/"checkpoints/others/tokenizer/step_000000", place)
    run = Run("outputs/world")
    for call in (lambda: open_world("world"), lambda: export_world("world", root/"sent"),
                 lambda: open_or_untrained(run, "world")):
        refused(call, *hashes)
    assert not (root/"sent").exists()
    said = [f.message for f in doctor_checkpoint("world") if f.verdict == "fail"]
    assert any(all(h in says for h in hashes) for says in said), said
    assert latest(run.checkpoints/"dynamics").name == "step_000004"

    card = latest(run.checkpoints/"dynamics")/"card.json"
    found = read_json(card, dict)
    write_json(card, {name: found[name] for name in found.keys() - {"tokenizer_hash"}})
    refused(lambda: open_world("world"), *books)


# ---- seed 003's chain, from recordings of its data set's format to a report

RECORDINGS = 4
SMOKE_CODES = dict(size=[48, 64], model=dict(stride=8, codes=64, dim=16, width=32), perceptual=0.,
                   steps=250, batch=16, warmup=50)
SMOKE_WORLD = dict(model=dict(width=32, depth=3, context=8), lr=.002, steps=150, batch=4,
                   own=dict(longest=18, ramp=40, low=.15, high=.95, middle=40, steepness=16.),
                   evaluate_every=1000, horizon=8, shown=8, thorough=True)
# what the report says, by check (docs/sources.md has what the seed saw of it)
NAMED = dict(
    loss_ledger="temporal takes back",       # the sum where a mean was meant
    code_marginal="are never drawn",         # greedy: few codes, blur
    sampler_sweep="K = 1, greedy",
    action_statistics="Never change: sneak, sprint",
    horizon="no better than the copy",
    motion="The dream freezes")


def run_config(notebook, name, **params):
    "`wmkit run NOTEBOOK -f CONFIG` with some parameters in smoke size; its run."
    given = [text for key, value in params.items() for text in ("-p", key, str(value))]
    config = str(ROOT/f"configs/{notebook}_ochre.yaml")
    assert main(["run", str(ROOT/f"nbs/runs/{notebook}.ipynb"), "-f", config, *given,
                 "--name", name]) == 0
    return Run(f"outputs/{name}")


@pytest.mark.slow
def test_the_seeds_chain_names_what_is_wrong_with_it(tmp_path, monkeypatch):
    "Doom, written as GF-Minecraft; imported; codes; ConvGRU by the seed's recipe; its report."
    (tmp_path/"settings.ini").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for seed in range(RECORDINGS):
        gamefactory.write(tmp_path/"GF-Minecraft", play(frames=240, seed=seed),
                          names=[f"seed_{seed}_part_1"], data=f"data_{seed}")
    assert main(["import", "gamefactory", "GF-Minecraft", "data/gf", "--test", ".25",
                 "--workers", "0"]) == 0
    run_config("train_tokenizer", "ochre_codes", **SMOKE_CODES)
    run = run_config("train_tokens", "ochre", **SMOKE_WORLD)
    assert run.status == "done" and (run.folder/"report.html").exists()
    ill = [f for f in Report.load(run.folder) if f.verdict in ("warn", "fail")]
    says = {name: " ".join(f.message for f in ill if f.check == name) for name in NAMED}
    assert all(words in says[name] for name, words in NAMED.items()), says
