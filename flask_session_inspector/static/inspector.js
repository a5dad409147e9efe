/* Completes the toolbar's panel after the teardown, and leads through a timeline by arrow keys. */

const GIVE_UP_AFTER_MS = 10_000;
const FIRST_WAIT_MS = 80;
const LONGEST_WAIT_MS = 1_500;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Ask until the record is there; a 404 says that the request has not ended yet. */
async function fetchFragment(url) {
  const end = performance.now() + GIVE_UP_AFTER_MS;
  let problem = "The request has not ended yet.";
  for (let pause = FIRST_WAIT_MS; ; pause = Math.min(pause * 1.7, LONGEST_WAIT_MS)) {
    const left = end - performance.now();
    if (left <= 0) throw new Error(problem);
    try {
      const response = await fetch(url, {
        credentials: "same-origin",
        cache: "no-store",
        headers: { "X-Requested-With": "XMLHttpRequest" },
        signal: AbortSignal.timeout(Math.max(left, 1)),
      });
      if (response.ok) return await response.text();
      if (response.status === 403) throw new DOMException(await response.text(), "NotAllowedError");
      problem = response.status === 404
        ? "The request has not ended yet, or its record is no longer kept."
        : `The server answered ${response.status}.`;
    } catch (error) {
      if (error.name === "NotAllowedError") throw error;
      problem = "The server could not be reached.";
    }
    await wait(Math.min(pause, Math.max(end - performance.now(), 0)));
  }
}

function putInPlace(panel, html) {
  const part = new DOMParser().parseFromString(html, "text/html").querySelector("[data-fsi-part]");
  if (!part) throw new Error("The server answered with something else.");
  const body = panel.querySelector("[data-fsi-body]");
  const hadFocus = body.contains(document.activeElement);
  const opened = [...body.querySelectorAll("tr:has(details[open])")].map((row) => row.id);
  body.replaceChildren(document.adoptNode(part));
  for (const id of opened) {
    const details = body.querySelector(`#${CSS.escape(id)} details`);
    if (details) details.open = true;
  }
  if (hadFocus) {
    body.tabIndex = -1;
    body.focus({ preventScroll: true });
  }
  const subtitle = document.querySelector("#flDebugSessionsPanel small");
  if (subtitle) subtitle.textContent = part.dataset.fsiSubtitle;
}

async function complete(panel) {
  const status = panel.querySelector("[data-fsi-status]");
  const failure = panel.querySelector("[data-fsi-failure]");
  failure.hidden = true;
  try {
    putInPlace(panel, await fetchFragment(panel.dataset.fsiFragment));
    status.textContent = "The record is complete.";
  } catch (error) {
    failure.querySelector("[data-fsi-message]").textContent =
      `This is the record as it was when the page was made. ${error.message}`;
    failure.hidden = false;
    status.textContent = "The record could not be completed.";
  }
}

for (const panel of document.querySelectorAll("[data-fsi-fragment]")) {
  panel.querySelector("[data-fsi-retry]").addEventListener("click", () => complete(panel));
  complete(panel);
}

/** Mark the statement that the address, or the focus, is at. */
function choose(mark) {
  for (const old of document.querySelectorAll(".fsi-timeline a[aria-current]")) {
    old.removeAttribute("aria-current");
  }
  for (const old of document.querySelectorAll(".fsi-table tr.is-chosen")) {
    old.classList.remove("is-chosen");
  }
  if (!mark) return;
  mark.setAttribute("aria-current", "true");
  document.getElementById(mark.getAttribute("href").slice(1))?.classList.add("is-chosen");
}

document.addEventListener("keydown", (event) => {
  const mark = event.target.closest?.(".fsi-timeline a[href^='#']");
  if (!mark || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") {
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
});

document.addEventListener("click", (event) => {
  const mark = event.target.closest?.(".fsi-timeline a[href^='#']");
  if (!mark) return;
  choose(mark);
  const details = document.getElementById(mark.getAttribute("href").slice(1))?.querySelector("details");
  if (details) details.open = true;
});
