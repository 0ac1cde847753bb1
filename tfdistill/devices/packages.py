"""The versions of the packages that a run's numbers depend on, known without importing them."""

from __future__ import annotations

from importlib import metadata

PACKAGES = ("tfdistill", "tensorflow", "keras", "numpy", "tensorflow-datasets")


def package_versions() -> dict[str, str]:
    """The version of each of `PACKAGES`, as installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
