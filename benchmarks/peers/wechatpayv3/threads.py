"""The measured call, made with `wechatpayv3`: its blocking client, called from threads."""

import itertools
import os
import threading
import time

from measure import CALLS, CONCURRENCY, TARGET, WARMUP, Run, client_settings, refusal
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.type import RequestType

client = WeChatPay(wechatpay_type=WeChatPayType.NATIVE, **client_settings())
# The host is a constant of the library, without a setting.
client._core._gate_way = os.environ["BASE_URL"]


def call():
    # Each of the client's methods makes this call with a fixed path; none takes a path.
    return refusal(*client._core.request(TARGET, method=RequestType.POST))


def caller(run, numbers, calls):
    # One `next` of a counter is one step of the interpreter: no two threads get the same number.
    while next(numbers) < calls:
        start = time.perf_counter()
        try:
            error = call()
        except Exception as e:  # The library raises plain `Exception`.
            error = f"{type(e).__name__}: {e}"
        run.note(start, error)


def make(calls):
    run = Run()
    numbers = itertools.count()
    callers = [
        threading.Thread(target=caller, args=(run, numbers, calls)) for _ in range(CONCURRENCY)
    ]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    return run


make(WARMUP)
make(CALLS).report()
