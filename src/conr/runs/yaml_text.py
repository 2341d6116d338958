"""YAML that is read as it was meant, by YAML's rules of 2005 and by those of jsonargparse."""

import re
from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Quotes text such as 1e3, which jsonargparse reads as a number and YAML 1.1 does not."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[\d.]+[eE][-+]?\d+"), list("-+.0123456789"))


def yaml_text(content: Mapping[str, Any]) -> str:
    """The content of a configuration file, in its order."""
    text: str = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
