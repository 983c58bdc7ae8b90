// The admin's pages show this moment: what carries data-live is asked for anew every few seconds.

const EVERY_MILLISECONDS = 3000;
const places = [...document.querySelectorAll("[data-live]")];
const address = document.querySelector("meta[name=workbench-live]")?.content;

function show(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function fill(answer) {
  for (const place of places) {
    const what = place.dataset.live;
    if (what === "problem") {
      place.hidden = !answer.problem;
      show(place, answer.problem);
      continue;
    }
    const session = place.dataset.session;
    if (session === undefined) {
      show(place, answer.totals[what] ?? "…");
      continue;
    }
    const known = answer.sessions[session];
    if (what === "state") {
      if (!known) continue; // what the page came with is all there is to say
      show(place, known.state);
      place.className = `workbench-state ${known.colour}`;
      place.title = known.reason;
    } else {
      show(place, known?.[what] ?? "…");
    }
  }
}

async function ask() {
  if (document.visibilityState === "visible") {
    try {
      const response = await fetch(address, { headers: { Accept: "application/json" } });
      if (!response.ok || response.redirected) return; // logged out: the page says no more
      fill(await response.json());
    } catch {
      fill({ problem: "The server does not answer.", totals: {}, sessions: {} });
    }
  }
  setTimeout(ask, EVERY_MILLISECONDS);
}

if (places.length && address) ask();
