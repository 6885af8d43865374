"""Compare the predicted memory of a training step with what torch keeps for the backward pass and allocates on a CPU.

    python benchmarks/training_memory.py [--keep]   # all networks
    python benchmarks/training_memory.py resnet-50  # those named; vit-b/16, llama and bert need transformers

What is kept is read by `saved_tensors_hooks`; the peak is the profiler's, for the second step of SGD with momentum.
Exit status 1 when what is kept differs by more than 5 % or the peak by more than 10 %.
"""

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from kept import Found, arguments, markdown, measured_on, present
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from losslab.accounting import training_memory
from losslab.accounting.call import outputs_of

Case = tuple[Callable[[], nn.Module], dict[str, Tensor]]


class Bottleneck(nn.Module):
    """Of ResNet-50."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        projected = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        self.shortcut = projected if inputs != outputs or stride > 1 else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.layers(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)]
    layers += [nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(Bottleneck(inputs, width, stride))
            inputs = 4 * width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)
    )


def double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Of four levels, 64 to 512 channels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 128, 256, 512)
        pairs = list(zip((3, *widths), widths, strict=False))
        self.down = nn.ModuleList([double(*pair) for pair in pairs])
        up = [(above, below) for below, above in pairs[:0:-1]]
        self.up = nn.ModuleList([nn.ConvTranspose2d(*pair, 2, 2) for pair in up])
        self.join = nn.ModuleList([double(2 * below, below) for _, below in up])
        self.head = nn.Conv2d(64, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped: list[Tensor] = []
        for level, layer in enumerate(self.down):
            x = layer(nn.functional.max_pool2d(x, 2) if level else x)
            skipped.append(x)
        skipped.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([skipped.pop(), up(x)], 1))
        return self.head(x)


def recurrent(kind: type[nn.LSTM | nn.GRU], steps: int) -> Case:
    return lambda: kind(256, 512, num_layers=2, batch_first=True), {
        "input": torch.randn(2, steps, 256)
    }


def images(make: Callable[[], nn.Module], side: int) -> Case:
    return make, {"input": torch.randn(2, 3, side, side)}


def hugging_face(name: str, size: int) -> Case | None:
    """A model of transformers from its configuration; none where that is not installed."""
    try:
        import transformers
    except ImportError:
        return None
    if name == "vit-b/16":
        config = transformers.ViTConfig(image_size=size)
        return lambda: transformers.ViTModel(config), {
            "pixel_values": torch.randn(2, 3, size, size)
        }
    ids = {"input_ids": torch.arange(2 * size).reshape(2, size) % 1000}
    if name == "bert":
        return lambda: transformers.BertModel(transformers.BertConfig()), ids
    small = transformers.LlamaConfig(
        vocab_size=1000,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        use_cache=False,
    )
    return lambda: transformers.LlamaForCausalLM(small), ids


CASES: dict[str, tuple[tuple[int, int], Callable[[int], Case | None]]] = {
    "resnet-50": ((128, 224), lambda side: images(resnet50, side)),
    "u-net": ((64, 128), lambda side: images(UNet, side)),
    "lstm": ((50, 200), lambda steps: recurrent(nn.LSTM, steps)),
    "gru": ((50, 200), lambda steps: recurrent(nn.GRU, steps)),
    "vit-b/16": ((160, 224), lambda side: hugging_face("vit-b/16", side)),
    "bert": ((64, 256), lambda tokens: hugging_face("bert", tokens)),
    "llama": ((64, 256), lambda tokens: hugging_face("llama", tokens)),
}
"""Network -> two lengths (pixels of a side, steps or tokens), and what makes it."""
TITLES = {
    "resnet-50": "ResNet-50",
    "u-net": "U-Net",
    "lstm": "LSTM",
    "gru": "GRU",
    "vit-b/16": "ViT-B/16",
    "bert": "BERT",
    "llama": "Llama",
}


def kept_bytes(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """Storages that torch keeps for the backward pass, without parameters and buffers."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(**inputs)
    own = {
        tensor.untyped_storage().data_ptr()
        for tensor in (*model.parameters(), *model.buffers())
    }
    del output
    return sum(size for pointer, size in storages.items() if pointer not in own)


def peak_bytes(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """What is there before the second step, and the most that the allocator hands out in it."""
    rule = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def step() -> None:
        results = [tensor for tensor in outputs_of(model(**inputs)) if tensor.requires_grad]
        torch.stack([tensor.sum() for tensor in results]).sum().backward()
        rule.step()
        rule.zero_grad()

    step()
    state = [
        value
        for values in rule.state.values()
        for value in values.values()
        if isinstance(value, Tensor)
    ]
    held = (*model.parameters(), *model.buffers(), *inputs.values(), *state)
    there = sum(tensor.numel() * tensor.element_size() for tensor in held)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    total = highest = 0
    for event in memory_events(profiler):
        total += event
        highest = max(highest, total)
    return there + highest


def memory_events(profiler: Any) -> list[int]:
    """Bytes taken and given back, in order of time."""
    events = [
        event
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def measure(names: Iterable[str]) -> Found:
    """Bytes predicted and measured, of each network at its two lengths."""
    rows = []
    for name in names:
        lengths, build = CASES[name]
        for length in lengths:
            case = build(length)
            if case is None:
                print(f"{name} is left out: pip install transformers", file=sys.stderr)
                continue
            make, inputs = case
            model = make().train()
            given: Any = inputs.get("input", inputs)
            memory = training_memory(model, given, batch_size=2, optimizer="sgd-momentum")
            call = first_named(model, inputs)
            rows.append({
                "network": name,
                "length": length,
                "kept": [memory.saved_bytes, kept_bytes(model, call)],
                "peak": [memory.peak_bytes, peak_bytes(model, call)],
            })  # fmt: skip
    return {"rows": rows}


def table(found: Found) -> str:
    """A row for each network and length: what is kept and the peak, predicted and measured, and their difference."""
    rows = []
    for row in found["rows"]:
        cells = [TITLES[row["network"]], row["length"]]
        for predicted, actual in (row["kept"], row["peak"]):
            cells += [
                f"{predicted / 1e6:,.1f}",
                f"{actual / 1e6:,.1f}",
                f"{predicted / actual - 1:+.1%}",
            ]
        rows.append(cells)
    headings = [
        "network",
        "length",
        "kept, predicted",
        "torch",
        "",
        "peak, predicted",
        "torch",
        "",
    ]
    return (
        f"{markdown(headings, rows)}\n\n{measured_on(found, 'training_memory', 'batch 2, MB')}"
    )


def is_close(row: Found) -> bool:
    """Whether what is kept is right within 5 %, and the peak within 10 %."""
    kept, peak = (predicted / actual - 1 for predicted, actual in (row["kept"], row["peak"]))
    return abs(kept) <= 0.05 and abs(peak) <= 0.1


def main() -> int:
    rest = arguments()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    found = measure(rest or CASES)
    whole = len(found["rows"]) == 2 * len(CASES)
    packages = ["transformers"] if whole else []
    present("training_memory", found, table, packages=packages, is_whole=whole)
    return int(not all(map(is_close, found["rows"])))


def first_named(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs by the names of the model's own forward."""
    if "input" not in inputs or isinstance(model, nn.RNNBase | nn.Sequential):
        return inputs
    return {"x": inputs["input"]}


if __name__ == "__main__":
    sys.exit(main())
