#!/usr/bin/env python3
"""Reads TensorBoard event files with TensorBoard itself and lists what it finds.

    pip install tensorboard
    scripts/check_events.py RUN_FOLDER/events

An independent check of gear's event file writer; gear itself needs no Python.
"""

import sys

from tensorboard.backend.event_processing import event_accumulator


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    events = event_accumulator.EventAccumulator(
        sys.argv[1], size_guidance={event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0}
    )
    events.Reload()
    tags = events.Tags()
    for tag in tags["scalars"]:
        points = [(event.step, round(event.value, 6)) for event in events.Scalars(tag)]
        print(f"scalar {tag}: {points}")
    for tag in tags["images"]:
        pictures = [(event.step, event.width, event.height) for event in events.Images(tag)]
        print(f"image {tag}: {pictures}")
    return 0 if tags["scalars"] or tags["images"] else 1


if __name__ == "__main__":
    sys.exit(main())
