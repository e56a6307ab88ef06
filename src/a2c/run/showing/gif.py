"""agent.gif: a recorded episode as a small file that every viewer opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from a2c.storage.atomic import replacing

MAX_WIDTH = 480
MAX_FRAMES = 500
COLOURS = 64


def record_gif(
    frames: Sequence[np.ndarray], path: Path, fps: float, *, max_frames: int = MAX_FRAMES, max_width: int = MAX_WIDTH
) -> Path:
    """Write frames as a GIF that plays at their real speed.

    Scales down frames wider than ``max_width`` pixels. Of more than ``max_frames`` frames it keeps every k-th and shows
    it k times as long. All frames share one palette, so that what does not move costs no bytes.

    Args:
        frames: ``[H, W, 3]`` RGB or ``[H, W]`` grey, uint8, all of one shape.
        path: file to write; it appears only when complete.
        fps: frames per second of the recording.
        max_frames: most frames to keep.
        max_width: pixels.

    Returns:
        ``path``.

    Raises:
        ValueError: there are no frames, or fps is not positive.
    """
    if not frames or fps <= 0:
        raise ValueError(f"a video needs frames and a positive rate: {len(frames)} frames at {fps} per second")
    # GIF times are hundredths of a second and players slow down anything under 2, so faster recordings lose frames.
    stride = max(-(-len(frames) // max_frames), -(-2 * fps // 100), 1)
    images = [_fit(frame, max_width) for frame in frames[:: int(stride)]]
    palette = _shared_palette(images)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    with replacing(path) as temporary:
        indexed[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=round(100 * stride / fps) * 10,  # milliseconds
            loop=0,
        )
    return path


def _fit(frame: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(frame)).convert("RGB")
    if image.width <= width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.BILINEAR)


def _shared_palette(images: Sequence[Image.Image]) -> Image.Image:
    """A palette for all frames, from up to 8 of them spread over the recording."""
    samples = images[:: max(1, len(images) // 8)][:8]
    strip = Image.new("RGB", (samples[0].width, samples[0].height * len(samples)))
    for index, sample in enumerate(samples):
        strip.paste(sample, (0, index * sample.height))
    return strip.quantize(COLOURS, dither=Image.Dither.NONE)
