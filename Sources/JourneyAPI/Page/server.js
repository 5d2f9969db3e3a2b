// Who is signed in, and what the server says.

export class Refusal extends Error {
  constructor(status, problem) {
    super(problem?.errors?.length ? problem.errors.map(error => `${error.field}: ${error.message}`).join("; ")
      : problem?.detail ?? `the server answered ${status}`);
    this.status = status;
  }
}

/** A text that this tab keeps over a reload, and that is gone with it. */
const kept = name => ({
  get: () => sessionStorage.getItem(name) ?? "",
  set: value => { value ? sessionStorage.setItem(name, value) : sessionStorage.removeItem(name); },
});
const token = kept("token"), organization = kept("organization");

export const session = {
  get token() { return token.get(); },
  set token(value) { token.set(value); },
  /** The one organisation that lists and counts are of; empty: all of the caller's. */
  get organization() { return organization.get(); },
  set organization(value) { organization.set(value); },
  caller: null,
  /** Called when the server does not know the caller any more. */
  ended: () => {},
};

/** How long after `asOf` an answer is old enough to say so. */
const OLD = 120_000;
/** Of two answers' `old` the older one. */
export const older = (one, other) => one && other && one > other ? other : one ?? other ?? null;

/** A request to the API; its answer as an object, whose `old` is its `asOf` where that is long ago by the server's clock. */
export async function call(path, { method = "GET", body, scope = true } = {}) {
  const url = new URL("/api/" + path, location.origin);
  if (scope && session.organization && method === "GET") url.searchParams.set("organization", session.organization);
  let response;
  try {
    response = await fetch(url, { method, headers: { Authorization: "Bearer " + session.token,
      ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined, cache: "no-cache" });
  } catch {
    throw new Refusal(0, { detail: navigator.onLine ? "the server cannot be reached" : "this device is offline" });
  }
  if (response.status === 401) session.ended();
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(response.status, answer);
  if (Date.parse(response.headers.get("Date")) - Date.parse(answer?.asOf) > OLD) answer.old = answer.asOf;
  return answer;
}

/** A list that comes in pages. What was loaded stays loaded: a look for news reads the first page, and now and then the rest. */
export class Pages {
  items = [];
  /** Up to when what is loaded is right, where that is long ago. */
  old = null;
  #next = null;
  #whole = 0;
  #turn = Promise.resolve();

  /** @param moves whether the order of the list changes: then the rest is read again each time, as long as it is not long. */
  constructor(path, { scope = true, id = item => item.clientId, size = 100, moves = false } = {}) {
    Object.assign(this, { path, scope, id, size, moves, organization: scope ? session.organization : "" });
  }

  /** The list that was there, where it is still the one that is wanted. */
  static of(known, path, options) {
    const fresh = new Pages(path, options);
    return known?.path === fresh.path && known.organization === fresh.organization ? known : fresh;
  }

  get isComplete() { return this.#next == null; }

  #page(cursor) {
    const query = new URLSearchParams({ limit: this.size, ...(cursor ? { cursor } : {}) });
    return call(this.path + (this.path.includes("?") ? "&" : "?") + query, { scope: this.scope });
  }
  /** One after the other: a look for news and a click on "Show more" meet. */
  #inTurn(work) { return this.#turn = this.#turn.catch(() => {}).then(work); }

  /** Looks for news. */
  load(first = null) { return this.#inTurn(async () => this.#merge(first ?? await this.#page())); }
  /** The next look reads all pages that are loaded. */
  stale() { this.#whole = 0; }

  async #merge(first) {
    const ids = new Set(first.items.map(this.id)), last = first.items.length ? this.id(first.items.at(-1)) : null;
    const place = this.items.findIndex(item => this.id(item) === last);
    const isMore = this.items.length > first.items.length && first.nextCursor != null;
    if (!isMore) {
      [this.items, this.#next, this.old] = [first.items, first.nextCursor, older(first.old)];
    } else if (place >= 0 && Date.now() - this.#whole < (this.moves && this.items.length <= 500 ? 0 : 30_000)) {
      this.items = [...first.items, ...this.items.slice(place + 1).filter(item => !ids.has(this.id(item)))];
      this.old = older(this.old, first.old);
    } else {
      const known = new Set(this.items.map(this.id));
      await this.#follow(first, this.items.length + first.items.filter(item => !known.has(this.id(item))).length);
    }
  }

  async #follow(first, most) {
    const items = [...first.items], ids = new Set(items.map(this.id));
    let next = first.nextCursor, old = older(first.old);
    while (next && items.length < most) {
      const page = await this.#page(next);
      for (const item of page.items) if (!ids.has(this.id(item))) { ids.add(this.id(item)); items.push(item); }
      next = page.nextCursor;
      old = older(old, page.old);
    }
    [this.items, this.#next, this.old, this.#whole] = [items, next, old, Date.now()];
  }

  /** Loads on until there are so many, or all. */
  more(most = this.items.length + 1) {
    return this.#inTurn(async () => {
      if (!this.isComplete) await this.#follow({ items: this.items, nextCursor: this.#next, old: this.old }, most);
    });
  }
}
