/* What the admin's theme expects to find as globals, registered for the Alpine build that evaluates no code. */
"use strict";

document.addEventListener("alpine:init", () => {
  for (const name of ["theme", "searchForm", "searchDropdown", "searchCommand"]) {
    if (typeof window[name] === "function") Alpine.data(name, window[name]);
  }

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
