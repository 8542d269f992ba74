"""Style transfer: a picture in the style of a LoRA, while what it shows stays.

    strengths = loras.apply(pipeline, ["watercolour"])
    painted = restyle(pipeline, Image.open("house.png"))

Where the LoRA is of the VAE's decoder alone, the picture is encoded and decoded, and nothing is sampled: no thing can move. A
LoRA of the network needs noise to work on, so there it is image to image with little strength, by a prompt that says what the
picture shows. Not here: the LoRAs (loras.py), and how well content is kept and style moved (evaluate/style_transfer.py).
"""

from __future__ import annotations

from PIL import Image

from minidiff.pipelines.img2img import img2img
from minidiff.pipelines.pictures import rgb, to_latent, whole
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage

STRENGTH = 0.3  # so little is forgotten that things stay where they are


def restyle(
    pipeline: TextToImage, picture: Image.Image, request: Request | None = None, strength: float = STRENGTH,
    progress: bool | None = False,
) -> list[Image.Image]:  # fmt: skip
    """The picture through the pipeline with the LoRAs that it has now.

    Args:
        picture: of any size and form, see `pictures.rgb`; it is fitted to the model, and the results have its size.
        request: what the picture shows, for LoRAs of the network; None for those of the decoder, which gives one image.
        strength: with a request, as for `img2img`.
        progress: with a request, as for `TextToImage.__call__`.

    Raises RequestError (a ValueError) for a strength or a picture that won't do.
    """
    if request is not None:
        return img2img(pipeline, picture, request, strength, progress)
    picture = rgb(picture)
    window = whole(picture, pipeline.image_size)
    (image,) = pipeline.decode(to_latent(pipeline, window.cut(picture)))
    return [window.paste(picture, image)]
