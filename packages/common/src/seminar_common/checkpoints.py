"""Tensors on disk, in safetensors files: they hold numbers and JSON, and no code that reading would run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seminar_common.errors import UserError
from seminar_common.files import atomic_path, check_file

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]
_FACTS, _DIGEST = "facts", "digest"
"""Keys of what a file says of itself: the facts, and the digest of tensors and facts."""


def save_tensors(path: Path, tensors: Tensors, facts: Mapping[str, Any] | None = None) -> None:
    """Write named tensors and JSON ``facts`` atomically to one safetensors file, with the digest of both."""
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One key of metadata: safetensors writes several in random order, and equal content should be equal bytes.
    stored = {_FACTS: dict(facts or {}), _DIGEST: content_digest(contiguous, facts or {})}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata={_FACTS: json.dumps(stored)})


def content_digest(tensors: Tensors, facts: Mapping[str, Any]) -> str:
    """Return the BLAKE2 digest of the names, types, shapes and bytes of ``tensors``, and of ``facts`` (32 hex digits)."""
    import torch

    total = hashlib.blake2b(json.dumps(dict(facts), sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():  # without values it can't be viewed as bytes
            values = tensor.detach().cpu().contiguous().reshape(-1)
            total.update(memoryview(values.view(torch.uint8).numpy()))
    return total.hexdigest()


def load_tensors(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Read a file written by :func:`save_tensors`; return its tensors and its facts.

    A file of another program, or of a version that stored no digest, is read unchecked.

    Raises:
        UserError: the file is missing, truncated, no safetensors file, or not as it was written.
    """
    from safetensors import SafetensorError, safe_open

    check_file(path, "give a run whose training has ended")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            stored = json.loads(metadata.get(_FACTS, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({error}); train again or copy the file again"
        ) from error
    if not {_FACTS, _DIGEST} & stored.keys() and (not metadata or {_FACTS, "format"} & metadata.keys()):
        return tensors, stored  # another program wrote it, or a version that stored no digest
    facts = stored.get(_FACTS, {})
    if stored.get(_DIGEST) != content_digest(tensors, facts):
        raise UserError(f"{path}: was changed after it was written; train again or copy the file again")
    return tensors, facts


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
