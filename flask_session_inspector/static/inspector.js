/* Keeps a page, or the toolbar's panel, in step with the server, and leads through a timeline.

   What is open asks for itself again and again. The answer is HTML that the server escaped; it is
   parsed apart from the document, and what differs is changed in place, so that scroll position,
   focus, selection and open details stay. */

const FIRST_MS = 150;
const QUICK_MS = 700;
const SLOWER = [[60_000, 2_000], [300_000, 6_000]]; // Quiet for so long: ask every so often.
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];
const TIMEOUT_MS = 10_000;
const ENDING_MS = 10_000; // For so long a panel waits for the end of its request unseen.
const MOST_ROWS = 1_000;
const MOST_STRANGERS = 40; // Answers of another process, until its records are taken.
const FEW_STRANGERS = 3;
const MOST_MARKED = 20;
const MOST_FETCHED = 500;
const LONGEST_SENTENCE = 300;

/** An answer other than the one that was asked for. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.isFinal = false; // Whether to ask again is of no use.
  }
}

/* ---- Changing what differs ---- */

function parse(html, selector) {
  const found = new DOMParser().parseFromString(html, "text/html").querySelector(selector);
  if (!found) throw new Error(text("strange"));
  return found;
}

/** Make an element like another one that was just parsed, which is used up. */
function morph(old, fresh) {
  held.delete(old);
  if ("fsiKeep" in old.dataset || old.isEqualNode(fresh)) return;
  if ("fsiHold" in old.dataset && isInUse(old)) {
    held.set(old, fresh);
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!("fsiRows" in old.dataset)) morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const named = new Map();
  for (const child of old.children) if (child.id) named.set(child.id, child);
  const staying = new Set([...fresh.children].map((child) => child.id));
  const isStaying = (node) => node.id && staying.has(node.id);
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const match = wanted.id ? named.get(wanted.id) : findLike(next, wanted, isStaying);
    if (!match) {
      old.insertBefore(document.adoptNode(wanted), next);
      continue;
    }
    // What is gone goes first: an element that is moved would lose focus and scroll position.
    while (next !== match && !isStaying(next)) {
      const leaving = next;
      next = next.nextSibling;
      leaving.remove();
    }
    if (match === next) next = next.nextSibling;
    else old.insertBefore(match, next);
    if (match.nodeType === Node.ELEMENT_NODE) morph(match, wanted);
    else if (match.data !== wanted.data) match.data = wanted.data;
  }
  while (next) {
    const leaving = next;
    next = next.nextSibling;
    leaving.remove();
  }
}

function isLike(node, wanted) {
  return node && node.nodeName === wanted.nodeName && !node.id;
}

/** Find what a node without an id was before; what stood in front of it may be gone. */
function findLike(next, wanted, isStaying) {
  if (isLike(next, wanted)) return next;
  if (!next || isStaying(next) || wanted.nodeType !== Node.ELEMENT_NODE) return null;
  for (let node = next.nextSibling; node && !isStaying(node); node = node.nextSibling) {
    if (isLike(node, wanted) && node.classList[0] === wanted.classList[0]) return node;
  }
  return null;
}

/** What must not move while somebody points at it: the new state waits here. */
const held = new Map();

function isInUse(element) {
  return element.matches(":hover") || element.contains(document.activeElement);
}

function settle() {
  for (const [old, fresh] of held) if (!isInUse(old)) morph(old, fresh);
}

/** A text that the server wrote, in its language. */
function text(name) {
  return document.querySelector("[data-fsi-texts]")?.dataset[name] ?? name;
}

/** Write a number as the server writes the others. */
function grouped(number) {
  return number.toLocaleString("en");
}

function fill(root, name, text) {
  for (const each of root.querySelectorAll(`[data-fsi-fill=${name}]`)) each.textContent = text;
}

/* ---- Asking again and again ---- */

/** Calls `ask` when it is time to: soon, later where nothing happens, never in a hidden tab. */
class Poll {
  #ask;
  #onTrouble;
  #timer = 0;
  #failures = 0;
  #busy = false;
  #stopped = false;
  #isWanted;
  #quietSince = performance.now();

  /**
   * @param ask Returns whether there was something new; throws where it failed.
   * @param onTrouble Gets what is wrong and the seconds until the next try, or null again.
   * @param isWanted Says whether anybody looks.
   */
  constructor(ask, onTrouble, isWanted = () => true) {
    this.#ask = ask;
    this.#onTrouble = onTrouble;
    this.#isWanted = () => !document.hidden && isWanted();
    document.addEventListener("visibilitychange", () => this.wake());
    addEventListener("pageshow", () => this.wake());
    for (const name of ["pointerdown", "keydown", "scroll"]) {
      addEventListener(name, () => this.#stir(), { passive: true });
    }
    this.#wait(FIRST_MS);
  }

  /** Ask at once. */
  wake() {
    this.#quietSince = performance.now();
    if (!this.#busy && !this.#stopped) this.#run();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #stir() {
    const wasQuick = this.#pause() === QUICK_MS;
    this.#quietSince = performance.now();
    if (!wasQuick && !this.#failures) this.wake();
  }

  #pause() {
    const quiet = performance.now() - this.#quietSince;
    return SLOWER.findLast(([after]) => quiet >= after)?.[1] ?? QUICK_MS;
  }

  #wait(ms) {
    clearTimeout(this.#timer);
    if (!this.#stopped && this.#isWanted()) this.#timer = setTimeout(() => this.#run(), ms);
  }

  async #run() {
    clearTimeout(this.#timer);
    if (!this.#isWanted()) return;
    this.#busy = true;
    try {
      const isNew = await this.#ask();
      if (isNew) this.#quietSince = performance.now();
      if (this.#failures) this.#onTrouble(null);
      this.#failures = 0;
      this.#wait(this.#pause());
    } catch (error) {
      if (error.isFinal) this.stop();
      else this.#countDown(error, RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)]);
    } finally {
      this.#busy = false;
    }
  }

  #countDown(error, ms) {
    this.#onTrouble(error, Math.round(ms / 1000));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => (ms > 1000 ? this.#countDown(error, ms - 1000) : this.#run()),
      Math.min(ms, 1000),
    );
  }
}

/** Ask for what a part of the page has become; null where it is the same. */
async function askFor(part, url) {
  let response;
  try {
    response = await fetch(url, {
      credentials: "same-origin",
      cache: "no-store",
      redirect: "manual", // To a login page, say: it is for people.
      headers: {
        "If-None-Match": `"${part.dataset.fsiEtag}"`,
        "X-Requested-With": "XMLHttpRequest",
      },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Error(text("unreachable"));
  }
  if (response.status === 304) return null;
  if (response.type === "opaqueredirect") throw new Error(text("elsewhere"));
  if (!response.ok) {
    const isSentence = (response.headers.get("Content-Type") ?? "").startsWith("text/plain");
    const message = isSentence ? (await response.text()).slice(0, LONGEST_SENTENCE) : text("answered").replace("{status}", response.status);
    throw new Refusal(response.status, message);
  }
  return parse(await response.text(), `[data-fsi-etag]`);
}

/* ---- The page ---- */

class LivePage {
  #page;
  #root;
  #said;
  #latest = null;
  #arrived = new Map();
  #strangers = 0;
  #isAnother = false; // The next update is of another store than the rows.
  #newest;
  #poll;

  constructor(page, root) {
    this.#page = page;
    this.#root = root;
    this.#said = page.querySelector("[data-fsi-said]");
    this.#newest = Number(root.querySelector("[data-fsi-news]")?.dataset.fsiNewest ?? 0);
    this.#setState("live");
    this.#updated();
    page.addEventListener("click", (event) => this.#click(event));
    addEventListener("scroll", () => this.#show(), { passive: true });
    this.#poll = new Poll(() => this.#ask(), (error, seconds) => this.#trouble(error, seconds));
  }

  get #isPaused() {
    return this.#page.dataset.fsiState === "paused";
  }

  get #rows() {
    return this.#root.querySelector("[data-fsi-rows]");
  }

  async #ask() {
    const url = new URL(location.href);
    url.hash = "";
    url.searchParams.set("since", this.#root.dataset.fsiSince);
    let fresh;
    try {
      fresh = await askFor(this.#root, url);
    } catch (error) {
      error.isFinal = error.status === 410;
      if (error.isFinal) this.#setState("gone");
      throw error;
    }
    if (!fresh) this.#strangers = 0;
    const isNews = fresh && this.#take(fresh);
    if (!this.#isPaused) settle();
    return isNews;
  }

  /** Keep what is new; say whether it is of the same records. */
  #take(fresh) {
    const known = this.#root.dataset;
    if (fresh.dataset.fsiEpoch !== known.fsiEpoch) {
      // Another worker has records of its own; after a restart there is no other one.
      const most = fresh.querySelector("[data-fsi-several]") ? MOST_STRANGERS : FEW_STRANGERS;
      if (this.#strangers++ < most) return false;
      this.#arrived.clear();
      this.#isAnother = true;
    }
    this.#strangers = 0;
    for (const name of ["fsiSince", "fsiEpoch", "fsiEtag", "fsiOldest"]) known[name] = fresh.dataset[name];
    const rows = fresh.querySelector("[data-fsi-rows]");
    // The newest come first, and are put in place last.
    for (const row of [...(rows?.rows ?? [])].reverse()) {
      const before = this.#arrived.get(row.id);
      if (before && !("fsiUpdate" in before.dataset)) delete row.dataset.fsiUpdate;
      this.#arrived.delete(row.id);
      this.#arrived.set(row.id, row);
    }
    for (const id of [...this.#arrived.keys()].slice(0, -MOST_ROWS)) this.#arrived.delete(id);
    for (const [id, row] of this.#arrived) if (!this.#isKept(row)) this.#arrived.delete(id);
    this.#latest = fresh;
    this.#announce(fresh);
    this.#show();
    return true;
  }

  /** Show what has arrived, unless that is paused. */
  #show() {
    const fresh = this.#latest;
    if (fresh && !this.#isPaused) {
      this.#latest = null;
      if (this.#isAnother) this.#rows?.replaceChildren();
      this.#isAnother = false;
      const focused = document.activeElement;
      morph(this.#root, fresh); // But for the rows, which are put in place one by one.
      // One that was moved has lost it.
      if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
      chooseAgain();
      this.#updated();
    }
    if (!this.#isPaused && (this.#arrived.size || fresh)) this.#putRows();
    const waiting = [...this.#arrived.values()].filter((row) => !("fsiUpdate" in row.dataset)).length;
    fill(this.#page, "waiting", grouped(waiting));
    const button = this.#page.querySelector("[data-fsi-held]");
    if (button) {
      button.hidden = this.#isPaused || !waiting;
      fill(button, "held", grouped(waiting));
    }
  }

  /** Update the rows; put new ones at the top, unless that would move what is being read. */
  #putRows(isAskedFor = false) {
    const rows = this.#rows;
    if (!rows) return;
    const isTopInView = rows.getBoundingClientRect().top >= 0;
    const focused = rows.contains(document.activeElement) ? document.activeElement : null;
    const before = focused?.getBoundingClientRect().top;
    for (const [id, row] of this.#arrived) {
      const known = document.getElementById(id);
      if (known) morph(known, row);
      else if ("fsiUpdate" in row.dataset) this.#arrived.delete(id);
      else if (isTopInView || isAskedFor) {
        if (this.#arrived.size < MOST_MARKED) row.classList.add("is-new");
        rows.prepend(document.adoptNode(row));
      } else continue;
      this.#arrived.delete(id);
    }
    for (const row of [...rows.rows].reverse()) {
      if (!this.#isKept(row) || rows.rows.length > MOST_ROWS) row.remove();
    }
    if (focused?.isConnected) scrollBy({ top: focused.getBoundingClientRect().top - before, behavior: "instant" });
    fill(this.#page, "shown", grouped(rows.rows.length));
    const older = this.#page.querySelector("[data-fsi-older]");
    const last = rows.rows[rows.rows.length - 1];
    if (older) older.hidden = !last; // Where all are gone, there is nothing to go on from.
    if (older && last) {
      const url = new URL(older.href);
      url.searchParams.set("before", last.id.replace("fsi-r-", ""));
      older.href = url;
    }
  }

  /** Say whether the server still has the record of a row. */
  #isKept(row) {
    return Number(row.dataset.fsiPlace) >= Number(this.#root.dataset.fsiOldest);
  }

  /** Tell those who do not see the page of a finding, not of every request. */
  #announce(fresh) {
    const news = fresh.querySelector("[data-fsi-news]");
    if (!news) return;
    const newest = Number(news.dataset.fsiNewest);
    if (newest > this.#newest && this.#said) this.#said.textContent = news.dataset.fsiNews;
    this.#newest = newest;
  }

  #setState(state) {
    this.#page.dataset.fsiState = state;
  }

  #updated() {
    fill(this.#page, "updated", new Date().toLocaleTimeString());
  }

  #trouble(error, seconds) {
    if (this.#isPaused) return;
    if (!error) {
      this.#setState("live");
      this.#updated();
      return;
    }
    if (this.#page.dataset.fsiState !== "away") {
      this.#setState("away");
      if (this.#said) this.#said.textContent = text("away");
    }
    fill(this.#page, "seconds", seconds);
    fill(this.#page, "problem", error.message);
  }

  #click(event) {
    if (event.target.closest("[data-fsi-pause]")) {
      this.#setState(this.#isPaused ? "live" : "paused");
      this.#show();
      if (!this.#isPaused) this.#poll.wake();
    } else if (event.target.closest("[data-fsi-retry]")) {
      this.#poll.wake();
    } else if (event.target.closest("[data-fsi-show]")) {
      this.#putRows(true);
      this.#show();
      this.#rows.querySelector("a")?.focus({ preventScroll: true });
      this.#rows.closest("table").scrollIntoView({ block: "start", behavior: "instant" });
    }
  }
}

/* ---- The panel of the toolbar ---- */

class LivePanel {
  #panel;
  #part;
  #status;
  #failure;
  #isComplete = false;
  #isVisible = false;
  #began; // When it began to ask for the end of its request.
  #fetched = new Set();

  constructor(panel) {
    this.#panel = panel;
    panel.dataset.fsiState = "live";
    this.#part = panel.querySelector("[data-fsi-etag]");
    this.#status = panel.querySelector("[data-fsi-status]");
    this.#failure = panel.querySelector("[data-fsi-failure]");
    const poll = new Poll(
      () => this.#ask(),
      (error) => this.#trouble(error),
      () => this.#isVisible || !(this.#isComplete || performance.now() - this.#began > ENDING_MS),
    );
    panel.querySelector("[data-fsi-retry]").addEventListener("click", () => {
      this.#began = undefined;
      poll.wake();
    });
    new IntersectionObserver((entries) => {
      this.#isVisible = entries.at(-1).isIntersecting;
      if (this.#isVisible) poll.wake();
    }).observe(panel);
    new PerformanceObserver((list) => this.#noteFetched(list.getEntries())).observe({
      type: "resource",
      buffered: true,
    });
  }

  async #ask() {
    const url = new URL(this.#panel.dataset.fsiUrl, location.href);
    const [navigation] = performance.getEntriesByType("navigation");
    url.searchParams.set("redirects", navigation?.redirectCount ?? 0);
    this.#began ??= performance.now();
    let fresh;
    try {
      fresh = await askFor(this.#part, url);
    } catch (error) {
      if (error.status === 404 && !this.#isComplete) {
        // The response came before the end of its request.
        if (performance.now() - this.#began < ENDING_MS) return false;
        throw new Error(text("running"));
      }
      error.isFinal = [403, 404, 410].includes(error.status);
      if (error.isFinal && !this.#isComplete) {
        this.#trouble(error);
        this.#failure.querySelector("[data-fsi-retry]").hidden = true;
      }
      throw error;
    }
    if (!this.#isComplete) this.#status.textContent = text("complete");
    this.#isComplete = true;
    if (!fresh) return false;
    morph(this.#part, fresh);
    chooseAgain();
    this.#markFetched();
    const subtitle = document.querySelector("#flDebugSessionsPanel small");
    if (subtitle) subtitle.textContent = fresh.dataset.fsiSubtitle;
    return true;
  }

  #trouble(error) {
    this.#failure.hidden = !error;
    if (!error) return;
    fill(this.#failure, "problem", error.message);
    const says = this.#failure.textContent;
    // This comes each second until the next try, and is to be read out once.
    if (this.#status.textContent !== says) this.#status.textContent = says;
  }

  /** What a script of the page asked for; the browser knows, the server cannot tell. */
  #noteFetched(entries) {
    for (const entry of entries) {
      if (!["fetch", "xmlhttprequest", "beacon"].includes(entry.initiatorType)) continue;
      const { origin, pathname } = new URL(entry.name);
      if (origin !== location.origin) continue;
      try {
        const path = decodeURIComponent(pathname);
        this.#fetched.delete(path);
        this.#fetched.add(path);
      } catch {} // No path that the server could name.
    }
    for (const path of [...this.#fetched].slice(0, -MOST_FETCHED)) this.#fetched.delete(path);
    this.#markFetched();
  }

  #markFetched() {
    for (const kind of this.#part.querySelectorAll("[data-fsi-path]")) {
      if (this.#fetched.has(kind.dataset.fsiPath)) kind.textContent = text("script");
    }
  }
}

/* ---- The timeline ---- */

const MARK = ".fsi-timeline a[href^='#']";

/** The id of the statement's row, empty if none is chosen. */
let chosen = "";

/** Show the statement of a mark: in the table, across all lanes, and below the drawing. */
function choose(mark) {
  chosen = mark ? mark.getAttribute("href").slice(1) : "";
  for (const old of document.querySelectorAll(`${MARK}[aria-current]`)) old.removeAttribute("aria-current");
  for (const old of document.querySelectorAll(".fsi-table tr.is-chosen")) old.classList.remove("is-chosen");
  for (const old of document.querySelectorAll("[data-fsi-chosen]")) old.replaceChildren();
  for (const old of document.querySelectorAll("[data-fsi-line]")) old.setAttribute("visibility", "hidden");
  if (!mark) return;
  mark.setAttribute("aria-current", "true");
  const section = mark.closest("section");
  const shape = mark.querySelector(".g-st");
  const line = section.querySelector("[data-fsi-line]");
  const x = Number(shape.getAttribute("x")) + Number(shape.getAttribute("width")) / 2;
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  line.setAttribute("visibility", "visible");
  const row = document.getElementById(chosen);
  if (!row) return;
  row.classList.add("is-chosen");
  section.querySelector("[data-fsi-chosen]").replaceChildren(...describe(row));
}

/** Repeat what the table says of a statement. */
function describe(row) {
  const sql = element("pre", row.querySelector("pre, .fsi-sql code").textContent);
  sql.tabIndex = 0;
  const facts = element("dl");
  facts.className = "fsi-meta";
  for (const cell of row.querySelectorAll("td[data-label]")) {
    if (!cell.textContent.trim()) continue;
    const value = element("dd");
    value.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
    const pair = element("div");
    pair.append(element("dt", cell.dataset.label), value);
    facts.append(pair);
  }
  return [sql, facts];
}

function element(name, content = "") {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

/** Choose once more what was chosen before the page changed. */
function chooseAgain() {
  if (chosen) choose(document.querySelector(`.fsi-timeline a[href="#${CSS.escape(chosen)}"]`));
}

document.addEventListener("keydown", (event) => {
  const mark = event.target.closest?.(MARK);
  if (!mark || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") {
    // The toolbar closes its panel by the same key: by the next press.
    if (chosen) event.stopPropagation();
    choose(null);
    return;
  }
  const marks = [...mark.closest("svg").querySelectorAll("a[href^='#']")];
  const byNumber = (one) => Number(one.getAttribute("href").match(/\d+$/)[0]);
  marks.sort((one, other) => byNumber(one) - byNumber(other));
  const here = marks.indexOf(mark);
  const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: marks.length - 1 }[event.key];
  if (next === undefined || !marks[next]) return;
  event.preventDefault();
  for (const one of marks) one.setAttribute("tabindex", one === marks[next] ? "0" : "-1");
  marks[next].focus();
  choose(marks[next]);
}, true);

/* Without this script the mark leads to the statement's row; with it, the statement comes to the mark. */
document.addEventListener("click", (event) => {
  const mark = event.target.closest?.(MARK);
  if (!mark) return;
  event.preventDefault();
  mark.focus();
  choose(mark);
});

/* ---- What belongs together, and what lies on top ---- */

function light(target) {
  const label = target.closest?.("[data-fsi-session]")?.dataset.fsiSession;
  for (const lit of document.querySelectorAll(".fsi .is-lit")) lit.classList.remove("is-lit");
  if (!label) return;
  for (const each of document.querySelectorAll(`[data-fsi-session="${CSS.escape(label)}"]`)) {
    (each.closest("tr, .fsi-stop") ?? each).classList.add("is-lit");
  }
}

function closePopups(except) {
  for (const popup of document.querySelectorAll("[data-fsi-popup][open]")) {
    if (!except || !popup.contains(except)) popup.open = false;
  }
}

function start() {
  const page = document.querySelector(".fsi-page");
  const root = page?.querySelector("#fsi-live[data-fsi-etag]");
  if (root) new LivePage(page, root);
  for (const panel of document.querySelectorAll(".fsi-panel[data-fsi-url]")) new LivePanel(panel);
  if (!page) return;
  page.addEventListener("pointerover", (event) => light(event.target));
  page.addEventListener("focusin", (event) => light(event.target));
  document.addEventListener("click", (event) => closePopups(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const popup = document.activeElement?.closest?.("[data-fsi-popup][open]");
    closePopups(null);
    popup?.querySelector("summary").focus();
  });
}

// The page and the panel may each bring this script, from one address: it runs once.
start();
