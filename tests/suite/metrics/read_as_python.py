"""Reads expositions with Prometheus's own client for Python. Names of files on standard input, "text" or "openmetrics" and a
tab before each; for each a line of JSON with what was read, or with why nothing was."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text


def millis(timestamp):
    return None if timestamp is None else round(float(timestamp) * 1000)


for line in sys.stdin:
    form, path = line.rstrip("\n").split("\t")
    with open(path, encoding="utf-8", newline="\n") as file:
        said = file.read()
    try:
        read = [
            [sample.name, sorted(sample.labels.items()), repr(float(sample.value)), millis(sample.timestamp)]
            for family in (openmetrics if form == "openmetrics" else text)(said)
            for sample in family.samples
        ]
        print(json.dumps({"read": read}))
    except Exception as error:  # pylint: disable=broad-except
        print(json.dumps({"error": repr(error)}))
