"""A process of its own that asks /healthz again and again, until its standard input ends.

Prints the slowest and the median answer in milliseconds. In the bench's own process the answers
would wait for the bench.
"""

import http.client
import select
import statistics
import sys
import time

PAUSE_SECONDS = 0.05


def main(port: int) -> None:
    taken: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        began = time.perf_counter()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        taken.append((time.perf_counter() - began) * 1e3)
    print(max(taken), statistics.median(taken))


if __name__ == "__main__":
    main(int(sys.argv[1]))
