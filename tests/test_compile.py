import subprocess
import sys

import torch

from conr._compile import outside_graphs


def test_the_compiler_is_not_loaded_with_the_package() -> None:
    code = "import sys, conr; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_function_outside_of_graphs_runs_as_it_is() -> None:
    seen = []

    @outside_graphs
    def double(value: torch.Tensor) -> torch.Tensor:
        seen.append(type(value))
        return 2 * value

    assert double(torch.ones(1)).item() == 2
    torch.compiler.reset()
    compiled = torch.compile(lambda value: double(value + 1) + 1, backend="eager")
    assert compiled(torch.ones(1)).item() == 5
    assert seen == [torch.Tensor, torch.Tensor]  # no stand-in of a tracer
