"""Holds the running API against contracts/openapi.yaml: each route with each status that can be had, its type and its body.

Needs API_ADDRESS and API_TOKEN (an operator's who belongs to all organisations) of a server with the demo's data. Exit status 0 where all of it
holds. Every status that the contract names is either seen here or stands in NOT_SEEN with a reason.
"""
import base64, json, os, sys, time, urllib.error, urllib.request
from pathlib import Path
import yaml
from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ADDRESS, TOKEN = os.environ["API_ADDRESS"], os.environ["API_TOKEN"]
CONTRACT = yaml.safe_load((Path(__file__).parents[2] / "contracts/openapi.yaml").read_text())
REGISTRY = Registry().with_resource("urn:contract", Resource.from_contents(CONTRACT, default_specification=DRAFT202012))
CONTRACT_ORG = "0a000000-0000-4000-8000-000000000001"
CLIENT, NOTHING = "c1000000-0000-4000-8000-000000000001", "0e000000-0000-4000-8000-000000000001"
NOT_SEEN = {
    "408": "takes a client that is slow for api.requestSeconds", "409": "takes two replays at once",
    "429": "the limit is set out of reach for this run", "503": "takes a broker or a database that is away; see the integration tests",
}
problems, seen = [], set()


def resolve(node):
    while "$ref" in node:
        target = CONTRACT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def absolute(schema):
    """The contract's references, made absolute for the validator."""
    if isinstance(schema, dict):
        return {k: "urn:contract" + v if k == "$ref" else absolute(v) for k, v in schema.items()}
    return [absolute(part) for part in schema] if isinstance(schema, list) else schema


def send(method, path, body=None, headers=None, token=TOKEN, raw=None):
    request = urllib.request.Request(ADDRESS + path, method=method)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
    if data is not None:
        request.data = data
        request.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        answer = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read()


def check(route, method, path, wanted, **more):
    """Sends a request, and holds the answer against what the contract says of the route's method and status."""
    status, headers, body = send(method, path, **more)
    where = f"{method} {path} -> {status}"
    if status != wanted:
        problems.append(f"{where}, {wanted} was expected: {body[:300]!r}")
        return None, headers
    item = CONTRACT["paths"][route]
    operation = item.get(method.lower()) or next(iter(item.values()))
    responses = operation["responses"]
    if str(status) not in responses:
        problems.append(f"{where}: the contract knows no such status")
        return None, headers
    seen.add((route, str(status)))
    content = resolve(responses[str(status)]).get("content")
    if not content:
        if body:
            problems.append(f"{where}: a body where the contract has none")
        return None, headers
    kind = headers.get_content_type()
    if kind not in content:
        problems.append(f"{where}: {kind} is not the contract's {', '.join(content)}")
        return None, headers
    document = json.loads(body)
    for error in OAS31Validator(absolute(content[kind]["schema"]), registry=REGISTRY, format_checker=OAS31Validator.FORMAT_CHECKER).iter_errors(document):
        problems.append(f"{where}: {error.json_path}: {error.message[:300]}")
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
        if name not in headers:
            problems.append(f"{where}: no {name}")
    return document, headers


def plain(claims):
    """The operator's token without its claim cannot be signed here; a forged one is one more 401."""
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return part({"alg": "none", "typ": "JWT"}) + "." + part(claims) + "."


j, o = "/api/journey/", "/api/operations/"
actions, _ = check(j + "actions", "GET", j + "actions?limit=2", 200)
dead_letters, _ = check(o + "dead-letters", "GET", o + "dead-letters?limit=2", 200)
action, dead_letter = actions["items"][0]["id"], dead_letters["items"][0]["id"]
reads = {
    j + "client/{id}": f"client/{CLIENT}", j + "client/{id}/events": f"client/{CLIENT}/events", j + "high-risk": "high-risk",
    j + "next-action/{clientId}": f"next-action/{CLIENT}", j + "upsell": "upsell", j + "clients": "clients", j + "actions": "actions",
    j + "actions/{id}": f"actions/{action}", j + "stages": "stages", j + "stats": "stats", j + "me": "me",
}
paths = {route: j + path for route, path in reads.items()} | {
    o + "overview": o + "overview", o + "dead-letters": o + "dead-letters", o + "dead-letters/{id}": f"{o}dead-letters/{dead_letter}",
}
for route, path in paths.items():
    _, headers = check(route, "GET", path, 200)
    check(route, "GET", path, 401, token=None)
    check(route, "GET", path, 401, token=plain({"sub": NOTHING}))
    check(route, "GET", path + "?surprise=1", 400)
    check(route, "DELETE", path, 405)
    if route not in (o + "overview",):
        # What does not change from one request to the next has the same tag, but for the moment up to which a list is right: that goes on every ten seconds.
        if route != j + "stages" and route != j + "stats":
            # Actions for people are just being delivered, which changes what is said of their clients.
            for _ in range(5):
                now, headers = check(route, "GET", path, 200)
                if "asOf" in (now or {}) and time.time() % 10 > 9:
                    time.sleep(1.1)
                elif send("GET", path, headers={"If-None-Match": headers["ETag"]})[0] == 304:
                    break
                else:
                    time.sleep(0.3)
            check(route, "GET", path, 304, headers={"If-None-Match": f'"other", {headers["ETag"]}'})
for route in (j + "client/{id}", j + "client/{id}/events", j + "actions/{id}", o + "dead-letters/{id}"):
    check(route, "GET", route.replace("{id}", NOTHING), 404)
    check(route, "GET", route.replace("{id}", "x"), 404)
check(j + "next-action/{clientId}", "GET", j + f"next-action/{NOTHING}", 404)
for route in (j + "high-risk", j + "upsell", j + "clients", j + "actions", j + "stages", j + "stats"):
    check(route, "GET", f"{route}?organization={NOTHING}", 404)
    check(route, "GET", f"{route}?organization=x", 400)
for query in ("days=31", "days=x", "days=30&days=30"):
    check(j + "stages", "GET", j + "stages?" + query, 400)
for query in ("state=nope", "state=", "clientId=x", "open=yes", "channel="):
    check(j + "actions", "GET", j + "actions?" + query, 400)
for query in ("limit=0", "limit=201", "limit=-1", "limit=1e2", "stage=nowhere", "riskLevel=low", "q=", "q=%00"):
    check(j + "clients", "GET", j + "clients?" + query, 400)

# Pages: all of them together are all there is, each once, in order.
for route, size in ((j + "clients", 7), (j + "high-risk", 1), (j + "upsell", 1), (j + "actions", 5), (j + f"client/{CLIENT}/events", 3), (o + "dead-letters", 2)):
    contract = route.replace(CLIENT, "{id}")
    whole, _ = check(contract, "GET", f"{route}?limit=200", 200)
    parts, cursor = [], None
    while True:
        page, _ = check(contract, "GET", f"{route}?limit={size}" + (f"&cursor={cursor}" if cursor else ""), 200)
        parts += page["items"]
        cursor = page["nextCursor"]
        if not cursor:
            break
    if parts != whole["items"] or not parts:
        problems.append(f"{route}: pages of {size} are not the whole")
    check(contract, "GET", f"{route}?cursor=AAAA", 400)

# Writing.
event = {"clientId": CLIENT, "stage": "onboarding", "eventType": "meeting_scheduled", "metadata": {"meetingDate": "2026-11-25"}}
route = j + "event"
first, _ = check(route, "POST", route, 202, body=event, headers={"Idempotency-Key": "contract"})
again, _ = check(route, "POST", route, 202, body=event, headers={"Idempotency-Key": "contract"})
if first != again:
    problems.append("the same Idempotency-Key was two events")
check(route, "POST", route, 422, body={**event, "stage": "retention"}, headers={"Idempotency-Key": "contract"})
for bad in ({**event, "clientId": "x"}, {**event, "stage": "x"}, {**event, "eventType": "X y"}, {**event, "metadata": []}, {**event, "more": 1}, {**event, "occurredAt": "x"}, [event], {}):
    check(route, "POST", route, 400, body=bad)
check(route, "POST", route, 400, raw=b"{")
check(route, "POST", route, 400, body=event, headers={"Idempotency-Key": "a b"})
check(route, "POST", route, 404, body={**event, "clientId": NOTHING})
check(route, "POST", route, 413, body={**event, "metadata": {"x": "x" * 70_000}})
check(route, "POST", route, 415, raw=b"{}", headers={"Content-Type": "text/plain"})
check(route, "POST", route, 422, body={**event, "occurredAt": "2999-01-01T00:00:00Z"})
check(route, "POST", route, 401, body=event, token=None)
check(route, "GET", route, 405)

by_id = lambda name, id: f"{j}actions/{id}/{name}"
opened, _ = check(j + "actions", "GET", j + "actions?channel=human&open=true", 200)
first = opened["items"][0]["id"]
waiting, _ = check(j + "actions", "GET", j + "actions?state=published&open=true&limit=200", 200)
second = next(item["id"] for item in waiting["items"] if item["channel"] != "human")
for name, good in (("outcome", {"outcome": "accepted"}), ("revoke", {"reason": "contract"})):
    route = by_id(name, "{id}")
    for bad in ({}, [good], {**good, "more": 1}, {"outcome": "vanished"}, {"reason": ""}):
        check(route, "POST", by_id(name, first), 400, body=bad)
    check(route, "POST", by_id(name, first), 400, raw=b"{")
    check(route, "POST", by_id(name, first), 401, body=good, token=None)
    check(route, "POST", by_id(name, NOTHING), 404, body=good)
    check(route, "POST", by_id(name, "x"), 404, body=good)
    check(route, "GET", by_id(name, first), 405)
    check(route, "POST", by_id(name, first), 413, body={"detail": "x" * 70_000})
    check(route, "POST", by_id(name, first), 415, raw=b"{}", headers={"Content-Type": "text/plain"})
route = by_id("outcome", "{id}")
for bad in ({"outcome": "snoozed"}, {"outcome": "snoozed", "until": "2020-01-01T00:00:00Z"}, {"outcome": "snoozed", "until": "2999-01-01T00:00:00Z"},
            {"outcome": "accepted", "occurredAt": "2999-01-01T00:00:00Z"}, {"outcome": "accepted", "occurredAt": "1999-01-01T00:00:00Z"}):
    check(route, "POST", by_id("outcome", first), 422, body=bad)
check(route, "POST", by_id("outcome", first), 202, body={"outcome": "accepted", "detail": "contract"})
for _ in range(100):
    now, _ = check(j + "actions/{id}", "GET", f"{j}actions/{first}", 200)
    if now["state"] == "accepted":
        break
    time.sleep(0.1)
if now["state"] != "accepted" or now["mayRun"] or now["history"][-1]["detail"] != "contract":
    problems.append(f"the outcome was not recorded: {now}")
known, _ = check(route, "POST", by_id("outcome", first), 202, body={"outcome": "accepted"})
if known["status"] != "known":
    problems.append(f"the same outcome is taken twice: {known}")
check(route, "POST", by_id("outcome", first), 409, body={"outcome": "snoozed", "until": "2026-12-24T08:00:00Z"})
route = by_id("revoke", "{id}")
check(route, "POST", by_id("revoke", first), 409, body={"reason": "contract"})
check(route, "POST", by_id("revoke", second), 202, body={"reason": "contract"})
now, _ = check(j + "actions/{id}", "GET", f"{j}actions/{second}", 200)
if now["state"] != "revoked" or now["because"] != "revoked":
    problems.append(f"the action is not revoked: {now}")

for name in ("replay", "discard"):
    route = f"{o}dead-letters/{name}"
    for bad in ({}, {"reason": "x"}, {"all": "yes"}, {"ids": []}, {"ids": ["x"]}, {"all": True, "more": 1, "reason": "x"}):
        check(route, "POST", route, 400, body=bad)
    check(route, "POST", route, 401, body={"all": True}, token=None)
    check(route, "POST", route, 413, body={"all": True, "reason": "x" * 70_000})
    check(route, "POST", route, 415, raw=b"{}", headers={"Content-Type": "text/plain"})
    check(route, "PUT", route, 405)
route = o + "holds"
for bad in ({}, {"reason": "x"}, {"channel": "voice"}, {"channel": "voice", "reason": "x", "until": "2020-01-01T00:00:00Z"}, {"action": "x", "reason": "x"}):
    check(route, "POST", route, 400, body=bad)
check(route, "POST", route, 401, body={}, token=None)
check(route, "POST", route, 413, body={"reason": "x" * 70_000})
check(route, "POST", route, 415, raw=b"{}", headers={"Content-Type": "text/plain"})
check(route, "PUT", route, 405)
hold, _ = check(route, "POST", route, 201, body={"channel": "voice", "orgId": CONTRACT_ORG, "reason": "contract"})
check(route, "GET", route, 401, token=None)
check(route, "GET", route + "?state=x", 400)
_, headers = check(route, "GET", route, 200)
check(route, "GET", route, 304, headers={"If-None-Match": "*"})
release = lambda id: f"{o}holds/{id}/release"
route = release("{id}")
check(route, "POST", release(hold["hold"]["id"]), 400, body={"rate": 0})
check(route, "POST", release(hold["hold"]["id"]), 401, body={}, token=None)
check(route, "POST", release(hold["hold"]["id"]), 413, body={"reason": "x" * 70_000})
check(route, "POST", release(hold["hold"]["id"]), 415, raw=b"{}", headers={"Content-Type": "text/plain"})
check(route, "GET", release(hold["hold"]["id"]), 405)
check(route, "POST", release(hold["hold"]["id"]), 200, body={"rate": 100, "reason": "contract"})
check(route, "POST", release(999_999), 404, body={})
replay, _ = check(o + "dead-letters/replay", "POST", o + "dead-letters/replay", 202, body={"ids": [dead_letter], "reason": "contract"})
route = o + "replays/{id}"
for _ in range(100):
    now, _ = check(route, "GET", f"{o}replays/{replay['id']}", 200)
    if not now["running"]:
        break
    time.sleep(0.1)
if now["confirmed"] != 1:
    problems.append(f"the replay did not publish its dead letter: {now}")
check(route, "GET", f"{o}replays/{replay['id']}", 304, headers={"If-None-Match": "*"})
check(route, "GET", o + "replays/2000000000", 404)
check(route, "GET", o + "replays/1?x=1", 400)
check(route, "GET", o + "replays/1", 401, token=None)
check(route, "DELETE", o + "replays/1", 405)
check(o + "overview", "GET", o + "overview", 304, headers={"If-None-Match": "*"})
check(j + "stages", "GET", j + "stages", 304, headers={"If-None-Match": "*"})
check(j + "stats", "GET", j + "stats", 304, headers={"If-None-Match": "*"})
other = dead_letters["items"][1]["id"]
check(o + "dead-letters/discard", "POST", o + "dead-letters/discard", 200, body={"ids": [other], "reason": "contract"})
check(o + "dead-letters/{id}", "GET", f"{o}dead-letters/{other}", 200)

for route in ("/live", "/health", "/ready"):
    check(route, "GET", route, 200, token=None)
    check(route, "GET", route + "?x=1", 400, token=None)
    check(route, "POST", route, 405, body={}, token=None)
check(j + "live", "GET", j + "live", 401, token=None)
check(j + "live", "GET", j + "live?x=1", 400)
check(j + "live", "POST", j + "live", 405, body={})
with urllib.request.urlopen(urllib.request.Request(ADDRESS + j + "live", headers={"Authorization": "Bearer " + TOKEN}), timeout=20) as stream:
    if stream.headers.get_content_type() != "text/event-stream" or b"event: ready" not in stream.readline() + stream.readline():
        problems.append("live: no stream that begins with ready")
    seen.add((j + "live", "200"))

# An operator alone sees 403 nowhere: the tenancy tests of the integration tests see it on every route.
missing = {
    (route, status) for route, item in CONTRACT["paths"].items() for operation in item.values() for status in operation["responses"]
    if status not in NOT_SEEN and status != "403"} - seen
for route, status in sorted(missing):
    problems.append(f"{route}: {status} stands in the contract and was not seen")
for problem in problems:
    print(problem)
print(f"{len(seen)} pairs of route and status hold" if not problems else f"{len(problems)} problems")
sys.exit(1 if problems else 0)
