"""Holds /metrics to Prometheus' own parsers, in both formats: figures.py URL, with METRICS_TOKEN in the environment."""

import os
import sys
import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

FORMATS = {
    "text/plain; version=0.0.4": parser,
    "application/openmetrics-text; version=1.0.0": openmetrics,
}


def families(accept, parse):
    """Returns the families and their types; the parser fails where a rule is broken, or two names clash."""
    headers = {"accept": accept, "authorization": f"Bearer {os.environ['METRICS_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{sys.argv[1]}/metrics", headers=headers)) as answer:
        assert answer.headers["content-type"].startswith(accept), answer.headers["content-type"]
        return {family.name: family.type for family in parse.text_string_to_metric_families(answer.read().decode())}


told = [families(accept, parse) for accept, parse in FORMATS.items()]
assert told[0] == told[1], told
assert len(told[0]) > 20, told
print(f"{len(told[0])} families of figures, the same in both formats")
