#!/usr/bin/env python3
"""A worker without Work Factory: takes one job from Faktory's default queue, prints its args and
acknowledges it.

What a worker has to do for compressed args is in args_of. Needs Python 3.14, or the package
zstandard.
Usage: unpack.py PORT
"""
import base64
import json
import socket
import sys

UNPACKED_BYTES_MAX = 64 << 20
WINDOW_BYTES_MAX = 8 << 20

try:
    from compression import zstd

    def decompress(frame, limit):
        options = {zstd.DecompressionParameter.window_log_max: WINDOW_BYTES_MAX.bit_length() - 1}
        return zstd.ZstdDecompressor(options=options).decompress(frame, max_length=limit)
except ImportError:
    import zstandard

    def decompress(frame, limit):
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
        return decompressor.stream_reader(frame).read(limit)


def args_of(job):
    envelope = (job.get("custom") or {}).get("wf")
    if envelope is None or envelope == {"v": 1}:
        return job["args"]
    is_known = envelope.get("v") == 1 and envelope.get("encoding") == "zstd-base64"
    if not is_known or set(envelope) != {"v", "encoding", "bytes"}:
        raise ValueError(f"unknown envelope {envelope}")
    size = envelope["bytes"]
    if size > UNPACKED_BYTES_MAX:
        raise ValueError(f"the args would have {size} bytes")
    # One byte more than promised is enough to know that there is more: a bomb does not get further.
    text = decompress(base64.b64decode(job["args"][0], validate=True), size + 1)
    if len(text) != size:
        raise ValueError(f"the args have not the {size} bytes that were promised")
    return json.loads(text)


def main():
    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
    replies = server.makefile("rb")

    def ask(line):
        server.sendall(line.encode() + b"\r\n")
        return replies.readline()

    replies.readline()
    ask('HELLO {"v":2,"wid":"unpack-py","hostname":"localhost","pid":1,"labels":[]}')
    length = int(ask("FETCH default")[1:])
    job = json.loads(replies.read(length + 2))
    print(json.dumps(args_of(job), ensure_ascii=True))
    ask("ACK " + json.dumps({"jid": job["jid"]}))


main()
