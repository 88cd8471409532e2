// The little JavaScript there is. Every page works without it.
"use strict";

const root = document.documentElement;
root.classList.add("js");
const stored = localStorage.getItem("theme");
if (stored) root.dataset.theme = stored;

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
  if (event.target.closest("[data-theme-toggle]")) switchTheme();
  if (event.target.closest("[data-shortcuts-help]")) document.getElementById("shortcuts").showModal();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// What is saved for every browser replaces what was chosen in this one.
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-appearance]")) localStorage.removeItem("theme");
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Addresses keep only the filters that were chosen.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") return;
  const given = event.detail.parameters;
  for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
});

// Say what changed; move the focus only where a link was followed, never out of a form.
document.addEventListener("htmx:afterSettle", (event) => {
  const words = event.target.querySelector("[data-announce]");
  if (words) announce(words.textContent);
  if (event.detail.requestConfig.elt.matches("a")) event.target.focus();
});

// Single keys, unless they were switched off or somebody is writing.
let going = 0;
document.addEventListener("keydown", (event) => {
  if (!("shortcuts" in root.dataset) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
  const place = Date.now() - going < 1500 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  going = 0;
  if (place) location.href = place.href;
  else if (event.key === "g") going = Date.now();
  else if (event.key === "/") focusOn(document.getElementById("search"));
  else if (event.key === "?") document.getElementById("shortcuts")?.showModal();
  else if (event.key === "j" || event.key === "k") nextRow(event.key === "j" ? 1 : -1);
  else return;
  event.preventDefault();
});

function nextRow(step) {
  const links = [...document.querySelectorAll("[data-rows] tbody tr a:first-of-type")];
  const here = links.indexOf(document.activeElement);
  focusOn(links[Math.max(0, Math.min(links.length - 1, here < 0 ? 0 : here + step))]);
}

function focusOn(element) {
  element?.focus();
  element?.scrollIntoView({ block: "nearest" });
}

async function copyText(button) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
    announce("Copied to the clipboard");
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
    announce("Selected: copy it with your keyboard");
  }
  setTimeout(() => { button.textContent = label; }, 1600);
}

function switchTheme() {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

function announce(words) {
  document.getElementById("live").textContent = words;
}
