"""The measured call, made with `wechatpayv3`: its asynchronous client, called from coroutines."""

import asyncio
import itertools
import os
import time

from measure import CALLS, CONCURRENCY, TARGET, WARMUP, Run, client_settings, refusal
from wechatpayv3.async_ import AsyncWeChatPay, WeChatPayType
from wechatpayv3.async_.type import RequestType


async def call(client):
    # Each of the client's methods makes this call with a fixed path; none takes a path.
    # A POST without data sends `null` and signs an empty body, which is refused with 401. Signing
    # `null` is the closest the client can get to a call without a body.
    answer = await client._core.request(TARGET, method=RequestType.POST, sign_data="null")
    return refusal(*answer)


async def caller(client, run, numbers, calls):
    while next(numbers) < calls:
        start = time.perf_counter()
        try:
            error = await call(client)
        except Exception as e:  # The library raises plain `Exception`.
            error = f"{type(e).__name__}: {e}"
        run.note(start, error)


async def make(client, calls):
    run = Run()
    numbers = itertools.count()
    await asyncio.gather(*(caller(client, run, numbers, calls) for _ in range(CONCURRENCY)))
    return run


async def main():
    async with AsyncWeChatPay(wechatpay_type=WeChatPayType.NATIVE, **client_settings()) as client:
        # The host is a constant of the library, without a setting.
        client._core._gate_way = os.environ["BASE_URL"]
        await make(client, WARMUP)
        (await make(client, CALLS)).report()


asyncio.run(main())
