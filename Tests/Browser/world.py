"""More than the demo has: clients at risk by the hundred, one with a thousand events, dead letters by the hundred, names as the world has them.

Everything goes the usual way: events are published to the broker, and the adapter makes of them what it makes.
"""
import json, os, subprocess, tempfile, time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from person import call

ROOT = Path(__file__).resolve().parents[2]
ORG = "0a000000-0000-4000-8000-000000000003"
AT_RISK, EVENTS, DEAD_LETTERS = 230, 1000, 160
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 4
MARIA = "b2000000-0000-4000-8000-000000000001"
started = datetime.now(timezone.utc)
sent = 0


def board(number):
    return f"b1000000-0000-4000-8000-{number:012d}"


LONG_NAMED, NAMELESS = board(1), board(2)


def sql(text):
    subprocess.run([ROOT / "scripts/servers", "psql", os.environ["SERVERS_DIRECTORY"], "--quiet", "--set", "ON_ERROR_STOP=1"], input=text, text=True, check=True)


@contextmanager
def overdue(client):
    """Has a client be due since ten minutes, and holds it meanwhile: no instance can evaluate it."""
    holder = subprocess.Popen([ROOT / "scripts/servers", "psql", os.environ["SERVERS_DIRECTORY"], "--quiet", "--tuples-only"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write(f"BEGIN; SELECT 'held' FROM contacts WHERE id = '{client}' FOR UPDATE;\n")
        holder.stdin.flush()
        if "held" not in holder.stdout.readline():
            raise AssertionError(f"the client {client} cannot be held")
        sql(f"UPDATE journey_client_state SET check_at = now() - interval '10 minutes' WHERE client_id = '{client}';")
        yield
    finally:
        holder.stdin.close()
        holder.wait()


def publish(events):
    names = subprocess.run(["bash", "-c", 'eval "$("$1" env "$2" --rabbitmq)"; printf %s "$AMQP_URL"', "-", ROOT / "scripts/servers", os.environ["SERVERS_DIRECTORY"]],
                           capture_output=True, text=True, check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        subprocess.run([os.environ["JOURNEY_BINARY"], "publish", file.name, "--config", ROOT / "config"], check=True, stdout=subprocess.DEVNULL,
                       env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "AMQP_URL": names.stdout})


def event(client, kind, before, data=None):
    """One as CloudEvents has it, of so long before now."""
    global sent
    sent += 1
    return {"specversion": "1.0", "id": f"world-{os.getpid()}-{sent}", "source": "/world/copper", "type": kind, "subject": client, "orgid": ORG,
            "time": (started - before).isoformat(timespec="milliseconds").replace("+00:00", "Z"), "data": data or {}}


def await_dead_letters(number):
    end = time.monotonic() + 120
    while call("/api/operations/overview")["deadLetters"]["states"]["new"] != number:
        if time.monotonic() > end:
            raise AssertionError(f"{number} dead letters are expected: {call('/api/operations/overview')['deadLetters']}")
        time.sleep(0.1)


def bad_dead_letter(kind="crowd_of_unknown_type"):
    """A message that nobody can make sense of: every dead letter is new."""
    return event(MARIA, kind, timedelta(minutes=1))


def fill():
    hours, days = (lambda n: timedelta(hours=n)), (lambda n: timedelta(days=n))
    names = {LONG_NAMED: (LONG, f"{LONG}@copper.example"), NAMELESS: ("", None), MARIA: ("Maria Thousand", "maria@copper.example")}
    people = [names.get(board(number), (f"Board {number * 37 % 1000:03d}", f"board{number}@copper.example")) for number in range(1, AT_RISK + 1)]
    values = [(board(number), *person) for number, person in enumerate(people, 1)] + [(MARIA, *names[MARIA])]
    quoted = lambda text: "NULL" if text is None else f"'{text}'"
    sql("INSERT INTO contacts (id, org_id, name, email) VALUES "
        + ",".join(f"('{id}', '{ORG}', {quoted(name)}, {quoted(email)})" for id, name, email in values) + ";")
    events = []
    for number in range(1, AT_RISK + 1):
        client = board(number)
        events += [event(client, "invoice_overdue", days(9), {"invoiceId": f"world-{number}"})]
        events += [event(client, "sentiment_detected", days(3 + part), {"sentiment": "negative"}) for part in (0, 1)]
        events += [event(client, "ticket_opened", days(5) + hours(part), {"ticket": f"world-{number}-{part}"}) for part in range(3)]
        # So that every order is another one.
        events += [event(client, "survey_answered", hours(number + 2), {"score": number % 10})]
    grave = {3: "charge_disputed", 5: "subscription_cancelled"}
    events += [event(MARIA, grave.get(number, "milestone_completed"), hours(1 + number * 16), {"subscriptionId": "world"}) for number in range(EVENTS)]
    publish(events)
    before = call("/api/operations/overview")["deadLetters"]["states"]["new"]
    dead_letters = [bad_dead_letter() for _ in range(DEAD_LETTERS)]
    # Of another reason than the rest.
    for dead_letter in dead_letters[::4]:
        del dead_letter["time"]
        dead_letter["type"] = "milestone_completed"
    publish(dead_letters)
    await_dead_letters(before + DEAD_LETTERS)
    end = time.monotonic() + 120
    while call("/api/operations/overview")["queues"]["waiting"] or call(f"/api/journey/client/{MARIA}")["lastEventAt"] is None or len(at_risk()) < AT_RISK:
        if time.monotonic() > end:
            raise AssertionError(f"the world does not come to be: {len(at_risk())} clients at risk")
        time.sleep(0.2)


def everything(path):
    """All items of a list, by the API."""
    items, cursor = [], ""
    while cursor is not None:
        answer = call(path + ("&" if "?" in path else "?") + "limit=200" + (f"&cursor={cursor}" if cursor else ""))
        items += answer["items"]
        cursor = answer["nextCursor"]
    return items


def at_risk():
    return everything("/api/journey/high-risk")
