"""The server of the doubles: HTTP, TLS, the control API, the journal, and HTTP faults."""

import argparse
import json
import re
import select
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from double import Answer, Refusal, Request

LARGEST_BODY = 1 << 20
PADDING = 8 << 20
SECRET_HEADERS = re.compile("token|secret|password", re.I)


def redacted(request):
    headers = {}
    for name, value in request.headers:
        if name == "authorization":
            value = re.sub(r"Signature=\S+", "Signature=…", value)
        elif SECRET_HEADERS.search(name) and "ttl" not in name:
            value = "…"
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def page(status):
    text = f"<html>\n<head><title>{status} Error</title></head>\n<body>by a proxy</body>\n</html>\n"
    return Answer(status, text.encode(), "text/html")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120

    def log_message(self, *_):
        pass

    def handle_any(self):
        double = self.server.double
        lengths = self.headers.get_all("content-length", [])
        if self.headers.get("transfer-encoding") or len(lengths) > 1:
            self.close_connection = True
            return self.send(Answer.of({"message": "send a Content-Length"}, 411))
        length = int(lengths[0]) if lengths else 0
        if length > LARGEST_BODY:
            self.close_connection = True
            return self.send(Answer.of({"message": "too large"}, 413))
        headers = [(name.lower(), value.strip()) for name, value in self.headers.items()]
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        if request.path == "/_control":
            return self.control(request)
        if request.path == "/_journal":
            with double.lock:
                return self.send(Answer.of(double.journal))
        entry = {
            "action": None,
            "key_id": None,
            "key_version": None,
            "credential": None,
            "code": None,
            "status": 0,
            "headers": redacted(request),
            "signed_headers": None,
            "message_type": None,
            "algorithm": None,
            "fault": None,
        }
        self.answer(request, entry)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any

    def control(self, request):
        try:
            self.server.double.control(json.loads(request.body))
        except (ValueError, KeyError, TypeError) as error:
            return self.send(Answer.of({"message": repr(error)}, 400))
        self.send(Answer.of({}))

    def answer(self, request, entry):
        double = self.server.double
        fault = None
        answer = double.metadata(request)
        if answer is not None:
            entry["action"] = "metadata"
            entry["path"] = f"{request.method} {request.path}"
            fault = double.take_fault("metadata")
        else:
            try:
                entry["action"] = double.action(request)
                double.authenticate(request, entry)
                fault = double.take_fault(entry["action"])
                answer = double.perform(request, entry, fault)
            except Refusal as refusal:
                answer = double.refusal(refusal)
        if fault:
            entry["fault"] = fault["kind"]
            answer = self.distort(fault, answer)
        entry["code"] = answer.code if answer else "none"
        entry["status"] = answer.status if answer else 0
        with double.lock:
            double.journal.append(entry)
        if answer:
            return self.send(answer)
        self.close_connection = True
        if fault["kind"] == "hang":
            self.wait_for_close()

    def distort(self, fault, answer):
        """Applies a fault to the correct response; returns `None` for no response."""
        double, kind = self.server.double, fault["kind"]
        if kind in ("hang", "close"):
            return None
        if kind in ("throttle", "error"):
            code, message, status = double.throttling()
            if kind == "error":
                code, message, status = (
                    fault["code"],
                    fault.get("message", "as it was asked for"),
                    None,
                )
            answer = double.refusal(
                Refusal(fault.get("code", code), message, fault.get("status", status))
            )
            if "retry_after" in fault:
                answer.headers["Retry-After"] = str(fault["retry_after"])
        elif kind == "html":
            answer = page(fault.get("status", 502))
            answer.code = "html"
        elif kind == "delay":
            time.sleep(fault["ms"] / 1000)
        elif kind == "truncate":
            answer.body = answer.body[: len(answer.body) // 2]
        elif kind == "huge":
            value = json.loads(answer.body)
            inner = value.get("Response", value)
            inner["Padding"] = "x" * PADDING
            answer.body = json.dumps(value).encode()
        return answer

    def wait_for_close(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not select.select([self.connection], [], [], 1)[0]:
                continue
            try:
                if not self.connection.recv(4096):
                    return
            except ssl.SSLWantReadError:
                continue
            except OSError:
                return

    def send(self, answer):
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('-',))[0]}"]
        headers = {
            "Content-Type": answer.content_type,
            "Content-Length": len(answer.body),
            "Date": self.date_time_string(),
            **answer.headers,
        }
        if self.close_connection:
            headers["Connection"] = "close"
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        try:
            self.wfile.write(head + (b"" if self.command == "HEAD" else answer.body))
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, double, tls):
        super().__init__(("127.0.0.1", 0), Handler)
        self.double, self.context = double, None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
            self.context.set_alpn_protocols(["http/1.1"])

    def finish_request(self, request, client_address):
        if self.context is None:
            return super().finish_request(request, client_address)
        request.settimeout(30)
        try:
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            pass  # The client does not trust this certificate, or disconnected.

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def arguments(description, add=lambda parser: None):
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="PEM files")
    parser.add_argument("--key", required=True, help="the merchant's private key, PEM, PKCS#8")
    add(parser)
    return parser.parse_args()


def run(double, tls):
    server = Server(double, tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    print(json.dumps(double.ready(url)), flush=True)
    sys.stdin.buffer.read()
