"""Tests the doubles with the vendors' own SDKs, and with modified requests that they must refuse.

    scripts/with-kms sh -c '"$WXPAY_TEST_PYTHON" tests/doubles/kms/check_doubles.py'

Prints `N passed, M failed`, and exits with 1 if any check failed.
"""

import os
import ssl
import sys
import traceback
import urllib.request

from check_alibaba import alibaba_example, check_alibaba
from check_moto import check_moto
from check_tencent import check_tencent, tencent_example
from checks import check, results, started


def check_tls():
    """Checks TLS with the certificates of scripts/with-kms: the right host, another host, another CA."""

    def journal(names, context):
        pair = [os.environ[f"WXPAY_TEST_KMS_{certificate}"] for certificate in names]
        with started("tencent.py", "--tls", *pair) as ready:
            try:
                with urllib.request.urlopen(ready["url"] + "/_journal", context=context) as answer:
                    return answer.status
            except urllib.error.URLError as error:
                return getattr(error.reason, "verify_message", repr(error))

    trusting = ssl.create_default_context(cafile=os.environ["WXPAY_TEST_VAULT_CA"])
    right, wrong = ("CERTIFICATE", "KEY"), ("WRONG_HOST_CERTIFICATE", "WRONG_HOST_KEY")
    check("TLS: the right host", journal(right, trusting) == 200)
    found = journal(wrong, trusting)
    check("TLS: another host", "mismatch" in str(found), found)
    found = journal(right, ssl.create_default_context())
    check("TLS: another CA", "unable to get local issuer" in str(found), found)


def main():
    for part in (
        tencent_example,
        check_tencent,
        alibaba_example,
        check_alibaba,
        check_moto,
        check_tls,
    ):
        try:
            part()
        except Exception:
            traceback.print_exc()
            check(f"{part.__name__} goes through", False)
    failed = results.count(False)
    print(f"{results.count(True)} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
