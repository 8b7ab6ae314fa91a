"""The common parts of both programs: their settings, and the line that they print at the end."""

import json
import math
import os
import resource
import time

CALLS = int(os.environ["CALLS"])
CONCURRENCY = int(os.environ["CONCURRENCY"])
WARMUP = int(os.environ["WARMUP"])
TARGET = os.environ["TARGET"]

# The client passes no roots to the libraries below it; they look here first.
os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = os.environ["CA_FILE"]


def client_settings():
    """The arguments of both clients: the key of WeChat Pay enables verification."""
    return {
        "mchid": os.environ["MCHID"],
        "cert_serial_no": os.environ["SERIAL_NO"],
        "private_key": read("MERCHANT_KEY"),
        "public_key_id": os.environ["PUBLIC_KEY_ID"],
        "public_key": read("PUBLIC_KEY"),
        "appid": "wx0000000000000000",
        "apiv3_key": "0" * 32,
        "timeout": (10, 30),
    }


def read(name):
    with open(os.environ[name], encoding="ascii") as file:
        return file.read()


class Run:
    """Counts and times the calls of one run, the warm-up or the measured ones."""

    said_first = False

    def __init__(self):
        self.latencies = []
        self.errors = []
        self.start = time.perf_counter()
        self.cpu = cpu_seconds()

    def note(self, start, error):
        """Records a call that began at `start`, and its error."""
        self.latencies.append(time.perf_counter() - start)
        if error is not None:
            self.errors.append(error)
        elif not Run.said_first:
            Run.said_first = True
            print("first", flush=True)

    def report(self):
        """Prints the result."""
        seconds = time.perf_counter() - self.start
        cpu = cpu_seconds() - self.cpu
        self.latencies.sort()
        print(json.dumps({
            "calls": len(self.latencies),
            "failed": len(self.errors),
            "seconds": seconds,
            "cpu_seconds": cpu,
            "p50_us": self.quantile(0.5),
            "p99_us": self.quantile(0.99),
            "p999_us": self.quantile(0.999),
            "peak_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "first_error": self.errors[0] if self.errors else None,
        }), flush=True)

    def quantile(self, q):
        rank = math.ceil(len(self.latencies) * q)
        return self.latencies[max(rank - 1, 0)] * 1e6


def refusal(code, message):
    """Returns what is wrong with a response that the client accepted, or None."""
    return None if code == 204 else f"{code}: {message!r:.200}"


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
