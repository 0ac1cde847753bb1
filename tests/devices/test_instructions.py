"""Which device computes faster in bfloat16: a GPU by its generation, a processor by what Linux says of it."""

from types import SimpleNamespace

import pytest

from tfdistill.devices import instructions
from tfdistill.networks import convolutions


@pytest.fixture
def device(monkeypatch, tmp_path):
    """What is found where there are such instructions, and perhaps such a GPU."""

    def found(flags="", capability=None, onednn="enabled"):
        information = tmp_path / "cpuinfo"
        information.write_text(f"processor : 0\nflags : fpu {flags} rdseed\n")
        monkeypatch.setattr(convolutions, "CPU_INFORMATION", information)
        gpus = [] if capability is None else ["GPU:0"]
        told = SimpleNamespace(get_device_details=lambda gpu: {"compute_capability": capability} if capability else {})
        config = SimpleNamespace(list_physical_devices=lambda kind: gpus, experimental=told)
        monkeypatch.setattr(instructions, "tf", SimpleNamespace(config=config))
        monkeypatch.setattr(instructions, "startup", SimpleNamespace(onednn=lambda: onednn))
        return instructions.device_with_bfloat16.__wrapped__()

    return found


@pytest.mark.parametrize("flags", ["avx512f avx512_bf16", "amx_bf16 amx_tile"])
def test_a_processor_with_instructions_is_named(device, flags):
    assert device(flags) == "this processor"
    assert device(flags, onednn="disabled") == "", "TensorFlow's own kernels do not use them"


@pytest.mark.parametrize("flags", ["", "avx2", "avx512f avx512_vnni", "avx_ne_convert"])
def test_a_processor_without_them_is_not(device, flags):
    assert device(flags) == ""


@pytest.mark.parametrize(("capability", "named"), [((8, 0), "this GPU"), ((9, 0), "this GPU"), ((7, 5), ""), ((), "")])
def test_a_gpu_goes_before_the_processor(device, capability, named):
    assert device("avx512_bf16", capability) == named


def test_where_nothing_is_said_of_the_processor_none_is_named(device, monkeypatch, tmp_path):
    device()
    monkeypatch.setattr(convolutions, "CPU_INFORMATION", tmp_path / "absent")
    assert instructions.device_with_bfloat16.__wrapped__() == ""
