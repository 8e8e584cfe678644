"""Draw small landscapes, and encode them in five picture formats with the standard library alone."""

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
    """Pixels in rows, three bytes each (red, green, blue)."""

    width: int
    height: int
    pixels: bytes

    def row(self, y: int) -> bytes:
        return self.pixels[y * self.width * 3 : (y + 1) * self.width * 3]


@dataclass(frozen=True)
class Scene:
    """The colours of a landscape: the sky from `top` to `horizon`, the sun or moon, and the hills."""

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
    """Return a mixture of two colours; `share` (0 to 1) is the part of `b`."""
    return (
        int(a[0] + (b[0] - a[0]) * share),
        int(a[1] + (b[1] - a[1]) * share),
        int(a[2] + (b[2] - a[2]) * share),
    )


def paint(scene: Scene, width: int, height: int, seed: int) -> Canvas:
    """Return the scene as pixels. Hills and sun depend on the seed."""
    rng = random.Random(seed)
    sun_x, sun_y, radius = width * rng.uniform(0.2, 0.8), height * rng.uniform(0.2, 0.4), height * 0.09
    far_to_near = [ridge(width, height, step, rng) for step in range(4)]
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


def ridge(width: int, height: int, step: int, rng: random.Random) -> list[float]:
    """Return the y coordinate of a line of hills in each column: the sum of a slow wave and a fast one."""
    slow, fast, shift = rng.uniform(1, 2.4), rng.uniform(4, 8), rng.uniform(0, math.tau)
    angle = math.tau / width
    return [
        height
        * (
            0.52 + 0.13 * step
            + 0.07 * math.sin(shift + slow * angle * x)
            + 0.02 * math.sin(shift * 3 + fast * angle * x)
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
    """Return a row in the order of a BMP: blue, green, red."""
    swapped_row = bytearray(row)
    swapped_row[0::3], swapped_row[2::3] = row[2::3], row[0::3]
    return bytes(swapped_row)


def gif(canvas: Canvas) -> bytes:
    """Encode one frame with the 256 most common colours.

    All codes are nine bits wide, because the code table is cleared before it grows.
    """
    coarse = [tuple(v & 0xF8 for v in rgb) for rgb in split(canvas.pixels, 3)]
    palette = [colour for colour, _ in Counter(coarse).most_common(256)]
    index_of = {colour: i for i, colour in enumerate(palette)}
    clear, end = 256, 257
    codes: list[int] = []
    for i, colour in enumerate(coarse):
        if i % 250 == 0:
            codes.append(clear)
        if colour not in index_of:
            index_of[colour] = min(range(len(palette)), key=lambda p, c=colour: math.dist(c, palette[p]))  # type: ignore[misc]
        codes.append(index_of[colour])
    stream, bits, bit_count = bytearray(), 0, 0
    for code in [*codes, end]:
        bits |= code << bit_count
        bit_count += 9
        while bit_count >= 8:
            stream.append(bits & 255)
            bits >>= 8
            bit_count -= 8
    stream.append(bits)
    blocks = b"".join(bytes([len(part)]) + part for part in split(bytes(stream), 255))
    colours = b"".join(map(bytes, palette)).ljust(768, b"\0")
    size = struct.pack("<HH", canvas.width, canvas.height)
    frame = b"," + bytes(4) + size + b"\0" + b"\x08" + blocks + b"\0"
    return b"GIF89a" + size + b"\xf7\0\0" + colours + frame + b";"


def split(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def tiff(canvas: Canvas) -> bytes:
    """Encode baseline RGB in one strip, without compression."""
    tags = [
        (256, 4, 1, canvas.width), (257, 4, 1, canvas.height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 16), (277, 3, 1, 3), (278, 4, 1, canvas.height), (279, 4, 1, len(canvas.pixels)),
    ]  # fmt: skip
    # The position of the three bit depths, which precede the directory.
    depths = 16 + len(canvas.pixels)
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
    """Encode an icon with one entry, which is a PNG."""
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
    """Write the pictures into the folder, and return their paths."""
    paths: list[Path] = []
    for seed, (name, scene, width, height, encode) in enumerate(PICTURES):
        path = folder / name
        path.write_bytes(encode(paint(scene, width, height, seed)))
        paths.append(path)
    return paths
