#!/usr/bin/env python3
"""Makes the small pictures of this folder and `expected.bin`, what Pillow decodes them to.

Needs `pip install pillow==13.0.0 numpy` and cjpeg (Debian package libjpeg-turbo-progs).
expected.bin is, for each picture: a line "<name> <width> <height>", then its RGB bytes.
"""

import io
import pathlib
import struct
import subprocess
import zlib

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 7, 5  # of the pictures made byte by byte
random = np.random.default_rng(1)


def noise(*shape, bits=8):
    return random.integers(0, 1 << bits, shape)


def smooth(channels=3):
    """A picture of 19 x 13 on which lossy formats lose little."""
    y, x = np.mgrid[0:13, 0:19]
    waves = [np.sin(x / 3 + k) * 60 + np.cos(y / 4 - k) * 60 + 128 for k in range(channels)]
    return np.stack(waves, -1).astype(np.uint8)


def packed(row, bits):
    """Samples of a row, `bits` bits each, high bits first, padded to a byte."""
    if bits == 16:
        return row.astype(">u2").tobytes()
    text = "".join(format(int(value), f"0{bits}b") for value in row.reshape(-1))
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def interlaced_png(colour_type, channels, bits):
    pixels = noise(HEIGHT, WIDTH, channels, bits=bits)
    rows = b""
    for left, top, across, down in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
                                    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = pixels[top::down, left::across]
        if part.size:
            rows += b"".join(b"\0" + packed(row, bits) for row in part)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour_type, 0, 0, 1)
    chunks = [(b"IHDR", header)]
    if colour_type == 3:
        chunks.append((b"PLTE", noise(3 << bits).astype(np.uint8).tobytes()))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks)


def saved(array, form, **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form, **options)
    return stream.getvalue()


def animated_webp(frame):
    """One lossless frame at (2, 2) of a canvas of 8 x 6 with a background colour."""
    def number(value):
        return struct.pack("<I", value)[:3]

    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    picture = saved(frame, "WEBP", lossless=True, exact=True)
    bitstream = picture[picture.index(b"VP8L") :]
    height, width = frame.shape[:2]
    place = number(1) + number(1) + number(width - 1) + number(height - 1) + number(100) + b"\0"
    body = chunk(b"VP8X", struct.pack("<I", 0x12) + number(7) + number(5))
    body += chunk(b"ANIM", bytes([1, 2, 3, 4, 0, 0])) + chunk(b"ANMF", place + bitstream)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def cjpeg(*options):
    ppm = saved(smooth(), "PPM")
    return subprocess.run(["cjpeg", *options], input=ppm, capture_output=True, check=True).stdout


def palette(colours, entry=4):
    return b"".join(noise(3).astype(np.uint8).tobytes() + b"\0" * (entry - 3)
                    for _ in range(colours))


def bmp_rows(bits):
    return noise((WIDTH * bits + 31) // 32 * 4 * HEIGHT).astype(np.uint8).tobytes()


def bmp(bits, compression, tables, pixels, offset=None, header=40, masks=(), size=(WIDTH, HEIGHT)):
    if header == 12:
        info = struct.pack("<IHHHH", 12, *size, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, *size, 1, bits, compression, 0, 0, 0, 0, 0)
        info += struct.pack(f"<{len(masks)}I", *masks)
        info += b"\0" * (header - len(info) if header > 40 else 0)
    start = 14 + len(info) + len(tables) if offset is None else offset
    return b"BM" + struct.pack("<III", 0, 0, start) + info + tables + pixels


def runs(bits, *codes):
    return bmp(bits, 2 if bits == 4 else 1, palette(1 << bits) if bits == 4 else palette(256),
               bytes(codes), size=(5, 3))


def tiff(photometric, samples, bits, big_endian=False, deflate=False):
    order = ">" if big_endian else "<"
    pixels = noise(HEIGHT, WIDTH, samples, bits=bits)
    data = (pixels.astype(f"{order}u2").tobytes() if bits == 16 else
            b"".join(packed(row, bits) for row in pixels))
    data = zlib.compress(data) if deflate else data
    data += b"\0" * (len(data) % 2)
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [bits] * samples, 259: [8 if deflate else 1],
            262: [photometric], 273: [8], 277: [samples], 278: [HEIGHT], 279: [len(data)]}
    if photometric == 3:
        tags[320] = noise(3 << bits, bits=16).tolist()
    directory, beyond = b"", b""
    beyond_at = 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):  # all as 16-bit numbers
        value = struct.pack(f"{order}{len(values)}H", *values)
        if len(value) > 4:
            value, beyond = struct.pack(f"{order}I", beyond_at + len(beyond)), beyond + value
        directory += struct.pack(f"{order}HHI", tag, 3, len(values)) + value.ljust(4, b"\0")
    magic = b"MM\0*" if big_endian else b"II*\0"
    return (magic + struct.pack(f"{order}I", 8 + len(data)) + data +
            struct.pack(f"{order}H", len(tags)) + directory + b"\0\0\0\0" + beyond)


def pnm(kind, most):
    samples = random.integers(0, most + 1, HEIGHT * WIDTH * (3 if kind in (3, 6) else 1))
    data = samples.astype(">u2").tobytes() if kind > 3 else " ".join(map(str, samples)).encode()
    return f"P{kind}\n{WIDTH} {HEIGHT}\n{most}\n".encode() + data


def pictures():
    alpha = np.dstack([smooth(), noise(13, 19)]).astype(np.uint8)
    yield "lossy.webp", saved(smooth(), "WEBP", quality=80)
    yield "lossy_alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "animated.webp", saved(smooth(), "WEBP", quality=70, save_all=True, duration=100,
                                 append_images=[Image.fromarray(smooth()[::-1])])
    yield "animated_small_frame.webp", animated_webp(alpha[:3, :4])
    yield "interlaced_rgb.png", interlaced_png(2, 3, 8)
    yield "interlaced_grey_alpha_16.png", interlaced_png(4, 2, 16)
    yield "interlaced_rgba_16.png", interlaced_png(6, 4, 16)
    yield "interlaced_palette_4.png", interlaced_png(3, 1, 4)
    yield "440.jpg", cjpeg("-sample", "1x2")
    yield "411.jpg", cjpeg("-sample", "4x1")
    yield "arithmetic.jpg", cjpeg("-arithmetic")
    yield "arithmetic_progressive.jpg", cjpeg("-arithmetic", "-progressive")
    for bits in (1, 4, 8):
        yield f"palette_{bits}.bmp", bmp(bits, 0, palette(1 << bits), bmp_rows(bits))
    yield "offset_without_palette.bmp", bmp(4, 0, palette(16), bmp_rows(4), offset=54)
    yield "no_offset_palette.bmp", bmp(4, 0, palette(16), bmp_rows(4), offset=0)
    yield "no_offset_24.bmp", bmp(24, 0, b"", bmp_rows(24), offset=0)
    yield "no_offset_masks_16.bmp", bmp(16, 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F),
                                        bmp_rows(16), offset=0)
    rgba = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    yield "no_offset_masks_32.bmp", bmp(32, 3, b"", bmp_rows(32), 0, header=108, masks=rgba)
    for name, masks in (("xbgr", (0xFF000000, 0xFF0000, 0xFF00, 0)),
                        ("bgar", (0xFF000000, 0xFF00, 0xFF, 0xFF0000))):
        yield f"masks_{name}.bmp", bmp(32, 3, b"", bmp_rows(32), header=124, masks=masks)
    yield "os2_4.bmp", bmp(4, 0, palette(16, entry=3), bmp_rows(4), header=12)
    yield "os2_24.bmp", bmp(24, 0, b"", bmp_rows(24), header=12)
    yield "rle4.bmp", runs(4, 5, 0x12, 0, 0, 0, 5, 0x34, 0x56, 0x70, 0, 0, 0, 2, 0xAB, 3, 0xC0, 0, 1)
    yield "rle4_delta.bmp", runs(4, 2, 0x12, 0, 2, 1, 1, 2, 0x34, 0, 0, 5, 0x9A, 0, 1)
    yield "rle8_beyond_row.bmp", runs(8, 9, 12, 3, 13, 0, 0, 3, 34, 4, 56, 0, 0, 5, 7, 0, 1)
    for bits in (2, 4):
        yield f"grey_{bits}.tif", tiff(1, 1, bits)
    yield "white_is_zero_4.tif", tiff(0, 1, 4)
    yield "palette_4.tif", tiff(3, 1, 4)
    yield "rgb_16.tif", tiff(2, 3, 16)
    yield "rgb_16_big_endian_deflate.tif", tiff(2, 3, 16, big_endian=True, deflate=True)
    yield "rgb_deflate.tif", tiff(2, 3, 8, deflate=True)
    for kind, most in ((6, 65535), (6, 1000), (5, 65535), (5, 1000), (2, 1000)):
        yield f"p{kind}_{most}.ppm", pnm(kind, most)


def main():
    with open(FOLDER / "expected.bin", "wb") as expected:
        for name, data in pictures():
            (FOLDER / name).write_bytes(data)
            with Image.open(FOLDER / name) as picture:
                rgb = picture.convert("RGB")
            expected.write(f"{name} {rgb.width} {rgb.height}\n".encode() + rgb.tobytes())


if __name__ == "__main__":
    main()
