"""A browser, and what a person does with it: goes somewhere, reads, clicks. Shared by the checks of this folder.

Needs API_ADDRESS and API_TOKEN of a server with the demo's data. With SCREENSHOTS it writes pictures into that directory.
"""
import importlib.util, json, os, time, urllib.request
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
# A view draws itself again when something changes: an element may be gone between two looks.
wait = WebDriverWait(page, 20, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException, NoSuchElementException])


def js(script, *arguments):
    return page.execute_script(script, *arguments)


def visible(selector):
    return js("const e = document.querySelector(arguments[0]); if (!e) return false; const r = e.getBoundingClientRect();"
              "return e.checkVisibility() && r.height > 0 && r.top >= 0 && r.top < innerHeight - 40 && r.left >= 0 && r.left < innerWidth", selector)


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
    # All of them are reported together, at the end.
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
