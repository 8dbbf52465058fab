"""Worlds whose right answers are known, for the chapters that measure and judge worlds.

`strip`: a strip of noise that the yaw scrolls; `Strip` is a foreign world that has its
`reset`, `step` and `dream` alone. `walk`: a picture that the yaw rolls sideways and `forward`
upwards, what leaves at one side comes back at the other; `walk_world` is a whole World that
moves it exactly, or fails in one way that is named. `attack` does nothing in either. `glide`: a
picture that glides sideways with inertia, and a level `steer` that changes its speed. `lamp`:
stripes of codes that the yaw scrolls, above a lamp of one of two codes by a coin's throw in every
frame; `lamp_world` is a World over codes that knows just that, or fails in one way that is named.
"""
import hashlib
from pathlib import Path
from types import SimpleNamespace

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F
from wmkit.data.actions import DOOM, ActionSpace, Channel
from wmkit.data.clips import Clips, led_to, write_store
from wmkit.dynamics.protocol import ActionInput, Denoiser
from wmkit.dynamics.tokens import TokenDynamics, TokenState

FORWARD, ATTACK, YAW = map(DOOM.index, ("forward", "attack", "yaw"))


def store(folder, name, episode, space=DOOM, train=6, test=8):
    "(train, test): Clips of a frame store of such episodes."
    def episodes():
        for seed in range(train + test):
            tensors = dict(zip(("frames", "actions", "known"), episode(seed)))
            yield seed, "train" if seed < train else "test", tensors
    write_store(Path(folder)/name, "frames", dict(game=name), space, 10, episodes())
    return tuple(Clips(Path(folder)/name, split, 8) for split in ("train", "test"))


# ---- the strip


def _scroll(strip, at):  # 160 columns, the first 32 once more
    return torch.stack([strip[..., int(p) % 160:][..., :32] for p in at])


def strip_episode(seed, t=64):
    "Frames [t 3 32 32] of a strip that a yaw of one degree moves by a pixel; led-to actions."
    g = torch.Generator().manual_seed(seed)
    strip = F.interpolate(torch.rand(1, 3, 8, 40, generator=g), (32, 160), mode="bilinear")[0]
    strip = (torch.cat([strip, strip[..., :32]], -1)*255).to(torch.uint8)
    actions = torch.zeros(t, 9)
    turns = torch.randint(-6, 7, (t//4, 1), generator=g).expand(-1, 4)
    actions[:, YAW] = turns.flatten().float()
    at = torch.cat([torch.zeros(1), actions[:-1, YAW].cumsum(0)])
    return _scroll(strip, at), *led_to(actions)


class Strip:
    "A world that moves its last frame by `gain` pixels a degree."
    space, context, K, device = DOOM, 3, 1, torch.device("cpu")
    tokenizer = SimpleNamespace(encode=lambda x: x, decode=lambda x: x)

    def __init__(self, gain):
        self.gain = gain

    def reset(self, frames, actions, known=None, seed=0):
        return frames[:, -1]

    def step(self, state, action):
        pixels = [-int(round(self.gain*float(a[YAW]))) for a in action]
        moved = torch.stack([f.roll(p, -1) for f, p in zip(state, pixels)])
        return moved, moved

    def dream(self, frames, actions, known=None, seed=0):
        state, out = self.reset(frames, None), []
        for t in range(frames.shape[1], actions.shape[1]):
            state, frame = self.step(state, actions[:, t])
            out.append(frame)
        return torch.stack(out, 1)


# ---- the walk


def moved(frames, actions):
    "Frames [b 3 h w] moved by actions [b 9]."
    shifts = [(-2*int(a[FORWARD]), -int(a[YAW].round())) for a in actions]
    return torch.stack([f.roll(shift, (-2, -1)) for f, shift in zip(frames, shifts)])


def walk_episode(seed, t=72):
    "Frames [t 3 32 32] of a picture that is walked and turned; now and then nothing is done."
    g = torch.Generator().manual_seed(seed)
    picture = F.interpolate(torch.rand(1, 3, 10, 10, generator=g), (32, 32), mode="bilinear")
    picture, actions = .45*(picture - picture.mean())/picture.std(), torch.zeros(t, 9)

    def held(values):
        return values.repeat_interleave(3)[:t].float()

    actions[:, YAW] = held(torch.randint(-6, 7, (t//3,), generator=g))
    for channel in (FORWARD, ATTACK):
        actions[:, channel] = held(torch.randint(2, (t//3,), generator=g))
    actions[:, [FORWARD, YAW]] *= held(torch.rand(t//3, generator=g) > .4)[:, None]
    frames = [picture]
    for a in actions[:-1]:
        frames.append(moved(frames[-1], a[None]))
    frames = ((torch.cat(frames) + 1)*127.5).clamp(0, 255).round().to(torch.uint8)
    return frames, *led_to(actions)


class Patches(nn.Module):
    "A tokenizer that loses nothing."
    grid, channels, size = (8, 8), 48, (32, 32)

    def encode(self, frames):
        return rearrange(frames, "b t c (h i) (w j) -> b t (h w) (c i j)", i=4, j=4)

    def decode(self, latents):
        frames = rearrange(latents, "b t (h w) (c i j) -> b t c (h i) (w j)", h=8, i=4, j=4)
        return frames.clamp(-1, 1)


def _soft(frames):
    return F.avg_pool2d(frames, 3, 1, 1, count_include_pad=False)


FRAME_FAULTS = dict(  # what becomes of the frame that was moved rightly
    blurs=_soft,
    greys=lambda x: .7*x,
    sharpens=lambda x: x + .4*(x - _soft(x)),
    drifts=lambda x: (x + .04).clamp(-1, 1),
    broken=lambda x: x*float("nan"))


class Walk(Denoiser, nn.Module):
    "A dynamics that moves the last frame as its actions say, but for one fault."
    grid, context, config = (8, 8), 3, dict(channels=48)

    def __init__(self, fault="none"):
        super().__init__()
        self.fault, self.actions = fault, ActionInput(DOOM)
        self.unused = nn.Parameter(torch.ones(()))  # says where the world is

    def start(self, latents, actions, known, noise):
        lively = latents[:, -1, :, 0].std(1) < .31  # of some clips; the same in a whole dream
        return dict(last=latents[:, -1], level=noise[:, -1], old=actions[:, -1], lively=lively)

    def push(self, state, latents, action, known, noise):
        old = state["old"] if self.fault == "habit" else action
        return state | dict(last=latents, level=noise, old=old)

    def forward(self, *args, **kwargs):
        raise NotImplementedError

    def _next_frame(self, state, action):
        clean = state["last"][:, None]/(1 - state["level"])[:, None, None, None]
        played = dict(copies=0*action, late=state["old"], habit=state["old"],
                      deaf=action*torch.arange(9).ne(YAW)).get(self.fault, action)
        frame = moved(Patches().decode(clean)[:, 0], played)
        if self.fault == "sometimes dark":
            return torch.where(state["lively"][:, None, None, None], frame, .5*frame - .4)
        return FRAME_FAULTS.get(self.fault, lambda x: x)(frame)

    def predictor(self, state, action, known):
        frame = self._next_frame(state, action)
        clean = Patches().encode(frame[:, None])[:, 0]

        def predict(noisy, noise, step_size):
            level = noise[:, None, None]
            if self.fault == "picky" and state["level"][0] < .05:  # never saw so clean a past
                return Patches().encode(.3*frame[:, None])[:, 0]
            if self.fault == "denoises":  # the best linear denoiser of variance .2
                return (1 - level)*.2*noisy/((1 - level)**2*.2 + level**2)
            return clean + .2*noisy*level if self.fault == "shimmers" else clean
        return predict


def walk_world(fault="none", context_noise=0., K=1):
    "A World of `Patches` and `Walk`."
    from wmkit.worlds.world import World
    return World(Patches(), Walk(fault), K, context_noise)


# ---- the glide


STEER = ActionSpace([Channel("steer", "level", low=-1, high=1, sign="right")])
SPEEDS = torch.arange(-2, 2.1, .25)  # pixels a frame


def glided(pictures, at):
    "Periodic pictures [n 3 32 32] moved to the right by `at` [n] pixels, whole or not."
    waves = torch.fft.rfftfreq(pictures.shape[-1])
    turned = torch.exp(-2j*torch.pi*waves*at[:, None])[:, None, None]
    return torch.fft.irfft(torch.fft.rfft(pictures)*turned, pictures.shape[-1])


def faster(speed, action):
    "The speed after an action: what it does is seen in the frame after the next."
    return (speed + .25*action[:, 0].round()).clamp(-2, 2)


def glide_episode(seed, t=72):
    "Frames [t 3 32 32] of a picture that glides, and is steered for five frames at a time."
    g = torch.Generator().manual_seed(seed)
    picture = F.interpolate(torch.rand(1, 3, 10, 10, generator=g), (32, 32), mode="bilinear")
    picture = .3*(picture - picture.mean())/picture.std()
    actions = torch.randint(-1, 2, (t//5 + 1, 1), generator=g).repeat_interleave(5, 0)[:t].float()
    speed, at, places = torch.zeros(1), torch.zeros(1), []
    for action in actions:
        places.append(at)
        at, speed = at + speed, faster(speed, action[None])
    frames = glided(picture.expand(t, -1, -1, -1), torch.cat(places))
    return ((frames + 1)*127.5).clamp(0, 255).round().to(torch.uint8), *led_to(actions)


class Glide:
    "A world that glides on as it is steered, with a little noise, or is deaf."
    space, context, K, device = STEER, 3, 1, torch.device("cpu")
    tokenizer = SimpleNamespace(encode=lambda x: x, decode=lambda x: x)

    def __init__(self, fault="none", noise=.1):
        self.fault, self.noise = fault, noise

    def dream(self, frames, actions, known=None, seed=0):
        g, last = torch.Generator().manual_seed(seed), frames[:, -1]
        guesses = torch.stack([glided(frames[:, -2], v.expand(len(last))) for v in SPEEDS])
        speed = SPEEDS[(guesses - last).square().mean((2, 3, 4)).argmin(0)]
        played = actions*(self.fault != "deaf")
        at, out = torch.zeros(len(last)), []
        speed = faster(speed, played[:, frames.shape[1] - 1])
        for action in played[:, frames.shape[1]:].unbind(1):
            at, speed = at + speed, faster(speed, action)
            out.append(glided(last, at))
        out = torch.stack(out, 1)
        return out + self.noise*torch.randn(out.shape, generator=g)


# ---- the lamp

TURN = ActionSpace([Channel("yaw", "delta", "tiles per frame", -1, 1, "right")])
LAMPS = 6, 7    # the last codes of eight; the stripes have the others


class Tiles(nn.Module):
    "A discrete tokenizer: a code is a tile of 8x8 pixels; `soft`: tiles blur into each other."
    channels = 3

    def __init__(self, codes=8, grid=(4, 8), soft=False):
        super().__init__()
        self.codes, self.grid, self.soft = codes, tuple(grid), soft
        self.size = 8*grid[0], 8*grid[1]
        self.config = dict(codes=codes, grid=list(grid), soft=soft)
        corners = torch.cartesian_prod(*[torch.tensor([-.6, .6])]*3)
        colours = torch.cat([corners/2**i for i in range(codes//8)])
        self.codebook = nn.Parameter(colours, requires_grad=False)

    def encode(self, frames):
        cells = rearrange(frames, "b t c (h i) (w j) -> b t (h w) c (i j)", i=8, j=8)
        return self.nearest(cells.mean(-1))

    def nearest(self, latents):
        return torch.cdist(latents.float(), self.codebook).argmin(-1).unflatten(2, self.grid)

    def embed(self, codes):
        return self.codebook[codes].flatten(2, 3)

    def decode(self, codes):
        colours = self.codebook[codes].permute(0, 1, 4, 2, 3)
        if self.soft:
            around = _soft(colours.flatten(0, 1)).unflatten(0, codes.shape[:2])
            colours = .25*colours + .75*around  # one among others is outvoted
        return colours.repeat_interleave(8, -2).repeat_interleave(8, -1)

    def codebook_hash(self):
        return hashlib.sha256(self.codebook.numpy().tobytes()).hexdigest()[:16]


def scrolled(codes, actions):
    "Codes [b h w] moved by actions [b 1]."
    return torch.stack([c.roll(int(a), -1) for c, a in zip(codes, actions[:, 0])])


def lamp_codes(seed, t=72):
    "(codes [t 4 8], actions [t 1] taken at them)."
    g = torch.Generator().manual_seed(seed)

    def held(values):
        return values.repeat_interleave(4)[:t].float()

    stripes = torch.randperm(6, generator=g)[:4].repeat_interleave(2).expand(1, 4, 8)
    turns = held(torch.randint(-1, 2, (t//4 + 1,), generator=g))
    actions = (turns*held(torch.rand(t//4 + 1, generator=g) < .7))[:, None]
    rows = [stripes]
    for a in actions[:-1]:
        rows.append(scrolled(rows[-1], a[None]))
    codes = torch.cat(rows)
    codes[:, -1:] = LAMPS[0] + torch.randint(2, (t, 1, 1), generator=g)
    return codes, actions


def lamp_episode(seed, t=72):
    "Frames [t 3 32 64] and their led-to actions."
    codes, actions = lamp_codes(seed, t)
    frames = Tiles().decode(codes[None])[0]
    return ((frames + 1)*127.5).round().to(torch.uint8), *led_to(actions)


class LampDynamics(TokenDynamics):
    "Knows the game exactly, but for one fault; a joint head draws one lamp, the other one many."
    context = 2

    def __init__(self, fault="none", joint=True):
        nn.Module.__init__(self)
        self.fault, self.joint = fault, joint
        self.codes, self.grid, self.config = 8, (4, 8), dict(codes=8)
        self.actions = ActionInput(TURN)
        self.unused = nn.Parameter(torch.ones(()))  # says where the world is

    def begin(self, codes, actions, known, sampling=None, generator=None):
        return TokenState(codes.shape[1], codes[:, -1])

    def keep(self, state, codes, action, known, sampling=None, generator=None):
        return TokenState(state.memory + 1, codes)

    def logits_of(self, state, action, known, shown=None):
        played = action*(self.fault != "deaf")
        share = F.one_hot(scrolled(state.last, played), 8).float()
        share[:, -1:] = self._lamp(shown, share)
        return self._spoilt(share, state).clamp_min(1e-9).log()

    def _lamp(self, shown, share):
        "What the head knows of the lamp: all places, or one that it has seen."
        odds = share.new_zeros(len(share), 8)
        odds[:, list(LAMPS)] = .5
        if self.joint and shown is not None:
            for code in LAMPS:
                seen = (shown[:, -1:] == code).flatten(1).any(1)
                odds[seen] = F.one_hot(torch.tensor(code), 8).float()
        return odds[:, None, None]

    def _spoilt(self, share, state):
        wrong = dict(noisy=.1, ages=.02*max(0, state.memory - 12)).get(self.fault, 1e-4)
        if self.fault == "fragile":  # lost after a lamp of two colours
            lamp = state.last[:, -1:].flatten(1)
            mixed = (lamp != lamp[:, :1]).any(1)[:, None, None, None]
            wrong = torch.where(mixed, .9, wrong)
        if self.fault == "sinks":
            share = .7*share + .3*F.one_hot(torch.tensor(0), 8)
        if self.fault == "misses":
            share[..., 2] += share[..., 3]
            share[..., 3] = 0
            return share
        return share*(1 - wrong) + wrong/8


def lamp_world(fault="none", joint=True, soft=False, **sampling):
    "A World of `Tiles` and `LampDynamics`; a joint head takes a step a code if not told otherwise."
    from wmkit.worlds.world import World
    if joint:
        sampling = dict(K=32) | sampling
    return World(Tiles(soft=soft), LampDynamics(fault, joint), **sampling)
