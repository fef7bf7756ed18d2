"""Tensors with one JSON text beside them, in one safetensors file: reading can't run code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from storage.files import commit_bytes

__all__ = ["Unreadable", "read_tensors", "write_tensors"]

KEY = "rekrylov"


class Unreadable(ValueError):
    """The file is damaged, or of another format."""


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    """Write (replace) the file as a whole."""
    # Shared storage, as of tied weights, can't be saved: every tensor gets its own.
    plain = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    commit_bytes(path, save(plain, {KEY: json.dumps(about)}), replace=True)


def read_tensors(path: Path, version: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the JSON text and the tensors.

    Raises:
        Unreadable: the file is damaged or its `format` isn't `version`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise Unreadable(f"is no file of Rekrylov or is damaged ({error})") from error
    if about.get("format") != version:
        raise Unreadable(f"has format {about.get('format')!r}, this version reads {version}")
    return about, tensors
