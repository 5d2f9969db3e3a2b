"""Somebody works with the page while events come: loads more, chooses, scrolls, types, opens, asks. What was begun has to be there afterwards,
and what the page says has to be so.

Each check stands for a kind of fault that the page had. All are made, and all failures are reported.
"""
import traceback
import world
from person import ADDRESS, By, CLIENT, Keys, TOKEN, axe, call, click, go, js, need, page, ready, text, visible, wait

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def rows():
    return js("return document.querySelectorAll('tbody tr').length")


def tile(name):
    return js("return [...document.querySelectorAll('.tile')].find(e => e.innerText.startsWith(arguments[0]))?.querySelector('b').innerText", name)


def open_dead_letters():
    return call("/api/operations/overview")["deadLetters"]["states"]["new"]


def news():
    """A dead letter comes, and the page says so."""
    number = open_dead_letters() + 1
    world.publish([world.bad_dead_letter()])
    world.await_dead_letters(number)
    wait.until(lambda _: tile("Open dead letters") == str(number), f"the page goes on showing {tile('Open dead letters')} open dead letters, not {number}")


def show_more(wanted):
    """Clicks "Show more" until there are so many rows."""
    while (before := rows()) < wanted:
        js("[...document.querySelectorAll('main button')].find(e => e.innerText === 'Show more').click()")
        wait.until(lambda _: rows() > before)


def look_at(selector, place):
    """Scrolls to an element, gives it the focus, and says which it is and where."""
    return js("const e = document.querySelectorAll(arguments[0])[arguments[1]]; e.scrollIntoView({block: 'center', behavior: 'instant'});"
              "e.focus({preventScroll: true}); return [e.getAttribute('href') || e.id, e.getBoundingClientRect().top]", selector, place)


def where():
    return js("const e = document.activeElement; return [e.getAttribute('href') || e.id || e.tagName, e.getBoundingClientRect().top]")


def still(seen, what):
    name, top = where()
    need(name == seen[0] and abs(top - seen[1]) < 4, f"{what}: the focus and what is looked at stay where they are ({seen} is {[name, top]})")


def start(path="#/map", view="journey-map"):
    page.set_window_size(1440, 1000)
    # The same address again, but for its fragment, would be no start.
    page.get("about:blank")
    page.get(ADDRESS + "/#token=" + TOKEN)
    ready("journey-map")
    wait.until(lambda _: page.find_element(By.ID, "live").get_attribute("data-state") == "on")
    go(path, view)


@check
def a_redraw_of_operations():
    start("#/operations", "journey-operations")
    show_more(150)
    for place in (2, 120):
        js("document.querySelectorAll('tbody input')[arguments[0]].click()", place)
    names = js("return [...document.querySelectorAll('tbody input:checked')].map(e => e.id)")
    seen = look_at("tbody a", 100)
    news()
    news()
    need(rows() >= 150, f"150 loaded dead letters are there after two redraws, not {rows()}")
    need(js("return [...document.querySelectorAll('tbody input:checked')].map(e => e.id)") == names, "chosen dead letters stay chosen")
    need("2 chosen" in js("return document.querySelector('#discard-them').innerText"), "the buttons go on saying how many are chosen")
    still(seen, "operations")
    js("document.querySelectorAll('tbody input:checked')[0].click()")
    need("1 chosen" in js("return document.querySelector('#discard-them').innerText"), "a choice can be taken back")


@check
def half_typed_text_and_a_question():
    start("#/operations", "journey-operations")
    js("document.querySelectorAll('tbody a')[0].click()")
    wait.until(lambda _: page.find_elements(By.ID, "body"))
    js("const e = document.querySelector('#body'); e.focus(); e.setSelectionRange(3, 3)")
    page.switch_to.active_element.send_keys("half")
    written = js("return document.querySelector('#body').value")
    news()
    need(js("const e = document.querySelector('#body'); return [e.value, e.selectionStart, document.activeElement === e]") == [written, 7, True],
         "what is half written in a dead letter stays, with the cursor, while the numbers around it change")
    js("document.querySelector('#discard-them').click()")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    page.find_element(By.ID, "reason").send_keys("not wan")
    news()
    need(js("return document.querySelector('dialog[open] #reason')?.value") == "not wan" and js("return document.activeElement.id") == "reason",
         "a question stays open with what is written in it")
    js("document.querySelector('dialog').close()")
    need(js("return document.querySelector('#body').value") == written, "and what is half written is still there after it")


@check
def a_redraw_of_a_board():
    start("#/risk", "journey-board")
    show_more(world.AT_RISK)
    number, seen = rows(), look_at("tbody a", 150)
    call("/api/journey/event", {"clientId": world.board(5), "stage": "churn_risk", "eventType": "rescue_call_planned", "metadata": {}})
    hers = lambda: js("return [...document.querySelectorAll('tbody tr')].find(e => e.innerText.includes('board5@'))?.innerText ?? ''")
    wait.until(lambda _: rows() < number or "just now" in hers())
    need(rows() >= number, f"all {number} rows of the board are there after a redraw, not {rows()}")
    still(seen, "the board")


@check
def a_redraw_of_a_client():
    start(f"#/client/{CLIENT}", "journey-client")
    js("document.querySelectorAll('.events details')[2].open = true; document.querySelector('#considered').open = true")
    opened = js("return [...document.querySelectorAll('details[open]')].map(e => e.id).sort()")
    js("document.querySelector('#q').value = 'kel'")
    seen = look_at(".events summary", 2)
    own = js("window.own = document.activeElement; return own.parentElement.id")
    call("/api/journey/event", {"clientId": CLIENT, "stage": "retention", "eventType": "rescue_call_moved", "metadata": {"by": "browser test"}})
    wait.until(lambda _: "Rescue call moved" in text())
    need(js("return [...document.querySelectorAll('details[open]')].map(e => e.id).sort()") == opened, "what was opened stays open")
    need(js("return document.activeElement === own && own.parentElement.id") == own and abs(where()[1] - seen[1]) < 4, f"a client: the focus and what is looked at stay ({seen} is {where()})")
    need(js("return document.querySelector('#q').value") == "kel", "what is looked for stays")


@check
def a_letter_that_is_opened():
    for width, height in ((1440, 900), (1024, 768)):
        start("#/operations", "journey-operations")
        page.set_window_size(width, height)
        link, _ = look_at("tbody a", 45)
        js("document.activeElement.click()")
        wait.until(lambda _: page.find_elements(By.ID, "body"))
        need(visible("#dead-letter h2"), f"an opened dead letter is in sight at {width} by {height}")
        need(js("return document.querySelector(`a[href='${arguments[0]}']`).closest('tr').getAttribute('aria-current')", link) == "true", "its row is marked")
        if width == 1440:
            axe("a dead letter beside the list")
        page.switch_to.active_element.send_keys(Keys.ESCAPE)
        wait.until(lambda _: not page.find_elements(By.ID, "body"), "Escape does not close the dead letter")
        need(where()[0] == link and visible(f"a[href='{link}']"), "Escape closes it, and the focus is back where it was")


@check
def what_became_of_a_replay():
    start("#/operations", "journey-operations")
    number = next(group["count"] for group in call("/api/operations/overview")["deadLetters"]["codes"] if group["name"] == "missing_field")
    js("document.querySelector('#code-missing_field').click()")
    wait.until(lambda _: page.find_element(By.ID, "code-missing_field").get_attribute("aria-pressed") == "true")
    js("document.querySelector('#replay-them').click()")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    js("document.querySelector('#yes').click()")
    wait.until(lambda _: page.find_elements(By.ID, "replay"))
    said = lambda: js("return document.querySelector('#replay')?.innerText ?? ''")
    wait.until(lambda _: "passed 0" in said() and f"failed again {number}" in said() and "waiting 0" in said(),
               f"after a replay of {number} dead letters that all fail again the page says: {said()}")
    need("failed again" in said() and "Done" not in said(), "a replay of which all failed again says so")


@check
def how_many_are_meant():
    start("#/operations", "journey-operations")
    number = open_dead_letters()
    says = lambda selector: js("return document.querySelector(arguments[0]).innerText", selector)
    need(str(number) in says("#replay-them") and str(number) in says("#discard-them"), f"the buttons for all say {number}: {says('#discard-them')}")
    js("document.querySelector('#discard-them').click()")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    axe("the question before a discard")
    need(says("#yes") == f"Discard {number}" and str(number) in says("dialog h2"), f"the question says how many it is about: {says('dialog')}")
    colour = lambda selector: js("return getComputedStyle(document.querySelector(arguments[0])).backgroundColor", selector)
    need(colour("#yes") != colour("#replay-them"), "what cannot be undone is not confirmed by the button that everything is confirmed by")
    js("document.querySelector('dialog').close()")
    js("document.querySelectorAll('tbody input')[0].click()")
    js("document.querySelector('#discard-them').click()")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    need(says("#yes") == "Discard 1", "for one it says one")
    page.find_element(By.ID, "reason").send_keys("counted")
    js("document.querySelector('#yes').click()")
    wait.until(lambda _: open_dead_letters() == number - 1)
    js("const e = document.querySelector('#state'); e.value = 'discarded'; e.dispatchEvent(new Event('change'))")
    count = lambda: call("/api/operations/overview")["deadLetters"]["states"]["discarded"]
    wait.until(lambda _: rows() == count() and says("#code-all") == f"All ({count()})", f"{says('#code-all')} above {rows()} rows")
    need(True, "the reasons count what they list")


@check
def hidden_is_hidden():
    start()
    page.find_element(By.ID, "out").click()
    wait.until(lambda _: page.find_elements(By.ID, "token"))
    shown = [part for part in (".rail", "#organization", "#out", "#operations-link") if page.find_element(By.CSS_SELECTOR, part).is_displayed()]
    need(not shown, f"signed out, there are no menus: {shown}")
    need(page.title == "Client journeys", "and no name of a client")
    added = page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
      const own = window.fetch;
      window.fetch = async (...all) => {
        const answer = await own(...all);
        if (!String(all[0]).endsWith("/journey/me")) return answer;
        return new Response(JSON.stringify({ ...await answer.json(), operator: false }), { status: 200 });
      };"""})
    try:
        start()
        need(page.find_element(By.CSS_SELECTOR, ".rail").is_displayed() and not page.find_element(By.ID, "operations-link").is_displayed(),
             "who is no operator does not see Operations")
    finally:
        page.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


@check
def the_organisation_that_is_chosen():
    start("#/upsell", "journey-upsell")
    total = rows()
    js("const e = document.querySelector('#organization'); e.value = arguments[0]; e.dispatchEvent(new Event('change'))", world.ORG)
    wait.until(lambda _: 0 < rows() < total)
    chosen = rows()
    need("Copperfield Press" in text(), "the view says that it shows one organisation only")
    for _ in range(2):
        page.refresh()
        ready("journey-upsell")
        need(js("return document.querySelector('#organization').value") == world.ORG and rows() == chosen, "a reload keeps the organisation that is chosen")
    page.find_element(By.ID, "out").click()
    wait.until(lambda _: page.find_elements(By.ID, "token"))
    page.find_element(By.ID, "token").send_keys(TOKEN + Keys.ENTER)
    ready("journey-upsell")
    need(js("return document.querySelector('#organization').value") == "" and rows() == total, "who signs in begins with all organisations")


@check
def names_as_the_world_has_them():
    start("#/risk", "journey-board")
    show_more(world.AT_RISK)
    heads = js("return [...document.querySelectorAll('thead th')].map(e => e.getBoundingClientRect().right)")
    edge = js("return document.querySelector('.scroll').getBoundingClientRect().right")
    need(max(heads) <= edge, f"a name of {len(world.LONG)} characters leaves the other columns in sight ({max(heads)} of {edge})")
    need(js("return Math.max(...[...document.querySelectorAll('tbody tr')].map(e => e.offsetHeight))") < 200, "and its row is no tower")
    cell = f"a[href='#/client/{world.NAMELESS}']"
    need(js("return document.querySelector(arguments[0]).innerText.trim()", cell) == f"(no name) {world.NAMELESS}", "a client without a name can be seen and distinguished from others")
    go(f"#/client/{world.LONG_NAMED}", "journey-client")
    wait.until(lambda _: world.LONG in text())
    need(js("return document.documentElement.scrollWidth <= innerWidth"), "a long name fits its page")


@check
def a_journey_of_a_thousand_events():
    start(f"#/client/{world.MARIA}", "journey-client")
    need("50 of 1,000 events" in text(), "the journey says which part of it shows")
    dots = lambda: js("return document.querySelectorAll('.chart .dot').length")
    click("main button", "Show all")
    wait.until(lambda _: dots() == world.EVENTS and f"All 1,000 events" in text(), f"{dots()} events in the picture")
    need(js("return document.querySelectorAll('.events > li').length") == world.EVENTS, "all events can be loaded, into picture and list")
    call("/api/journey/event", {"clientId": world.MARIA, "stage": "retention", "eventType": "thanked", "metadata": {}})
    wait.until(lambda _: "Thanked" in text())
    need(dots() == world.EVENTS + 1, "they stay loaded when another comes")


@check
def grave_events():
    start(f"#/client/{world.MARIA}", "journey-client")
    for name in ("Charge disputed", "Subscription cancelled"):
        kind, mark = js("const e = [...document.querySelectorAll('.events li')].find(e => e.innerText.includes(arguments[0]));"
                        "return [e.className, document.querySelector(`[data-event='${e.id.slice(6)}'] .dot`).getAttribute('class')]", name)
        need("bad" in kind.split() and "bad" in mark.split(), f"{name} is drawn as what it is: {kind}, {mark}")


@check
def sorting_sorts_all():
    start("#/risk", "journey-board")
    shown = lambda: js("return [...document.querySelectorAll('tbody .name')].map(e => e.innerText.trim())")
    wanted = sorted((client["name"] or f"(no name) {client['clientId']}" for client in world.at_risk()), key=str.lower)
    js("document.querySelector('#sort-0').click()")
    wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "th[aria-sort='ascending']"))
    need(shown()[0] == wanted[0] and shown()[:60] == wanted[:60], f"sorted by name, the first of all clients is the first: {wanted[0]}, not {shown()[0]}")
    more = js("const e = [...document.querySelectorAll('main button')].find(e => e.innerText === 'Show more'); e?.click(); return !!e")
    if more:
        wait.until(lambda _: rows() > 100)
    need(shown() == wanted, "and all that is loaded is in that order")


def work():
    """Makes all checks; what failed."""
    world.fill()
    failures = []
    for function in CHECKS:
        try:
            function()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)
            line = next(frame for frame in reversed(place) if frame.filename == __file__).lineno
            failures.append(f"{function.__name__} (line {line}): {str(error).split('Stacktrace')[0].split('--- the page')[0].strip() or type(error).__name__}")
    return failures
