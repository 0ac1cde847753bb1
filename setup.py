import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
README = ROOT / "README.md"


class BuildWithConfigs(build_py):
    """Puts `configs/` into the package that is built; an editable installation reads the repository's own."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "tfdistill", "configs")
            shutil.rmtree(folder, ignore_errors=True)  # what an earlier build left may have been renamed since
            shutil.copytree(ROOT / "configs", folder)


setup(
    name="tfdistill",
    version="0.1.0",
    description="Online and offline knowledge distillation for TensorFlow and Keras 3",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfdistill", "tfdistill.*"]),
    package_data={"tfdistill": ["py.typed"]},
    # TensorFlow 2.21 has no wheels for Python 3.14.
    python_requires=">=3.11,<3.14",
    install_requires=[
        # The training step leans on behaviour of these two that is not part of their documented interface.
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "tensorflow-datasets>=4.9.10,<5",
        # tensorflow-datasets imports it without declaring it for these versions of Python.
        "importlib_resources>=6,<8",
        "absl-py>=2.1,<3",
        "tensorboard>=2.20,<2.22",
        "scikit-learn>=1.6,<2",
        "numpy>=2.1,<3",
        "scipy>=1.15,<2",
        "h5py>=3.11,<4",
        "safetensors>=0.6,<0.9",
        "Pillow>=11,<14",
        # For pictures of tables, imported when one is drawn.
        "matplotlib>=3.9,<4",
    ],
    extras_require={
        # The last two are what average precision is tested against.
        "test": [
            "pytest>=8,<10",
            "pytest-xdist>=3.8,<4",
            "pycocotools>=2.0.11,<3",
            "mean-average-precision==2024.1.5.0",
        ],
        # Grad-CAM is compared with its own.
        "oracle": ["tf-keras-vis>=0.8.7,<0.9"],
        "dev": ["ruff>=0.14,<0.18", "mypy>=1.18,<3"],
        # For benchmarks/speed.py and benchmarks/teacher.py, which measure against it.
        "peer": ["torch==2.13.0"],
        "serving": ["tensorflow-serving-api>=2.21,<2.22"],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    # Said, although it is the default: an editable installation is then a line in a .pth file. The finder that
    # setuptools would install instead comes after the folders of sys.path, so that in the folder which holds a clone
    # called tfdistill, Python would find that folder, a package without content.
    package_dir={"": "."},
    entry_points={"console_scripts": ["tfdistill = tfdistill.commands.main:main"]},
    cmdclass={"build_py": BuildWithConfigs},
)
