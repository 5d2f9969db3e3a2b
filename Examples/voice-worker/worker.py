#!/usr/bin/env python3
"""A worker of the channel voice: takes actions from journey.actions.voice, makes the calls, and reports their outcomes.

docs/workers.md says why each step is there. The environment says what the worker needs:

  AMQP_URL            its user of the broker: read on journey.actions.voice, write on journey.outcomes
  CALL_COMMAND        makes a call: a shell command that gets the action's message (JSON) on standard input. Exit status 0: the call
                      has been made; 75: try again later; any other: it failed. If it prints one of replied, accepted or rejected,
                      that is reported as well.
  JOURNEY_API_URL     the adapter's API, which is asked before each call whether it may be made; without it nobody is asked
  JOURNEY_TOKEN_FILE  the file of a token for it
"""
import asyncio
import json
import logging
import os
import signal
import urllib.request
from collections import OrderedDict
from datetime import datetime, timezone

import aio_pika

CHANNEL = "voice"
PREFETCH = 20  # calls under way at the same time, those that wait included
REMEMBERED = 10_000  # ids of actions, and of revoked ones
RETRY_SECONDS = 5
RECONNECT_SECONDS = 1
BROKER_ERRORS = (aio_pika.exceptions.AMQPError, OSError, RuntimeError, asyncio.TimeoutError)
LEARNED = {"replied", "accepted", "rejected"}
log = logging.getLogger("voice-worker")


class Stopped(Exception):
    """The worker stops: the message goes back to the queue."""


def time_of(text):
    """None for an action without this time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def now():
    return datetime.now(timezone.utc)


def remember(known, key, value):
    known[key] = value
    while len(known) > REMEMBERED:
        known.popitem(last=False)


class Worker:
    def __init__(self, environment):
        self.url = environment["AMQP_URL"]
        self.command = environment["CALL_COMMAND"]
        self.api = environment.get("JOURNEY_API_URL", "").rstrip("/")
        self.token_file = environment.get("JOURNEY_TOKEN_FILE")
        self.stopping = asyncio.Event()
        self.handled = OrderedDict()  # message id: the task that handles the action, or has
        self.revoked = OrderedDict()
        self.under_way = set()

    async def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stopping.set)
        while not self.stopping.is_set():
            try:
                # Not connect_robust: it declares what it restores, which a worker's user may not.
                async with await aio_pika.connect(self.url, client_properties={"connection_name": "voice-worker"}) as connection:
                    await self.consume(connection)
            except BROKER_ERRORS as error:
                log.warning("the broker is lost, trying again: %r", error)
            try:
                await self.wait(RECONNECT_SECONDS)
            except Stopped:
                await asyncio.gather(*self.under_way)

    async def consume(self, connection):
        """Returns when the channel is lost, or once the worker has stopped."""
        # With confirms; what no queue takes is an error.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.set_qos(prefetch_count=PREFETCH)
        self.user = connection.url.user
        self.outcomes = await channel.get_exchange("journey.outcomes", ensure=False)
        queue = await channel.get_queue(f"journey.actions.{CHANNEL}", ensure=False)

        async def take(message):
            task = asyncio.create_task(self.settle(message))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

        consumer = await queue.consume(take)
        log.info("consuming")
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait([stopping, channel.closed()], return_when=asyncio.FIRST_COMPLETED)
        if self.stopping.is_set() and not channel.is_closed:
            log.info("stopping")
            await queue.cancel(consumer)
            # A call that is being made is finished and reported; what waits goes back to the queue.
            await asyncio.gather(*self.under_way)
        stopping.cancel()

    async def settle(self, message):
        try:
            if await self.take(message):
                await message.ack()
            else:
                # The broker moves it to journey.outcomes, where it counts as failed.
                await message.reject(requeue=False)
        except Stopped:
            pass
        except BROKER_ERRORS as error:
            # The channel of the delivery is gone: the broker delivers the message again, and the copy is known.
            log.warning("not settled: %r", error)

    async def take(self, message):
        """False: the message cannot be read."""
        try:
            event = json.loads(message.body)
            kind, data = event["type"], event["data"]
            if kind == "journey.action.revoked.v1":
                remember(self.revoked, data["actionId"], True)
                return True
            if kind != "journey.action.recommended.v1":
                return False
            event["id"], event["orgid"]
            times = time_of(data.get("notBefore")), time_of(data.get("expiresAt"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        # A copy has the result of the first: it is acked only once that has been reported.
        if message.message_id not in self.handled:
            task = asyncio.create_task(self.handle(event, message.body, *times))
            remember(self.handled, message.message_id, task)
        try:
            await asyncio.shield(self.handled[message.message_id])
        except Stopped:
            self.handled.pop(message.message_id, None)
            raise
        return True

    async def handle(self, event, body, not_before, expires_at):
        action = event["id"]
        while True:
            if action in self.revoked or (expires_at and expires_at <= now()):
                return  # there is nothing to report: the adapter knows both
            if not_before and not_before > now():
                await self.wait((not_before - now()).total_seconds())
                continue
            may_run = await asyncio.to_thread(self.may_run, action)
            if may_run is False:
                return
            if may_run is None:
                await self.wait(RETRY_SECONDS)
                continue
            status, learned = await self.call(body)
            if status == 75:
                await self.wait(RETRY_SECONDS)
                continue
            if status != 0:
                return await self.report(event, "failed", f"the call ended with {status}")
            await self.report(event, "delivered")
            if learned in LEARNED:
                await self.report(event, learned)
            return

    async def wait(self, seconds):
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise Stopped

    def may_run(self, action):
        """None: not now, because it is held or snoozed, or because the adapter does not answer."""
        if not self.api:
            return True
        try:
            with open(self.token_file) as file:
                token = file.read().strip()
            request = urllib.request.Request(
                f"{self.api}/api/journey/actions/{action}", headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = json.load(response)
                return answer["mayRun"] or (None if answer.get("because") in ("held", "snoozed") else False)
        except (OSError, ValueError, KeyError) as error:
            log.warning("the adapter does not say whether %s may run: %r", action, error)
            return None

    async def call(self, body):
        process = await asyncio.create_subprocess_shell(
            self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate(body)
        return process.returncode, output.decode(errors="replace").strip()

    async def report(self, event, outcome, detail=None):
        """Returns once the broker has confirmed it."""
        time = now().isoformat()
        data = {"actionId": event["id"], "outcome": outcome, "occurredAt": time}
        if detail:
            data["detail"] = detail
        report = {
            "specversion": "1.0", "id": f"{event['id']}/{outcome}", "source": "/workers/voice",
            "type": "journey.action.outcome.v1", "time": time, "orgid": event["orgid"],
            "datacontenttype": "application/json", "data": data,
        }
        message = aio_pika.Message(
            json.dumps(report).encode(), content_type="application/cloudevents+json", message_id=report["id"],
            type=report["type"], user_id=self.user, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        while True:
            try:
                return await self.outcomes.publish(message, routing_key=f"{CHANNEL}.{outcome}", timeout=10)
            except BROKER_ERRORS as error:
                log.warning("%s of %s is not reported, trying again: %r", outcome, event["id"], error)
                await self.wait(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(Worker(os.environ).run())
