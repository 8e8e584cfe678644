"""Small landscapes in five picture formats, drawn and encoded with the standard library alone."""

from __future__ import annotations

import math
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Canvas:
    """Pixels row by row, three bytes each (red, green, blue)."""

    width: int
    height: int
    pixels: bytes

    def row(self, y: int) -> bytes:
        return self.pixels[y * self.width * 3 : (y + 1) * self.width * 3]


@dataclass(frozen=True)
class Scene:
    """A sky from `top` to `horizon`, a light in it, and hills that darken towards the viewer."""

    top: Colour
    horizon: Colour
    light: Colour
    hills: Colour


DAWN = Scene((38, 48, 96), (255, 170, 120), (255, 236, 190), (96, 62, 96))
MEADOW = Scene((70, 140, 220), (214, 238, 250), (255, 252, 224), (96, 160, 84))
DUNES = Scene((236, 150, 84), (255, 228, 176), (255, 248, 220), (206, 134, 74))
FJORD = Scene((24, 78, 104), (164, 214, 214), (240, 255, 250), (44, 104, 112))
NIGHT = Scene((8, 10, 32), (44, 52, 104), (232, 236, 255), (24, 30, 62))


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` (0 to 1) of `b` in it."""
    return (
        int(a[0] + (b[0] - a[0]) * share),
        int(a[1] + (b[1] - a[1]) * share),
        int(a[2] + (b[2] - a[2]) * share),
    )


def paint(scene: Scene, width: int, height: int, seed: int) -> Canvas:
    """The scene as pixels; each seed has other hills and another place for the light."""
    dice = random.Random(seed)
    sun_x, sun_y, radius = width * dice.uniform(0.2, 0.8), height * dice.uniform(0.2, 0.4), height * 0.09
    far_to_near = [ridge(width, height, step, dice) for step in range(4)]
    shades = [
        mix(mix(scene.horizon, scene.hills, 0.45 + step * 0.18), (0, 0, 0), step * 0.14) for step in range(4)
    ]
    pixels = bytearray()
    for y in range(height):
        sky = mix(scene.top, scene.horizon, min(1.0, y / (height * 0.6)))
        for x in range(width):
            for line, shade in zip(reversed(far_to_near), reversed(shades), strict=True):
                if y >= line[x]:
                    pixels += bytes(shade)
                    break
            else:
                distance = math.hypot(x - sun_x, y - sun_y) / radius
                pixels += bytes(scene.light if distance < 1 else mix(sky, scene.light, 0.7 / distance**2))
    return Canvas(width, height, bytes(pixels))


def ridge(width: int, height: int, step: int, dice: random.Random) -> list[float]:
    """Where a line of hills begins, in each column: a slow wave with a fast one on it."""
    slow, fast, shift = dice.uniform(1, 2.4), dice.uniform(4, 8), dice.uniform(0, math.tau)
    turn = math.tau / width
    return [
        height
        * (
            0.52 + 0.13 * step
            + 0.07 * math.sin(shift + slow * turn * x)
            + 0.02 * math.sin(shift * 3 + fast * turn * x)
        )
        for x in range(width)
    ]  # fmt: skip


def png(canvas: Canvas) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", canvas.width, canvas.height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + canvas.row(y) for y in range(canvas.height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def bmp(canvas: Canvas) -> bytes:
    padding = bytes(-canvas.width * 3 % 4)
    rows = b"".join(swapped(canvas.row(y)) + padding for y in reversed(range(canvas.height)))
    header = struct.pack(
        "<IiiHHIIiiII", 40, canvas.width, canvas.height, 1, 24, 0, len(rows), 2835, 2835, 0, 0
    )
    return struct.pack("<2sIII", b"BM", 54 + len(rows), 0, 54) + header + rows


def swapped(row: bytes) -> bytes:
    """Blue, green, red: the order of a BMP."""
    turned = bytearray(row)
    turned[0::3], turned[2::3] = row[2::3], row[0::3]
    return bytes(turned)


def gif(canvas: Canvas) -> bytes:
    """One frame in its own 256 commonest colours. All codes are nine bits wide: the table is cleared before it would grow."""
    coarse = [tuple(v & 0xF8 for v in rgb) for rgb in pieces(canvas.pixels, 3)]
    palette = [colour for colour, _ in Counter(coarse).most_common(256)]
    place = {colour: i for i, colour in enumerate(palette)}
    clear, end = 256, 257
    codes: list[int] = []
    for i, colour in enumerate(coarse):
        if i % 250 == 0:
            codes.append(clear)
        if colour not in place:
            place[colour] = min(range(len(palette)), key=lambda p, c=colour: math.dist(c, palette[p]))  # type: ignore[misc]
        codes.append(place[colour])
    stream, bits, held = bytearray(), 0, 0
    for code in [*codes, end]:
        bits |= code << held
        held += 9
        while held >= 8:
            stream.append(bits & 255)
            bits >>= 8
            held -= 8
    stream.append(bits)
    blocks = b"".join(bytes([len(part)]) + part for part in pieces(bytes(stream), 255))
    colours = b"".join(map(bytes, palette)).ljust(768, b"\0")
    size = struct.pack("<HH", canvas.width, canvas.height)
    frame = b"," + bytes(4) + size + b"\0" + b"\x08" + blocks + b"\0"
    return b"GIF89a" + size + b"\xf7\0\0" + colours + frame + b";"


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def tiff(canvas: Canvas) -> bytes:
    """Baseline RGB in one strip, without compression."""
    tags = [
        (256, 4, 1, canvas.width), (257, 4, 1, canvas.height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 16), (277, 3, 1, 3), (278, 4, 1, canvas.height), (279, 4, 1, len(canvas.pixels)),
    ]  # fmt: skip
    depths = 16 + len(canvas.pixels)  # three 8s, before the directory
    directory = depths + 8
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, depths if tag == 258 else value)
        for tag, kind, count, value in tags
    )
    return (
        struct.pack("<2sHI8x", b"II", 42, directory)
        + canvas.pixels
        + struct.pack("<4H", 8, 8, 8, 0)
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def ico(canvas: Canvas) -> bytes:
    """An icon with one entry, which is a PNG."""
    picture = png(canvas)
    entry = struct.pack("<BBBBHHII", canvas.width % 256, canvas.height % 256, 0, 0, 1, 24, len(picture), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + picture


Encoder: TypeAlias = Callable[[Canvas], bytes]

PICTURES: list[tuple[str, Scene, int, int, Encoder]] = [
    ("dawn.png", DAWN, 240, 150, png),
    ("dawn over the hills.bmp", DAWN, 160, 100, bmp),
    ("meadow.gif", MEADOW, 180, 120, gif),
    ("meadow.png", MEADOW, 240, 150, png),
    ("dunes.tiff", DUNES, 200, 125, tiff),
    ("dunes.gif", DUNES, 180, 120, gif),
    ("fjord.png", FJORD, 300, 120, png),
    ("fjord ❄ été.bmp", FJORD, 160, 100, bmp),
    ("night.ico", NIGHT, 96, 96, ico),
    ("night.tiff", NIGHT, 200, 125, tiff),
]


def draw(folder: Path) -> list[Path]:
    """Write the pictures into the folder; what comes back are their paths."""
    paths: list[Path] = []
    for seed, (name, scene, width, height, encode) in enumerate(PICTURES):
        path = folder / name
        path.write_bytes(encode(paint(scene, width, height, seed)))
        paths.append(path)
    return paths
