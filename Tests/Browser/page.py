"""Looks at the page as a person would, with Chromium: every view, the keyboard, a live change, the replay of a dead letter, no error in the
console, no request to another host, and WCAG 2.2 AA as far as axe-core can tell, in light, dark and narrow. Then somebody works with it while
events come: at_work.py.

Needs API_ADDRESS, API_TOKEN, SERVERS_DIRECTORY and JOURNEY_BINARY of `scripts/demo --then`. With SCREENSHOTS it writes pictures into that directory.
"""
import json, os, sys, time, traceback
import at_work, world
from person import ADDRESS, By, CLIENT, Keys, TOKEN, axe, barriers, call, click, done, go, need, page, picture, ready, text, theme, wait


def signing_in():
    page.get(ADDRESS + "/")
    wait.until(lambda _: page.find_elements(By.ID, "token"))
    axe("sign-in")
    page.find_element(By.ID, "token").send_keys("nonsense" + Keys.ENTER)
    wait.until(lambda _: "ended" in text())
    need(True, "a wrong token is reported")
    page.get(ADDRESS + "/#token=" + TOKEN)
    ready("journey-map")
    need(TOKEN not in page.current_url, "the token does not stay in the address")


def speed():
    """From a fresh start: bytes of the first view's files, and the time until the map shows."""
    page.get("about:blank")
    page.get_log("performance")
    page.get(ADDRESS + "/#token=" + TOKEN)
    ready("journey-map")
    milliseconds = page.execute_script("return performance.now()")
    sizes = page.execute_script(
        "return performance.getEntries().filter(e => e.entryType === 'navigation' || e.entryType === 'resource').map(e => [e.name, e.encodedBodySize])")
    total = sum(size for name, size in sizes if "/live" not in name)
    need(total < 100_000, f"the first view takes {total} bytes, less than 100 KB")
    need(milliseconds < 3000, f"the map shows {milliseconds:.0f} ms after the start")


def two_clicks():
    page.get(ADDRESS + "/#token=" + TOKEN)
    ready("journey-map")
    click(".rail a[href='#/risk']")
    ready("journey-board")
    click("tbody tr a", "HIGH")
    ready("journey-client")
    need("HIGH" in text() and "Next best action" in text(), "two clicks from the start to a client at HIGH risk")


def the_map():
    go("#/map", "journey-map")
    need(len(page.find_elements(By.CSS_SELECTOR, ".stage")) == 9, "the map has nine stages")
    need(len(page.find_elements(By.CSS_SELECTOR, ".flows path")) >= 5, "the map has flows")
    axe("map")
    picture("map", 1010)
    # By keyboard alone.
    page.execute_script("document.querySelector('#stage-churn_risk').focus()")
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "#stage-list tbody tr"))
    need("Hanna Keller" in page.find_element(By.ID, "stage-list").text, "a stage opens its clients by keyboard")
    need(page.execute_script("return document.activeElement.id") == "stage-churn_risk", "the focus stays where it was")
    click("#days-90")
    wait.until(lambda _: page.find_element(By.ID, "days-90").get_attribute("aria-pressed") == "true")
    need(True, "the map shows 90 days")


def the_client():
    go(f"#/client/{CLIENT}", "journey-client")
    for words in ("Hanna Keller", "Concierge personal intervention", "Late invoices", "What makes the score", "Cancel requested"):
        need(words in text(), f"the client shows {words}")
    need(len(page.find_elements(By.CSS_SELECTOR, ".chart .dot")) >= 8, "the journey has its events")
    axe("client")
    picture("client", 1420)
    click(".events summary")
    need("subscriptionId" in text(), "an event opens its data")
    page.execute_script("location.hash = '#/client/0e000000-0000-4000-8000-000000000001'")
    wait.until(lambda _: "Nothing here" in text())
    need(True, "an unknown client is reported")


def the_todo():
    go("#/todo", "journey-todo")
    rows = lambda: page.execute_script("return [...document.querySelectorAll('tbody tr')].map(e => e.innerText)")
    number = len(rows())
    need(any("Hanna Keller" in row for row in rows()), "the list of what is to do has Hanna Keller's action")
    axe("to do")
    picture("todo", 700)
    # By keyboard alone.
    press = lambda name: (page.execute_script("[...document.querySelectorAll('tbody tr')].find(e => e.innerText.includes('Hanna Keller'))"
                                              ".querySelector(`[id^=${arguments[0]}-]`).focus()", name), page.switch_to.active_element.send_keys(Keys.ENTER))
    press("snooze")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    axe("a question of to do")
    page.find_element(By.ID, "yes").click()
    wait.until(lambda _: "snoozed until" in text())
    need("Hanna Keller" in rows()[-1], "what is snoozed stands last")
    press("done")
    # Others may leave the list meanwhile, as their cause is gone.
    wait.until(lambda _: len(rows()) < number and not any("Hanna Keller" in row for row in rows()))
    go(f"#/client/{CLIENT}", "journey-client")
    click("details summary", "Its life")
    need("accepted" in text() and "by person:" in text(), "the client shows the action's life")
    axe("client with an action's life")


def odd_addresses():
    # Whatever somebody has written into the address, the page goes on.
    for path in ("#/client/%", "#/client/%E0%A4%A", "#/client/..%2F..%2Foperations%2Foverview", "#/constructor/x", "#/__proto__", "#/map?stage=%", "#/risk/%"):
        page.execute_script("location.hash = arguments[0]", path)
        wait.until(lambda _: page.execute_script("return ['ready', 'error'].includes(document.querySelector('main > *')?.dataset.state)"))
        go("#/map", "journey-map")
    page.get(ADDRESS + "/#/client/%")
    page.refresh()
    wait.until(lambda _: "Nothing here" in text())
    go("#/map", "journey-map")
    need(page.find_element(By.ID, "live").get_attribute("data-state") is not None, "odd addresses do not kill the page")


def the_lists():
    go("#/risk", "journey-board")
    names = lambda: [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "tbody .name")]
    before = names()
    need("Nora Byrne" == before[0], "the risk board begins with the worst")
    click("#sort-0")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "th[aria-sort='ascending']"))
    need(names() == sorted(before), "the risk board sorts")
    axe("risk board")
    picture("risk")
    go("#/upsell", "journey-upsell")
    need("George Banda" in text(), "upsell shows its candidates")
    axe("upsell")


def lists_that_are_behind():
    # Whether a list says up to when it is right; loaded again, as lists are when something changes.
    def says(path, view):
        go("#/operations", "journey-operations")
        go(path, view)
        return page.execute_script("return document.querySelector('#as-of')?.innerText ?? ''")
    lists = (("#/map", "journey-map"), ("#/risk", "journey-board"), ("#/upsell", "journey-upsell"))
    for path, view in lists:
        need(says(path, view) == "", f"{path} is up to date, and says nothing of it")
    with world.overdue(CLIENT):
        for path, view in lists:
            wait.until(lambda _: says(path, view).startswith("as of "), f"{path} does not say that it is ten minutes old")
            need(True, f"{path} says up to when it is right")
        axe("a list that is behind")
    for path, view in lists:
        wait.until(lambda _: says(path, view) == "", f"{path} goes on saying that it is old")
    need(True, "lists say nothing of it once all clients are evaluated")


def searching():
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    need(page.execute_script("return document.activeElement.id") == "q", "/ goes to the search")
    page.find_element(By.ID, "q").send_keys("keller")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "#found li[data-id]"))
    page.find_element(By.ID, "q").send_keys(Keys.ENTER)
    ready("journey-client")
    wait.until(lambda _: "Hanna Keller" in text())
    need(True, "the search finds a client by keyboard")


def live():
    go(f"#/client/{CLIENT}", "journey-client")
    wait.until(lambda _: page.find_element(By.ID, "live").get_attribute("data-state") == "on")
    call("/api/journey/event", {"clientId": CLIENT, "stage": "retention", "eventType": "rescue_call_held", "metadata": {"by": "browser test"}})
    wait.until(lambda _: "Rescue call held" in text())
    need(True, "a change arrives without a reload")


def operations():
    go("#/operations", "journey-operations")
    need("Open dead letters" in text() and len(page.find_elements(By.CSS_SELECTOR, "tbody tr")) >= 9, "operations show the dead letters")
    axe("operations")
    picture("operations")
    # A dead letter of a type that nobody knows: edited into one that is known, replayed, and in the journey.
    click("tbody tr a", "unknown type")
    wait.until(lambda _: page.find_elements(By.ID, "body"))
    axe("a dead letter")
    body = json.loads(page.execute_script("return document.querySelector('#body').value"))
    body["type"] = "subscription_renewed"
    page.execute_script("document.querySelector('#body').value = arguments[0]", json.dumps(body))
    click("#replay-one")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    axe("the question before a replay")
    page.find_element(By.ID, "reason").send_keys("corrected in the browser test")
    click("#yes")
    wait.until(lambda _: page.find_elements(By.ID, "replay") and "passed 1, failed again 0, waiting 0" in page.find_element(By.ID, "replay").text)
    need(True, "a dead letter is edited and replayed, and the page says that it passed")
    subject = body["subject"]
    for _ in range(200):
        events = call(f"/api/journey/client/{subject}")["events"]["items"]
        if any(event["eventType"] == "subscription_renewed" for event in events):
            break
        time.sleep(0.05)
    need(any(event["eventType"] == "subscription_renewed" for event in events), "the corrected event is in the journey")
    go("#/operations", "journey-operations")
    click("tbody input[type=checkbox]")
    click("#discard-them", "1 chosen")
    page.find_element(By.ID, "reason").send_keys("not wanted")
    click("#yes")
    wait.until(lambda _: "1 dead letter discarded" in page.find_element(By.ID, "toast").text)
    need(True, "a dead letter is discarded")


def other_shapes():
    theme("dark")
    for path, view in (("#/map", "journey-map"), (f"#/client/{CLIENT}", "journey-client"), ("#/risk", "journey-board"), ("#/operations", "journey-operations")):
        go(path, view)
        axe(f"{path} in the dark")
        if path == "#/map":
            picture("map-dark", 1010)
    page.set_window_size(500, 900)
    theme("light")
    for path, view in (("#/map", "journey-map"), (f"#/client/{CLIENT}", "journey-client"), ("#/risk", "journey-board"), ("#/operations", "journey-operations")):
        go(path, view)
        axe(f"{path} on a narrow screen")
        if "client" in path:
            picture("client-narrow")
    page.set_window_size(1440, 1000)


def offline():
    go("#/map", "journey-map")
    page.execute_cdp_cmd("Network.enable", {})
    page.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})
    page.execute_script("document.querySelector('#days-30').click()")
    wait.until(lambda _: "may be old" in page.find_element(By.ID, "toast").text)
    need("Needs attention" in text(), "without the network what was there stays, and the page says so")
    page.execute_script("location.hash = '#/upsell'")
    wait.until(lambda _: "cannot be shown" in text())
    page.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
    click("main button", "Try again")
    ready("journey-upsell")
    need(True, "an error can be tried again")


def nothing_else(logs):
    # What the checks have asked for: no network, more starts within seconds than a user may have live streams.
    expected = ("401", "404", "ERR_INTERNET_DISCONNECTED", "status of 429")
    console = [entry for entry in logs if entry["level"] in ("SEVERE", "WARNING") and not any(part in entry["message"] for part in expected)]
    need(not console, f"no error in the console: {console[:3]}" if console else "no error in the console")
    hosts = set()
    for entry in page.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            hosts.add(message["params"]["request"]["url"].split("#")[0])
    foreign = {url for url in hosts if not url.startswith((ADDRESS + "/", "data:", "about:", "chrome:"))}
    need(not foreign and any(url.endswith("/app.js") for url in hosts), f"no request to another host: {foreign}" if foreign else "no request to another host")


status = 0
try:
    speed()
    two_clicks()
    the_map()
    the_client()
    the_todo()
    odd_addresses()
    the_lists()
    lists_that_are_behind()
    searching()
    operations()
    live()
    other_shapes()
    offline()
    if failures := at_work.work():
        raise AssertionError("what somebody who works with the page stumbles over:\n" + "\n".join(failures))
    nothing_else(page.get_log("browser"))
    page.execute_script("document.querySelector('#out').click()")
    signing_in()
    if barriers:
        raise AssertionError("barriers:\n" + "\n".join(barriers))
except Exception as error:
    status = 1
    words = str(error).split("Stacktrace")[0]
    place = "".join(traceback.format_tb(error.__traceback__)[:2])
    print(f"{type(error).__name__}: {words}\n{place}--- after: {done[-1] if done else 'the start'}\n--- the page says:\n{text()[:1500]}", file=sys.stderr)
    page.save_screenshot(os.environ.get("SERVERS_DIRECTORY", ".") + "/../page-failure.png")
finally:
    page.quit()
for line in done if status == 0 else []:
    print("ok", line)
sys.exit(status)
