"""What an export refuses, asked before anything is trained or written."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import keras

from tfdistill.export.asides import try_writing
from tfdistill.export.folders import FolderError, check_network_folder, check_path, choose_version, first_line
from tfdistill.export.models_config import CONFIG_FILE
from tfdistill.export.serving import Serving
from tfdistill.export.serving_files import merged_card


def check_export(
    networks: Mapping[str, keras.Model],
    run_folder: str | pathlib.Path,
    serving: Serving,
    card: Mapping[str, object] | None = None,
) -> None:
    """Refuses what `export_network` and `write_models_config` would refuse later, and leaves no trace.

    To be called before a training whose networks are to be exported at its end.

    Args:
        networks: the networks by the names that they are to be served by; their weights do not matter.
        run_folder: the folder that is to hold `<name>/<version>/` and `models.config`.
        serving: what each of them is to be served with.
        card: what is known of the card already.

    Raises:
        FolderError: what could not be written, in one line.
        ValueError: names what could not be exported, in one line.
    """
    run_folder = pathlib.Path(run_folder)
    check_path(run_folder)
    try:
        if (run_folder / CONFIG_FILE).is_dir():
            raise FolderError(f"folder {run_folder / CONFIG_FILE} is where the server's list goes, a file; remove it")
        for name in networks:
            check_network_folder(run_folder / name)
            choose_version(run_folder / name, None)
            try_writing(run_folder / name)
    except OSError as error:
        raise FolderError(f"folder {run_folder} cannot be written: {first_line(error)}") from error
    for name, network in networks.items():
        serving.require_fitting(network)
        merged_card(serving.facts(network, name), card or {})
