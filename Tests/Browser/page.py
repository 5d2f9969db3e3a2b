"""Looks at the page as a person would, with Chromium: every view, the keyboard, a live change, the replay of a dead letter, no error in the
console, no request to another host, and WCAG 2.2 AA as far as axe-core can tell, in light, dark and narrow.

Needs API_ADDRESS and API_TOKEN of a server with the demo's data. With SCREENSHOTS it writes pictures into that directory.
"""
import importlib.util, json, os, sys, time, traceback, urllib.request
from pathlib import Path
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

ADDRESS, TOKEN = os.environ["API_ADDRESS"], os.environ["API_TOKEN"]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
CLIENT = "c1000000-0000-4000-8000-000000000001"
# The package is looked for and not imported: it wants a driver of its own.
AXE = (Path(importlib.util.find_spec("axe_playwright_python").origin).parent / "axe.min.js").read_text()
done, barriers = [], []


def browser():
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1440,1000", "--lang=en-GB",
                     "--disable-dev-shm-usage", "--force-device-scale-factor=1", "--disable-background-networking", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


page = browser()
# A view draws itself anew when something changes: an element may be gone between two looks.
wait = WebDriverWait(page, 20, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException, NoSuchElementException])


def ready(view):
    """Waits until a view shows its data."""
    wait.until(lambda _: page.execute_script("return document.querySelector(arguments[0])?.dataset.state", view) == "ready")


def go(path, view):
    page.execute_script("location.hash = arguments[0]", path)
    ready(view)


def text():
    return page.execute_script("return document.querySelector('main').innerText")


def click(selector, having=""):
    """Clicks the first element that matches and holds a text, in one step with finding it."""
    wait.until(lambda _: page.execute_script(
        "const e = [...document.querySelectorAll(arguments[0])].find(e => e.closest('tr, li, button, form')?.innerText.includes(arguments[1]) ?? !arguments[1]);"
        "e?.click(); return !!e", selector, having))


def need(condition, what):
    if not condition:
        raise AssertionError(f"{what}\n--- the page says:\n{text()[:2000]}")
    done.append(what)


def call(path, body=None):
    request = urllib.request.Request(ADDRESS + path, headers={"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    return json.loads(urllib.request.urlopen(request, timeout=20).read())


def axe(name):
    """What axe-core finds by the rules of WCAG 2.0 to 2.2, A and AA, and by best practice."""
    page.execute_script(AXE)
    found = page.execute_async_script(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(arguments[0], e => arguments[0]({failure: String(e)}))")
    if "failure" in found:
        raise AssertionError(f"axe-core failed: {found['failure']}")
    problems = [f"{rule['id']}: {rule['help']}: {node['html'][:160]} {[c['message'] for c in node['any']][:1]}" for rule in found["violations"] for node in rule["nodes"][:3]]
    # All of them are told together, at the end.
    barriers.extend(f"{name}: {problem}" for problem in problems)
    done.append(f"{name} is accessible by axe-core {found['testEngine']['version']} ({len(found['passes'])} rules)")
    # What axe-core does not see: text too wide for a narrow window.
    need(page.execute_script("return document.documentElement.scrollWidth <= innerWidth"), f"{name} fits its window")


def picture(name, height=None):
    if not SCREENSHOTS:
        return
    size = page.get_window_size()
    if height:
        page.set_window_size(size["width"], height)
    time.sleep(0.3)
    page.save_screenshot(f"{SCREENSHOTS}/{name}.png")
    page.set_window_size(size["width"], size["height"])


def theme(name):
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", name)


def signing_in():
    page.get(ADDRESS + "/")
    wait.until(lambda _: page.find_elements(By.ID, "token"))
    axe("sign-in")
    page.find_element(By.ID, "token").send_keys("nonsense" + Keys.ENTER)
    wait.until(lambda _: "ended" in text())
    need(True, "a wrong token is told")
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
    need(True, "an unknown client is told")


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
    # A letter of a type that nobody knows: edited into one that is known, replayed, and in the journey.
    click("tbody tr a", "unknown type")
    wait.until(lambda _: page.find_elements(By.ID, "body"))
    axe("a letter")
    body = json.loads(page.execute_script("return document.querySelector('#body').value"))
    body["type"] = "subscription_renewed"
    page.execute_script("document.querySelector('#body').value = arguments[0]", json.dumps(body))
    click("#replay-one")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    axe("the question before a replay")
    page.find_element(By.ID, "reason").send_keys("mended in the browser test")
    click("#yes")
    wait.until(lambda _: page.find_elements(By.ID, "replay") and "1 of 1 confirmed" in page.find_element(By.ID, "replay").text)
    need(True, "a dead letter is edited and replayed, with its progress")
    subject = body["subject"]
    for _ in range(200):
        events = call(f"/api/journey/client/{subject}")["events"]["items"]
        if any(event["eventType"] == "subscription_renewed" for event in events):
            break
        time.sleep(0.05)
    need(any(event["eventType"] == "subscription_renewed" for event in events), "the mended event is in the journey")
    go("#/operations", "journey-operations")
    click("tbody input[type=checkbox]")
    click("#discard-them", "1 chosen")
    page.find_element(By.ID, "reason").send_keys("not wanted")
    click("#yes")
    wait.until(lambda _: "1 discarded" in page.find_element(By.ID, "toast").text)
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
    console = [entry for entry in logs if entry["level"] in ("SEVERE", "WARNING")
               and "401" not in entry["message"] and "404" not in entry["message"] and "ERR_INTERNET_DISCONNECTED" not in entry["message"]]
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
    odd_addresses()
    the_lists()
    searching()
    operations()
    live()
    other_shapes()
    offline()
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
    page.save_screenshot(os.environ.get("PLACE", ".") + "/../page-failure.png")
finally:
    page.quit()
for line in done if status == 0 else []:
    print("ok", line)
sys.exit(status)
