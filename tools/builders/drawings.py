"""What `mini8` draws with no photograph, font or data set: traffic signs and patterns."""

import numpy as np

SIZE = 32

RED, BLUE, WHITE, BLACK, YELLOW = (
    (190, 30, 40),
    (30, 70, 170),
    (240, 240, 240),
    (20, 20, 20),
    (240, 200, 40),
)


def _polygon(pen, corners, radius, turn, fill):
    angles = np.deg2rad(turn + 360 * np.arange(corners) / corners)
    pen.polygon([(64 + radius * np.cos(a), 64 + radius * np.sin(a)) for a in angles], fill=fill)


def _disc(pen, radius, fill):
    pen.ellipse([64 - radius, 64 - radius, 64 + radius, 64 + radius], fill=fill)


def _arrow(pen, turn):
    shape = np.array([(-30, -8), (6, -8), (6, -24), (36, 0), (6, 24), (6, 8), (-30, 8)], float)
    a = np.deg2rad(turn)
    shape = shape @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + 64
    pen.polygon([tuple(p) for p in shape], fill=WHITE)


def _text(pen, font, text, fill):
    pen.text((64, 64), text, fill, font=font, anchor="mm")


def _speed(number):
    return lambda pen, font: (
        _disc(pen, 60, RED),
        _disc(pen, 45, WHITE),
        _text(pen, font, number, BLACK),
    )


def _turn(angle):
    return lambda pen, font: (_disc(pen, 60, BLUE), _arrow(pen, angle))


SIGNS = {
    "stop": lambda pen, font: (_polygon(pen, 8, 62, 22.5, RED), _text(pen, font, "STOP", WHITE)),
    "give way": lambda pen, font: (_polygon(pen, 3, 64, 90, RED), _polygon(pen, 3, 40, 90, WHITE)),
    "no entry": lambda pen, font: (
        _disc(pen, 60, RED),
        pen.rectangle([24, 54, 104, 74], fill=WHITE),
    ),
    "no vehicles": lambda pen, font: (_disc(pen, 60, RED), _disc(pen, 44, WHITE)),
    "no stopping": lambda pen, font: (
        _disc(pen, 60, RED),
        _disc(pen, 48, BLUE),
        pen.line([30, 30, 98, 98], fill=RED, width=12),
        pen.line([98, 30, 30, 98], fill=RED, width=12),
    ),
    "no parking": lambda pen, font: (
        _disc(pen, 60, RED),
        _disc(pen, 48, BLUE),
        pen.line([30, 30, 98, 98], fill=RED, width=12),
    ),
    "speed 30": _speed("30"),
    "speed 50": _speed("50"),
    "speed 80": _speed("80"),
    "turn left": _turn(180),
    "turn right": _turn(0),
    "straight on": _turn(-90),
    "priority road": lambda pen, font: (
        _polygon(pen, 4, 62, 0, WHITE),
        _polygon(pen, 4, 48, 0, YELLOW),
    ),
    "danger": lambda pen, font: (
        _polygon(pen, 3, 64, -90, RED),
        _polygon(pen, 3, 42, -90, WHITE),
        pen.rectangle([60, 42, 68, 74], fill=BLACK),
        pen.rectangle([60, 79, 68, 86], fill=BLACK),
    ),
    "parking": lambda pen, font: (
        pen.rectangle([10, 10, 118, 118], fill=BLUE),
        _text(pen, font, "P", WHITE),
    ),
}


def _grid(rng, period):
    """Two rotated coordinates in units of `period` pixels, with a random phase."""
    a = rng.uniform(0, np.pi)
    y, x = np.mgrid[:SIZE, :SIZE] / period
    return x * np.cos(a) + y * np.sin(a) + rng.random(), y * np.cos(a) - x * np.sin(
        a
    ) + rng.random()


def _clouds(rng, roughness):
    """Random field with power spectrum 1/f^roughness."""
    f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]) + 1 / SIZE
    shape = (SIZE, SIZE // 2 + 1)
    waves = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * f ** (-roughness / 2)
    return np.fft.irfft2(waves, s=(SIZE, SIZE))


def _nearest(rng, points):
    """Distances to the nearest and second nearest of random points, (2, 32, 32)."""
    centres = rng.uniform(-4, SIZE + 4, (points, 2))
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.sort(np.hypot(y - centres[:, :1, None], x - centres[:, 1:, None]), axis=0)[:2]


def _stripes(rng):
    u, _ = _grid(rng, rng.uniform(4, 10))
    return (u % 1 < 0.5).astype(float)


def _checks(rng):
    u, v = _grid(rng, rng.uniform(6, 14))
    return ((u % 1 < 0.5) ^ (v % 1 < 0.5)).astype(float)


def _dots(rng):
    u, v = _grid(rng, rng.uniform(6, 12))
    return (np.hypot(u % 1 - 0.5, v % 1 - 0.5) < rng.uniform(0.22, 0.38)).astype(float)


def _waves(rng):
    u, v = _grid(rng, rng.uniform(8, 14))
    return ((v + 0.25 * np.sin(2 * np.pi * u)) * rng.uniform(1.5, 2.5) % 1 < 0.5).astype(float)


def _weave(rng):
    u, v = _grid(rng, rng.uniform(8, 14))
    over = (u % 1 < 0.5) ^ (v % 1 < 0.5)
    return np.where(over, np.abs(np.sin(2 * np.pi * u)), 0.7 * np.abs(np.sin(2 * np.pi * v)))


def _cracks(rng):
    first, second = _nearest(rng, int(rng.integers(12, 30)))
    return (second - first > 1.5).astype(float)


def _bubbles(rng):
    first, _ = _nearest(rng, int(rng.integers(12, 30)))
    return np.cos(first * rng.uniform(0.9, 1.3)) * (first < 4)


def _marble(rng):
    u, _ = _grid(rng, rng.uniform(10, 20))
    return np.abs(np.sin(2 * np.pi * u + 25 * _clouds(rng, 3) / np.sqrt(SIZE)))


TEXTURES = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "waves": _waves,
    "weave": _weave,
    "cracks": _cracks,
    "bubbles": _bubbles,
    "marble": _marble,
    "clouds": lambda rng: _clouds(rng, 3.5),
    "grain": lambda rng: _clouds(rng, 0.5),
}
