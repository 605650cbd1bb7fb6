#!/usr/bin/env python3
"""Times Pillow as the reference's loader uses it: decode, resize the short side (bicubic), crop, flip.

    python pillow_loader.py FOLDER --size 256 --images 256 --repeat 5 --json out.json

FOLDER holds one sub-folder per class. One process on one core, as one worker of the reference is.
"""

import argparse
import json
import os
import random
import time

import numpy
from PIL import Image


def crop_of(path, size):
    """A training crop, uint8 [3, size, size]."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    width, height = image.size
    if min(width, height) != size:
        longer = size * max(width, height) // min(width, height)
        scaled = (size, longer) if width <= height else (longer, size)
        image = image.resize(scaled, Image.Resampling.BICUBIC)
    left = random.randint(0, image.width - size)
    top = random.randint(0, image.height - size)
    image = image.crop((left, top, left + size, top + size))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return numpy.ascontiguousarray(numpy.asarray(image).transpose(2, 0, 1))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=256, help="images a round")
    parser.add_argument("--repeat", type=int, default=5, help="rounds")
    parser.add_argument("--json", required=True)
    options = parser.parse_args()
    paths = [
        os.path.join(folder, name) for folder, _, names in os.walk(options.folder) for name in names
    ]
    seconds = []
    for _ in range(options.repeat + 1):  # the first fills the file cache
        start = time.perf_counter()
        for path in random.choices(paths, k=options.images):
            crop_of(path, options.size)
        seconds.append(time.perf_counter() - start)
    with open(options.json, "w") as file:
        json.dump({"seconds": seconds[1:]}, file)


if __name__ == "__main__":
    main()
