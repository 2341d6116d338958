"""The floors of the house: no import leads up, none in a circle, and a light package loads no heavy one.

Read from the source, imports inside functions and the stubs of lazy packages among them.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import conr

SRC = Path(conr.__file__).parent

FLOORS = (  # from the bottom; modules beside the packages are below all
    {"density", "pairwise", "runs"},
    {"losses", "smoothing", "metrics", "tables"},
    {"methods", "rare", "models", "testing"},
    {"data", "training", "estimators", "table"},
    {"bench", "report"},
    {"cli"},
    {"__main__"},  # python -m conr
)
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}

NAMES = {"conr", "conr.configs"}  # packages whose stub names what lies above
KEPT = {("conr.losses", "conr.metrics.confusion")}  # a name that stays where it has been public
UPWARD: set[tuple[str, str]] = set()  # what still leads up; a line goes with its import
CIRCLES: set[tuple[str, str]] = set()  # modules that still import each other

HEAVY = {"lightning", "torchmetrics", "matplotlib", "pandas", "sklearn", "transformers", "torchvision", "torch._dynamo"}
TOO_MUCH: dict[str, set[str]] = {}  # what light packages still load


def stub_of(package: str) -> dict[str, str]:
    """Public names of a lazy package to the modules that define them."""
    path = SRC.parent.joinpath(*package.split("."), "__init__.pyi")
    if not path.is_file():
        return {}
    lines = ast.parse(path.read_text(encoding="utf-8")).body
    return {name.name: line.module or "" for line in lines if isinstance(line, ast.ImportFrom) for name in line.names}


def targets(node: ast.AST) -> Iterator[str]:
    """Modules of the package that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module:
        names = stub_of(node.module)
        for alias in node.names:
            submodule = SRC.parent.joinpath(*node.module.split("."), f"{alias.name}.py").is_file()
            yield f"{node.module}.{alias.name}" if submodule else names.get(alias.name, node.module)


def imports() -> dict[str, set[str]]:
    """Each module of the package, its stub included, to the modules of the package that it imports."""
    found: dict[str, set[str]] = {}
    for path in (*SRC.rglob("*.py"), *SRC.rglob("*.pyi")):
        name = ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")
        wanted = {one for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for one in targets(node)}
        known = found.setdefault(name, set())
        known |= {one for one in wanted if one.partition(".")[0] == "conr"} - {name}
    return found


IMPORTS = imports()


def package_of(module: str) -> str:
    """Package below `conr`; of the modules beside the packages, "", but for the command's."""
    name = module.split(".")[1] if "." in module else ""
    return name if (SRC / name).is_dir() or name in FLOOR else ""


def floor_of(module: str) -> int:
    return FLOOR[package_of(module)] if package_of(module) else -1


def test_every_package_has_its_floor() -> None:
    packages = {path.parent.name for path in SRC.glob("*/__init__.py")}
    assert packages - {"configs"} <= set(FLOOR)


def test_no_import_leads_up() -> None:
    upward = {
        (module, target)
        for module, wanted in IMPORTS.items()
        for target in wanted
        if module not in NAMES and (package_of(target) == "configs" or floor_of(target) > floor_of(module))
    }
    assert upward == UPWARD


def test_no_packages_import_each_other() -> None:
    arrows: dict[str, set[str]] = {}
    for module, wanted in IMPORTS.items():
        if module not in NAMES:
            own = arrows.setdefault(package_of(module), set())
            own |= {package_of(target) for target in wanted if (module, target) not in KEPT | UPWARD}
            own.discard(package_of(module))
    assert in_circles(arrows) == set()


def test_no_modules_import_each_other() -> None:
    packages = {module for module in IMPORTS if SRC.parent.joinpath(*module.split(".")).is_dir()}
    arrows = {module: wanted - packages for module, wanted in IMPORTS.items() if module not in packages}
    assert in_circles(arrows) == CIRCLES


def in_circles(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Arrows whose end leads back to their start."""
    return {(start, end) for start, ends in arrows.items() for end in ends if start in reached(arrows, end)}


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


PROBE = """
import pkgutil, sys
from importlib import import_module
for step in sys.argv[1:]:
    if step.startswith("conr "):
        from conr.cli.main import main
        sys.stdout = sys.stderr
        try:
            main(step.split()[1:])
        except SystemExit:
            pass
        sys.stdout = sys.__stdout__
    else:
        package = import_module(step)
        for info in pkgutil.iter_modules(getattr(package, "__path__", []) if step != "conr" else []):
            import_module(f"{step}.{info.name}")
    print(*sorted({name.partition(".")[0] for name in sys.modules} | ({"torch._dynamo"} & sys.modules.keys())))
"""
LIGHT = {  # one after the other in one process
    "conr": HEAVY | {"torch", "numpy", "yaml"},
    "conr --help": HEAVY | {"torch", "numpy"},
    "conr presets": HEAVY | {"torch", "numpy"},
    "conr fitt": HEAVY | {"torch", "numpy"},
    **{
        f"conr {verb} --help": HEAVY | {"torch"} for verb in ("table fit", "table predict", "inspect", "report", "demo")
    },
    "conr inspect --taget price": HEAVY | {"torch"},
    "conr.runs": HEAVY | {"torch"},
    "conr.density": HEAVY,
    "conr.metrics.shot": HEAVY,
    "conr.pairwise": HEAVY,
    "conr.losses": HEAVY,
    "conr.smoothing": HEAVY,
    "conr.rare": HEAVY - {"sklearn", "pandas"},  # scikit-learn loads pandas where there is one
}


def test_what_is_light_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *LIGHT], capture_output=True, text=True, check=True, cwd=SRC.parent
    )
    loaded = [set(line.split()) for line in done.stdout.splitlines()]
    found = {step: unwanted & all_of for (step, unwanted), all_of in zip(LIGHT.items(), loaded, strict=True)}
    assert {step: heavy for step, heavy in found.items() if heavy} == TOO_MUCH
