"""Dynamics beside PyPI's dreamer4: a train step and a cached rollout at the same shape, and what both learn from the same latents in the same CPU-seconds. One thread.

    python benchmarks/dynamics.py --peer FOLDER                     FOLDER: pip install --target FOLDER dreamer4==0.20.2 (its packages stay out of wmkit's)
    python benchmarks/dynamics.py --peer FOLDER --only step rollout
    python benchmarks/dynamics.py --peer FOLDER --only learn --seeds 0      one of the pairs
    python benchmarks/dynamics.py --only learn --rows conv plain shape      other bodies of ours, no bars

What a run of `learn` found is kept in outputs/bench_dynamics (remove a file to train it anew), with its weights and the picture of all curves.
"""
import argparse, json, sys, time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from wmkit.checkpoints import load_model, save_model
from wmkit.core import read_json, settings, write_json
from wmkit.data.actions import ActionSpace, Channel
from wmkit.data.clips import Clip, Clips, build_frames, to_float
from wmkit.data.latents import build_latents, open_latents
from wmkit.data.record import record
from wmkit.dynamics.conv import ConvDynamics
from wmkit.dynamics.protocol import cached
from wmkit.dynamics.transformer import TransformerDynamics
from wmkit.objectives.sampler import sample
from wmkit.objectives.shortcut import NoiseSchedule, ShortcutLoss
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.tokenizers.protocol import TokenizerLoss
from wmkit.training.trainer import Recipe, make_optimizer
from wmkit.worlds.measures import summarize
from wmkit.worlds.rollouts import moving_windows, rollout_errors
from wmkit.worlds.world import World

CONTEXT, HORIZON, K = 4, 12, 4
NEAR, FAR = 32, 24                         # held-out windows that move: for the next frame, and for all of HORIZON at the end
SHAPE = dict(width=256, depth=4, heads=4, registers=8, every=4, mixing=False)  # the peer has no local mixing
BIG = dict(model=SHAPE, schedule=dict(targets="every"), batch=2, frames=8, recipe=dict(lr=1e-3, warmup=50))
OURS = dict(model=dict(flows=4, window=6, width=96, depth=4, heads=4, registers=2, every=4), schedule=dict(targets="every", bootstrap=.125, clean=.5), batch=8, frames=6,
            recipe=dict(optimizer="muon", lr=4e-3, warmup=100, ema=.995))
# what is trained: (class, how)
ROWS = dict(
    ours=(TransformerDynamics, OURS),
    conv=(ConvDynamics, dict(model={}, schedule={}, batch=64, frames=4, recipe=dict(lr=2e-3, warmup=100))),
    plain=(TransformerDynamics, OURS | dict(model=OURS["model"] | dict(mixing=False, flows=0))),
    shape=(TransformerDynamics, BIG),
    peer=(None, dict(batch=2, frames=8, recipe=dict(lr=1e-3, warmup=30))),  # of 3e-4, 1e-3, 3e-3: training loss .165, .137, .153 after 200 CPU-seconds
)

# the data

def play():
    "(tokenizer, frame store, latent store): recorded play and a tokenizer that is trained once."
    name, data = "bench_dynamics", settings().data
    store, folder = build_frames(record(data/name, episodes=40, frames=400, test=8), data/f"{name}_frames"), data/f"{name}_tokenizer"
    if not folder.exists():
        torch.manual_seed(0)
        model, loss, clips = ConvTokenizer((64, 64)).to(memory_format=torch.channels_last), TokenizerLoss(perceptual=0), Clips(store, "train", 1)
        chance, noise = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
        def step(_): return loss(model, SimpleNamespace(data=to_float(clips.sample(16, chance).data)), noise)[0]
        (steps, _), = fit(model, step, [120], lr=2e-3, warmup=100)
        with torch.no_grad(): model.statistics.fit(model.raw(to_float(clips.get(clips.windows(1, 40)).data)))
        save_model(folder, model.eval().to(memory_format=torch.contiguous_format), dict(steps=steps))
    tokenizer = load_model(folder)
    return tokenizer, store, build_latents(store, tokenizer, data/f"{name}_latents")

# training: the same loop for all

def fit(model, loss, marks, **recipe):
    "Train for so many CPU-seconds as the trainer would; at every mark (steps, loss), the model holding its averaged weights. What the caller does there is not counted."
    recipe = Recipe(10**9, **recipe)
    optimizer, weights = make_optimizer(model, recipe), {k: p for k, p in model.named_parameters() if p.requires_grad}
    average, spent, steps, recent = {k: p.detach().clone() for k, p in weights.items()}, 0., 0, []
    for mark in marks:
        while spent < mark:
            begun = time.process_time()
            for group in optimizer.param_groups: group["lr"] = recipe.lr*min(1, (steps + 1)/recipe.warmup)*(1 - spent/marks[-1])
            value = loss(steps)
            value.backward()
            nn.utils.clip_grad_norm_(weights.values(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
            torch._foreach_lerp_(list(average.values()), [p.detach() for p in weights.values()], 1 - min(recipe.ema, (1 + steps)/(10 + steps)))
            recent = [*recent[-49:], value.item()]
            spent += time.process_time() - begun
        now = {k: p.detach().clone() for k, p in weights.items()}
        model.load_state_dict(average, strict=False)
        yield steps, sum(recent)/len(recent)
        if mark < marks[-1]: model.train().load_state_dict(now, strict=False)

# the peer

def new_peer(**options):
    "Its DynamicsWorldModel without what only an agent needs: heads, and losses on actions."
    from dreamer4 import DynamicsWorldModel
    shape = dict(dim=256, depth=4, time_block_every=4, attn_heads=4, attn_dim_head=64, num_register_tokens=8, max_steps=64)
    model = DynamicsWorldModel(**shape, predict_terminals=False, discrete_action_loss_weight=0., continuous_action_loss_weight=0., **options)
    for name in ("policy_head", "value_head", "to_agent_embed_reward_pred", "to_latent_state_reward_pred"): setattr(model, name, nn.Identity())
    return model

def peer_for(space):
    "The peer for 64 tokens of 48: as 64 views of one token, for views are all that it gives a learned place; without one it cannot tell where a token lies."
    kinds = [c.kind for c in space.channels]
    return new_peer(dim_latent=48, num_video_views=64, num_latent_tokens=1, num_spatial_tokens=1, num_discrete_actions=(2,)*kinds.count("button"), num_continuous_actions=kinds.count("delta"))

def told(space, actions):
    "Its arguments for rows [b t a] that led to their frames: it takes the t - 1 actions at frames 0 to t - 2 and shifts them itself."
    kinds = [[i for i, c in enumerate(space.channels) if c.kind == kind] for kind in ("button", "delta")]
    size = torch.tensor([max(abs(space.channels[i].low), abs(space.channels[i].high))/3 for i in kinds[1]])
    return dict(discrete_actions=actions[:, 1:, kinds[0]].long(), continuous_actions=actions[:, 1:, kinds[1]]/size)

class PeerWorld:
    "As much of a World as `rollout_errors` needs."
    context, device = CONTEXT, torch.device("cpu")
    def __init__(self, tokenizer, model, space): self.tokenizer, self.model, self.space = tokenizer, model.eval(), space

    @torch.no_grad()
    def dream(self, frames, actions, known=None, seed=0):
        latents, t, model = self.tokenizer.encode(frames).unflatten(2, (-1, 1)), actions.shape[1], self.model
        rows = {f"prompt_{k}": v for k, v in told(self.space, actions).items()}
        # the context once, as `generate` would in every step of the first frame
        _, (_, cache) = model(latents=latents, signal_levels=model.max_steps - 1, step_sizes=model.max_steps//K, latent_is_noised=True, latent_has_view_dim=True, return_intermediates=True, **told(self.space, actions[:, :CONTEXT]))
        torch.manual_seed(seed)
        with patch.object(torch.Tensor, "clamp_", lambda x, *_: x):  # it clips what it returns to [-1, 1], where its own tokenizer's latents lie
            out = model.generate(t, K, len(latents), prompt_latents=latents, time_cache=cache, return_decoded_video=False, store_agent_embed=False, **rows)
        return self.tokenizer.decode(out[:, CONTEXT:].flatten(2, 3))

# what is learnt

def learner(name, seed, data, tokenizer):
    "(model, loss of a step, world) of a row of ROWS."
    torch.manual_seed(seed)
    chance, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    cls, how = ROWS[name]
    def draw():
        clip = data.sample(how["batch"], chance, how["frames"])
        return Clip(clip.data.float(), clip.actions, clip.known, clip.index)
    if name == "peer":
        model = peer_for(data.space)
        def loss(_):
            clip = draw()
            return model(latents=clip.data.unflatten(2, (-1, 1)), **told(data.space, clip.actions))
        return model, loss, PeerWorld(tokenizer, model, data.space)
    model, objective = cls(data.space.to_dict(), tokenizer.channels, tokenizer.grid, tokenizer.fine, **how["model"]), ShortcutLoss(NoiseSchedule(**how["schedule"]), rms=False)
    return model, lambda step: objective(model, draw(), noise, step)[0], type("Given", (World,), dict(context=CONTEXT))(tokenizer, model, K)  # all are given the same frames

def learn(name, seed, seconds, tokenizer, store, latents):
    "(measures of the next frame after so many seconds, those of HORIZON frames at the end)."
    kept, row = settings().outputs/"bench_dynamics"/f"{name}_{seed}.json", ROWS[name][1]
    how = json.loads(json.dumps(dict(row=row, seconds=seconds, windows=[NEAR, FAR])))
    if kept.is_file() and read_json(kept)["how"] == how: return read_json(kept)["found"]
    data, test, near = open_latents(latents, tokenizer, "train", 8), Clips(store, "test", 8), []
    moving = moving_windows(Clips(store, "train", 8), test, CONTEXT, HORIZON)[0]
    def measure(count, horizon):
        windows = [moving[i*len(moving)//count] for i in range(count)]
        return summarize(rollout_errors(world, test, windows, horizon)).to_dict()
    model, loss, world = learner(name, seed, data, tokenizer)
    for mark, (steps, value) in zip(seconds, fit(model.train(), loss, seconds, **row["recipe"])):
        model.eval()
        result = measure(NEAR, 1)
        near.append(dict(seconds=mark, steps=steps, loss=value, gap=result["action_gap"], gap_interval=result["action_gap_interval"]) | {k: v[0] for k, v in result["psnr"].items()})
        print(f"{name}, seed {seed}, {mark} s: {steps} steps, loss {value:.3f}, next frame {near[-1]['true']:.2f} dB, gap {near[-1]['gap']:.2f} dB", flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), kept.with_suffix(".pt"))
    far = measure(FAR, HORIZON)["psnr"]
    print(f"{name}, seed {seed}, PSNR by horizon: " + " ".join(f"{v:.2f}" for v in far["true"]), flush=True)
    write_json(kept, dict(how=how, found=[near, far]))
    return near, far

def mean(values): return sum(values)/len(values)

def table(runs):
    "Print and draw all runs {(name, seed): (near, far)}."
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    print(f"\n{'':10}{'seed':>5}{'seconds':>9}{'steps':>8}{'next frame, dB':>16}{'gap, dB':>9}{f'mean of {HORIZON}, dB':>16}")
    for (name, seed), (near, far) in runs.items():
        for row in near: print(f"{name:10}{seed:5}{row['seconds']:9}{row['steps']:8}{row['true']:16.2f}{row['gap']:9.2f}" + (f"{mean(far['true']):16.2f}" if row is near[-1] else ""))
        style = dict(ms=3, lw=1, color=f"C{list(ROWS).index(name)}", label=name if seed == min(s for n, s in runs if n == name) else None)
        for axis, key in zip(axes, ("true", "gap")): axis.plot([row["seconds"] for row in near], [row[key] for row in near], "o-", **style)
        axes[2].plot(range(1, HORIZON + 1), far["true"], "o-", **style)
    print(f"{'copy of the last frame':32}{near[-1]['copy']:16.2f}{'':9}{mean(far['copy']):16.2f}")
    axes[0].axhline(near[-1]["copy"], color="grey", lw=.8)
    axes[2].plot(range(1, HORIZON + 1), far["copy"], color="grey", lw=.8, label="copy of the last frame")
    for axis, title in zip(axes, ("next frame, dB", "next frame, true minus shuffled actions, dB", "at the end, dB")): axis.set(xlabel="frames ahead" if axis is axes[2] else "CPU-seconds of training", title=title)
    axes[2].legend(fontsize=7)
    figure.savefig(settings().outputs/"bench_dynamics"/"curves.png", dpi=110)

def compare_learning(args):
    tokenizer, store, latents = play()
    runs = {(name, seed): learn(name, seed, args.seconds, tokenizer, store, latents) for name in args.rows for seed in (args.seeds if name in ("ours", "peer") else args.seeds[:1])}
    table(runs)
    pairs = [s for s in args.seeds if {("ours", s), ("peer", s)} <= set(runs)]
    measures = {"next frame": lambda near, far: near[-1]["true"], f"mean of {HORIZON} frames": lambda near, far: mean(far["true"]), "true minus shuffled": lambda near, far: near[-1]["gap"]}
    return [(f"{what}: dB above the peer's, least of {len(pairs)} pairs", min(read(*runs["ours", s]) - read(*runs["peer", s]) for s in pairs), 0.) for what, read in measures.items() if pairs]

# speed, at the shape of the peer's example: 32 tokens of 16 a frame, 2 clips of 8 frames, one choice of 4

def ours_at_shape(**options): return TransformerDynamics(ActionSpace([Channel("move", "choice", low=0, high=3)]).to_dict(), 16, (4, 8), **SHAPE, **options)
def peer_at_shape(): return new_peer(dim_latent=16, num_latent_tokens=32, num_spatial_tokens=32, num_discrete_actions=4)

def least(cases, repeats):
    "Least CPU-seconds of each of {name: call}, called in turn; the first turn warms up."
    best = dict.fromkeys(cases, float("inf"))
    for turn in range(repeats + 1):
        for name, call in cases.items():
            begun = time.process_time()
            call()
            if turn: best[name] = min(best[name], time.process_time() - begun)
    return best

def stepper(model, forward, bf16):
    adam = make_optimizer(model.train(), Recipe(1, lr=3e-4))
    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16): value = forward(model)
        value.backward()
        adam.step()
        adam.zero_grad()
    return step

def compare_steps(args):
    latents, moves, generator = torch.randn(2, 8, 32, 16), torch.randint(0, 4, (2, 8, 1)), torch.Generator().manual_seed(0)
    clip, results, cases = Clip(latents, moves.float(), torch.ones(2, 8, dtype=torch.bool), None), [], {}
    for kind, share in dict(flow=0., shortcut=1.).items():
        loss = ShortcutLoss(NoiseSchedule(finest=64, bootstrap=share, step_of="clip", pure=0., targets="every"))
        def other(model, share=share):
            model.prob_shortcut_train = share
            return model(latents=latents, discrete_actions=moves)
        for bf16 in (False, True):
            cases[f"{kind}, ours {'bf16' if bf16 else 'fp32'}"] = stepper(ours_at_shape(finest=64), lambda model, loss=loss: loss(model, clip, generator)[0], bf16)
            if args.peer: cases[f"{kind}, peer {'bf16' if bf16 else 'fp32'}"] = stepper(peer_at_shape(), other, bf16)
    a, b = torch.randn(2, 1024, 1024)
    seconds = least(cases | dict(matmul=lambda: a@b), args.repeats)
    for name, value in seconds.items(): print(f"{name:24}{value*1000:9.1f} ms")
    for kind in ("flow", "shortcut"):
        with FlopCounterMode(display=False) as counter: cases[f"{kind}, ours fp32"]()
        share = counter.get_total_flops()/seconds[f"{kind}, ours fp32"]/(2*1024**3/seconds["matmul"])
        best = lambda who: min(seconds[f"{kind}, {who} {p}"] for p in ("fp32", "bf16"))
        if args.peer: results += [(f"{kind} step against the peer's, each at its best", best("peer")/best("ours"), 2.), (f"{kind} step against the peer's, both fp32", seconds[f"{kind}, peer fp32"]/seconds[f"{kind}, ours fp32"], 1.3)]
        results.append((f"{kind} step: share of the core's matmul rate ({2*1024**3/seconds['matmul']/1e9:.0f} GFLOP/s), no bar", share, 0.))
    return results

@torch.no_grad()
def compare_rollouts(args):
    lengths = (8, 16, 32, 64, 128, 256)
    model, peer, clock = ours_at_shape(window=256).eval(), args.peer and peer_at_shape().eval(), time.process_time
    nn.init.normal_(model.head.weight, std=.05)  # a fresh head answers nearly nothing: its errors would not be seen
    known, generator = torch.ones(1, dtype=torch.bool), torch.Generator().manual_seed(0)
    def ours(times, frames=256):
        state = model.start(torch.zeros(1, 0, 32, 16), torch.zeros(1, 0, 1), torch.ones(1, 0, dtype=torch.bool), torch.zeros(1, 0))
        for _ in range(frames):
            action = torch.randint(0, 4, (1, 1), generator=generator).float()
            latents = sample(model.predictor(state, action, known), (1, 32, 16), K, generator)
            state = model.push(state, latents, action, known, torch.zeros(1))
            times.append(clock())
    def theirs(times, frames=256):
        hook = peer.transformer.register_forward_hook(lambda *_: times.append(clock()))  # K + 1 times a frame
        peer.generate(frames, num_steps=K, return_decoded_video=False, store_agent_embed=False)
        hook.remove()
        times[:] = times[K::K + 1]
    rate = {}
    for who, roll in [("ours", ours), *([("peer", theirs)] if peer else [])]*2:
        roll([], 2)  # warms up
        begun, times = clock(), []
        roll(times)
        for n in lengths: rate[who, n] = max(rate.get((who, n), 0.), n/(times[n - 1] - begun))
    for who in ("ours", "peer")[:1 + bool(peer)]: print(f"rollout, {who}: " + ", ".join(f"{rate[who, n]:.1f} frames/s of {n}" for n in lengths), flush=True)
    clip = [torch.randn(1, 32, 32, 16), torch.randint(0, 4, (1, 32, 1)).float(), torch.ones(1, 32, dtype=torch.bool), torch.rand(1, 32), torch.full((1, 32), 1/model.finest)]
    apart = (cached(model, *clip, first=4) - model(*clip, first=4)).abs().max().item()
    print(f"cached against the full pass: {apart:.1e} apart")
    results = [("rollout: frames/s of 256 over frames/s of 8", rate["ours", 256]/rate["ours", 8], .8), ("cached equals uncached: 1e-5 over the largest difference", 1e-5/max(apart, 1e-12), 1.)]
    if peer: results.append(("rollout against the peer's, least of all lengths", min(rate["ours", n]/rate["peer", n] for n in lengths), 3.))
    return results

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = dict(step=compare_steps, rollout=compare_rollouts, learn=compare_learning)
    parser.add_argument("--only", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--rows", nargs="+", default=["ours", "peer"], choices=list(ROWS), help="what `learn` trains; others than ours and the peer with the first seed")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", nargs="+", type=int, default=[60, 120, 300, 600], help="CPU-seconds of training when it is measured; the last ends it")
    parser.add_argument("--repeats", type=int, default=6, help="of a train step")
    parser.add_argument("--peer", type=Path, help="folder with PyPI's dreamer4")
    args = parser.parse_args()
    if args.peer: sys.path.append(str(args.peer))
    else: args.rows = [r for r in args.rows if r != "peer"]
    torch.set_num_threads(1)
    results = [row for name in args.only for row in parts[name](args)]
    print()
    for name, value, bar in results: print(f"{name:80}{value:8.2f}{bar:8.2f}  {'ok' if value >= bar else 'MISSED'}")
    sys.exit(any(value < bar for _, value, bar in results))

if __name__ == "__main__": main()
