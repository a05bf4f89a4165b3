/* What pages do beyond links and forms; every page works without it. */
"use strict";

(() => {
  // Light, dark, or as the system: at once, and remembered in a cookie so that the server's next page has it too.
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-theme-form]");
    if (!form || !event.submitter) return;
    event.preventDefault();
    const chosen = event.submitter.value;
    const secure = location.protocol === "https:" ? "; secure" : "";
    const keep = chosen === "auto" ? 0 : 31536000;
    document.cookie = `costwatch_theme=${chosen}; path=/; max-age=${keep}; samesite=lax${secure}`;
    if (chosen === "auto") document.documentElement.removeAttribute("data-bs-theme");
    else document.documentElement.dataset.bsTheme = chosen;
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button === event.submitter));
    document.dispatchEvent(new Event("cw:theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("cw:theme")));

  // Panels that drop close when something else is clicked, and by Escape.
  const close = (except) => document.querySelectorAll("details.cw-drop[open]").forEach((one) => { if (one !== except) one.open = false; });
  document.addEventListener("click", (event) => close(event.target.closest("details.cw-drop")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.activeElement?.closest("details.cw-drop[open]");
    close();
    open?.querySelector("summary").focus();
  });

  document.addEventListener("change", (event) => event.target.closest("[data-submit]")?.form.requestSubmit());
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
    say("Copied");
  });

  const said = document.querySelector("#said");
  let saying;
  function say(text) {
    said.textContent = "";
    clearTimeout(saying);
    saying = setTimeout(() => { said.textContent = text; }, 50);
  }

  // Live: a small question every second and a quarter while the page is looked at. Who changes nothing for ten minutes
  // is asked for less often; a server that does not answer, too. What is new is fetched by the parts that show it:
  // hx-get="..." hx-trigger="cw:live from:body" (`cw:live-slow` for parts that cost the server more).
  const main = document.querySelector("main[data-live]");
  if (main) {
    // Pages without such parts ask for the bell alone, and seldom.
    const USUAL = document.querySelector("[data-live-part]") ? 1250 : 15000;
    const IDLE = Math.max(10000, USUAL), SLOW = 15000, IDLE_AFTER = 600000;
    let mark = null, unread = null, failures = 0, touched = Date.now(), timer, slow = 0, owed = false, asking = false;
    const wait = () => (Date.now() - touched > IDLE_AFTER ? IDLE : USUAL) * 2 ** Math.min(failures, 6);
    const next = (after) => { clearTimeout(timer); if (!document.hidden) timer = setTimeout(ask, after); };
    const fire = (name) => {
      const whole = document.querySelector("[data-live-reload]");  // its value: where to go instead
      if (whole) location.assign(whole.dataset.liveReload || location.href);
      else document.body.dispatchEvent(new CustomEvent(name));
    };
    // What is being read, pointed at or typed into is not exchanged under somebody's hands.
    const inUse = () => document.querySelector("[data-live-slow]:is(:hover, :focus-within)") !== null;
    async function ask() {
      if (asking) return;
      asking = true;
      try {
        const known = mark === null ? "" : `?since=${encodeURIComponent(mark)}&unread=${unread ?? ""}`;
        const response = await fetch(main.dataset.live + known, { credentials: "same-origin", redirect: "error" });
        if (response.status === 200) {
          const answer = await response.json();
          // What came between the page and the first question counts as new too.
          const fresh = answer.mark !== (mark ?? main.querySelector("[data-mark]")?.dataset.mark);
          mark = answer.mark;
          unread = answer.unread;
          bell(unread);
          if (fresh) { fire("cw:live"); owed = true; }
        } else if (response.status !== 204) throw new Error(String(response.status));
        failures = 0;
      } catch { failures += 1; }
      asking = false;
      if (owed && Date.now() - slow > SLOW && !inUse()) { owed = false; slow = Date.now(); fire("cw:live-slow"); }
      next(wait());
    }
    const bell = (alerts) => {
      const count = document.querySelector("[data-unread]");
      if (!count || alerts === undefined) return;
      count.textContent = alerts > 99 ? "99+" : alerts;
      count.hidden = alerts === 0;
      document.querySelector("[data-bell]").setAttribute("aria-label", alerts ? `Alerts, ${alerts} unread` : "Alerts");
    };
    const back = () => { const was = wait(); touched = Date.now(); if (was > USUAL) { failures = 0; next(0); } };
    for (const kind of ["pointermove", "keydown", "focus"]) addEventListener(kind, back, { passive: true });
    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : next(0)));
    next(0);
  }

  // Rows that were not there before are marked, and said once.
  const known = new Set([...document.querySelectorAll("[data-row]")].map((row) => row.dataset.row));
  document.body.addEventListener("htmx:afterSwap", () => {
    let fresh = 0;
    for (const row of document.querySelectorAll("[data-row]")) {
      if (known.has(row.dataset.row)) continue;
      known.add(row.dataset.row);
      row.classList.add("cw-new");
      fresh += 1;
    }
    if (fresh) say(fresh === 1 ? "A new call" : `${fresh} new calls`);
  });
  // A part that comes from a login page, or in error, is not put in.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL).pathname.endsWith("/login/")) event.detail.shouldSwap = false;
  });
})();
