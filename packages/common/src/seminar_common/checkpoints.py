"""Tensors on disk, in safetensors files: they hold numbers and JSON, and no code that reading would run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seminar_common.errors import UserError
from seminar_common.files import atomic_path, check_file

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]


def save_tensors(path: Path, tensors: Tensors, facts: Mapping[str, Any] | None = None) -> None:
    """Write named tensors and JSON ``facts`` atomically to one safetensors file."""
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata={"facts": json.dumps(dict(facts or {}))})


def load_tensors(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Read a file written by :func:`save_tensors`; return its tensors and its facts.

    Raises:
        UserError: the file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    check_file(path, "give a run whose training has ended")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({error}); train again or copy the file again"
        ) from error


def load_weights(module: "torch.nn.Module", tensors: Tensors, source: Path) -> None:
    """Copy ``tensors`` into ``module``.

    Raises:
        UserError: names or shapes differ; the message names ``source`` and the first difference.
    """
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        here = tuple(expected[name].shape) if name in expected else "absent"
        there = tuple(tensors[name].shape) if name in tensors else "absent"
        if here != there:
            raise UserError(
                f"{source}: a checkpoint of another architecture: {name} is {there} in the file and {here} in the "
                "model; use the settings and the data it was trained with"
            )
    module.load_state_dict(dict(tensors))


def flatten_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Split an optimizer's ``state_dict`` into named tensors and JSON facts, for :func:`save_tensors`."""
    import torch

    tensors, facts = {}, {"param_groups": state["param_groups"], "scalars": {}}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                facts["scalars"][f"{index}.{key}"] = value
    return tensors, facts


def unflatten_optimizer(tensors: Tensors, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`flatten_optimizer`."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *facts["scalars"].items()]:
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": facts["param_groups"]}
