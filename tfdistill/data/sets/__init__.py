"""Where data comes from, one file each; read when somebody loads it."""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.data.sets.cifar import load_cifar
    from tfdistill.data.sets.coco_json import load_coco_json
    from tfdistill.data.sets.digit_scenes import load_digit_scenes
    from tfdistill.data.sets.digits import load_digits
    from tfdistill.data.sets.image_folder import load_image_folder
    from tfdistill.data.sets.tfds_sets import load_imagenet, load_tfds
    from tfdistill.data.sets.voc import load_voc
    from tfdistill.data.sets.voc_folder import load_voc_folder
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "load_cifar",
    "load_coco_json",
    "load_digit_scenes",
    "load_digits",
    "load_image_folder",
    "load_imagenet",
    "load_tfds",
    "load_voc",
    "load_voc_folder",
]
