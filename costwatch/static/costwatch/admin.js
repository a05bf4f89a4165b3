/* What the admin's theme expects to find as globals, registered for the Alpine build that evaluates no code. */
"use strict";

// Light, dark or as the system: chosen here or on the pages, it counts in both. The pages keep it in a cookie.
const THEME = "costwatch_theme";
const chosen = document.cookie.match(/(?:^|; )costwatch_theme=(light|dark)(?:;|$)/)?.[1] ?? "auto";
localStorage.setItem("adminTheme", JSON.stringify(chosen));

function keepTheme(name) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  const age = name === "auto" ? 0 : 31536000;
  document.cookie = `${THEME}=${name}; path=/; max-age=${age}; samesite=lax${secure}`;
}

document.addEventListener("alpine:init", () => {
  for (const name of ["searchForm", "searchDropdown", "searchCommand"]) {
    if (typeof window[name] === "function") Alpine.data(name, window[name]);
  }
  Alpine.data("theme", (...given) => {
    const made = window.theme(...given);
    const begin = made.init;
    made.init = function init() {
      begin.call(this);
      this.$watch("adminTheme", keepTheme);
    };
    return made;
  });

  // Inline styles are not ours to set: the width of this bar stands in admin.css.
  document.querySelector("#changelist-actions")?.removeAttribute("x-bind:style");

  // A block of code where the theme follows a choice; none of our forms shows fields by those.
  document.querySelectorAll("[x-init*='django.jQuery']").forEach((field) => field.removeAttribute("x-init"));

  // The body of every page: which tab is open, whether the sidebar is, and the little that expressions of the theme
  // take from the browser.
  Alpine.data("page", () => ({
    activeTab: "",
    sidebarMobileOpen: false,
    sidebarDesktopOpen: window.localStorage.getItem("sidebarDesktopOpen") !== "0",
    window: { location: { pathname: window.location.pathname, search: window.location.search } },
    localStorage: { setItem: (key, value) => window.localStorage.setItem(key, value) },
    init() {
      const first = this.$el.dataset.activeTab || "";
      this.activeTab = first ? window.getCurrentTab() || first : "";
      this.$watch("sidebarDesktopOpen", (open) => window.localStorage.setItem("sidebarDesktopOpen", open ? "1" : "0"));
    },
  }));
});

// "What would it have done last month?": asks with what stands in the form, and saves nothing.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-preview]");
  if (!button) return;
  const panel = button.closest("[data-preview-of]");
  const answer = panel.querySelector("[data-preview-answer]");
  button.disabled = true;
  try {
    const form = new FormData(button.form);
    const response = await fetch(panel.dataset.previewOf, { method: "POST", body: form, credentials: "same-origin" });
    if (!response.ok) throw new Error(String(response.status));
    answer.innerHTML = await response.text(); // our own page, every value in it escaped
  } catch (error) {
    answer.textContent = `That could not be found out (${error.message}). Try again.`;
  } finally {
    button.disabled = false;
  }
});

// The theme measures its tabs once, maybe before the fonts are there: let it measure again, a step for each tab.
window.addEventListener("load", () => {
  document.fonts.ready.then(() => {
    for (let tab = 0; tab < 4; tab += 1) window.dispatchEvent(new Event("resize"));
  });
});
