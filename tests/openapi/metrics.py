"""Parses /metrics with Prometheus' own parsers, in both formats. Usage: metrics.py URL, with METRICS_TOKEN in the environment."""

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
    """Returns the families and their types. The parser fails if a rule is broken or two names clash."""
    headers = {"accept": accept, "authorization": f"Bearer {os.environ['METRICS_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{sys.argv[1]}/metrics", headers=headers)) as answer:
        assert answer.headers["content-type"].startswith(accept), answer.headers["content-type"]
        return {family.name: family.type for family in parse.text_string_to_metric_families(answer.read().decode())}


text, openmetrics_text = [families(accept, parse) for accept, parse in FORMATS.items()]
assert text == openmetrics_text, (text, openmetrics_text)
assert len(text) > 20, text
print(f"{len(text)} metric families, the same in both formats")
