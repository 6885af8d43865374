"""Networks by name: those of other packages fit the data, and an unknown name says where else to look."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from losslab import count
from losslab.choice import Choice, parse_choice
from losslab.errors import InvalidInput
from losslab.models import build_model, is_model, load_factory
from losslab.spec import make_run


def small(channels: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm and torchvision, as far as their signatures matter here."""

    def create_model(model_name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return small(kwargs.get("in_chans", 3), kwargs.get("num_classes", 1000))

    def resnet9(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> nn.Module:
        return small(3, kwargs.get("num_classes", 1000))

    timm, torchvision, models = (
        ModuleType(name) for name in ("timm", "torchvision", "torchvision.models")
    )
    timm.create_model = create_model  # type: ignore[attr-defined]
    models.resnet9 = resnet9  # type: ignore[attr-defined]
    torchvision.models = models  # type: ignore[attr-defined]
    for module in (timm, torchvision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def build(text: str, **data: Any) -> nn.Module:
    return build_model(Choice.model_validate(parse_choice(text)), **data)


@pytest.mark.parametrize(
    ("text", "shape", "outputs"),
    [
        ("timm/resnet9", (1, 28, 28), 10),
        ("timm/resnet9", (3, 32, 32), 10),
        ("torchvision/resnet9", (3, 32, 32), 10),
        ("timm/resnet9(num_classes=7)", (1, 28, 28), 7),
        ("torchvision/resnet9(num_classes=7)", (3, 32, 32), 7),
    ],
)
@pytest.mark.usefixtures("packages")
def test_networks_of_other_packages_fit_the_data_unless_an_option_says_otherwise(
    text: str, shape: tuple[int, ...], outputs: int
) -> None:
    network = build(text, input_shape=shape, classes=10)
    assert network(torch.zeros(2, *shape)).shape == (2, outputs)


@pytest.mark.parametrize("text", ["timm/resnet9", "torchvision/resnet9"])
@pytest.mark.usefixtures("packages")
def test_without_data_they_are_as_their_packages_make_them(text: str) -> None:
    assert build(text)(torch.zeros(2, 3, 8, 8)).shape == (2, 1000)


@pytest.mark.usefixtures("packages")
def test_a_network_is_counted_for_the_channels_of_its_input() -> None:
    assert count("timm/resnet9", (1, 28, 28)).parameters == (4 * 1 * 9 + 4) + (4 * 1000 + 1000)


@pytest.mark.parametrize(
    "call",
    [load_factory, count, lambda name: make_run({"model": name})],
    ids=["factory", "count", "run"],
)
def test_an_unknown_name_says_where_else_to_look(call: Any) -> None:
    with pytest.raises(
        InvalidInput,
        match=r"unknown model 'resnet50'; .* or torchvision/resnet50, timm/resnet50 where",
    ):
        call("resnet50")


def test_a_name_is_judged_by_its_form_alone() -> None:
    assert all(
        map(
            is_model,
            ("lenet5", "resnet-8", "timm/any", "torchvision/any", "package.module:factory"),
        )
    )
    assert not any(map(is_model, ("resnet50", "timm", "package.module")))


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/mobilenetv3_small_050"])
def test_real_networks_of_timm_fit_grey_data_of_ten_classes(name: str) -> None:
    pytest.importorskip("timm")
    network = build(name, input_shape=(1, 32, 32), classes=10).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["math:pi", "math:hypot", "patchnet(widths=[])"])
def test_what_makes_no_network_is_one_line(name: str) -> None:
    with pytest.raises(InvalidInput, match="model '"):
        build_model(
            Choice.model_validate(parse_choice(name)), input_shape=(3, 32, 32), classes=10
        )
