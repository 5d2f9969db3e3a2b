"""Sends requests at a steady rate without waiting for answers, and prints percentiles of the latency from each request's due time."""
import argparse, http.client, json, os, queue, random, threading, time, urllib.parse

options = argparse.ArgumentParser()
for name in ("clients", "rate", "seconds"):
    options.add_argument("--" + name, type=int, required=True)
options = options.parse_args()
host = urllib.parse.urlparse(os.environ["API_ADDRESS"]).netloc
headers = {"Authorization": "Bearer " + os.environ["API_TOKEN"], "Content-Type": "application/json"}
random.seed(7)
times, failures, lock = {}, [], threading.Lock()


def client():
    return "0c000000-0000-4000-8000-%012x" % random.randint(1, options.clients)


def event():
    return json.dumps({"clientId": client(), "stage": "retention", "eventType": "meeting_scheduled", "metadata": {"by": "bench"}})


KINDS = [
    ("POST /event", lambda: ("POST", "/api/journey/event", event())), ("GET /client/:id", lambda: ("GET", "/api/journey/client/" + client(), None)),
    ("GET /high-risk", lambda: ("GET", "/api/journey/high-risk", None)), ("GET /next-action/:clientId", lambda: ("GET", "/api/journey/next-action/" + client(), None)),
]


def worker(jobs):
    connection = http.client.HTTPConnection(host, timeout=20)
    while (job := jobs.get()) is not None:
        name, due, (method, path, body) = job
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        took = time.perf_counter() - due
        with lock:
            times.setdefault(name, []).append(took)
            if answer.status not in (200, 202):
                failures.append((name, answer.status))


def run(kinds, rate, seconds, threads=8):
    jobs = queue.Queue()
    pool = [threading.Thread(target=worker, args=(jobs,)) for _ in range(threads)]
    for thread in pool:
        thread.start()
    start = time.perf_counter()
    for number in range(rate * seconds):
        due = start + number / rate
        if (pause := due - time.perf_counter()) > 0:
            time.sleep(pause)
        name, make = kinds[number % len(kinds)]
        jobs.put((name, due, make()))
    for _ in pool:
        jobs.put(None)
    for thread in pool:
        thread.join()


def report():
    for name, found in times.items():
        found.sort()
        at = lambda share: 1000 * found[min(len(found) - 1, int(len(found) * share))]
        print(f"{name:<28} {len(found):>6} requests  p50 {at(.5):6.1f} ms  p99 {at(.99):6.1f} ms  most {1000 * found[-1]:6.1f} ms")


run(KINDS, options.rate, 2)  # Prepares statements and warms caches.
times.clear()
run(KINDS, options.rate, options.seconds)
report()
times.clear()
first = time.perf_counter()
run([("GET /stages (first)", lambda: ("GET", "/api/journey/stages?days=90", None))], 1, 1, threads=1)
time.sleep(4)  # The moves are counted in the background.
run([("GET /stages", lambda: ("GET", "/api/journey/stages?days=90", None))], 20, 10, threads=2)
report()
if failures:
    raise SystemExit(f"{len(failures)} requests failed, e.g. {failures[:5]}")
