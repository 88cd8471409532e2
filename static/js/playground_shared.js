// What the playgrounds of text, image and video share.
"use strict";

async function refusal(response) {
  try {
    const { error } = await response.json();
    return new Error(error.code ? `${error.message} (${error.code})` : error.message);
  } catch {
    if (response.status === 403) return new Error("The page is too old or your role changed: load it again.");
    return new Error(response.redirected ? "You were signed out: load the page again." : `The answer was ${response.status}.`);
  }
}

// What is left to spend once a call has ended; where that cannot be asked, the page says what it said.
async function showLeft() {
  const place = document.querySelector("[data-left]");
  const told = await fetch(place.dataset.left)
    .then((response) => response.ok && !response.redirected ? response.text() : "")
    .catch(() => "");
  if (told) place.querySelector("a").innerHTML = told;
}

// Ctrl+Enter sends the form, Escape stops.
function listenToKeys(form, stop) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

// An element with a class and words; words are never read as HTML.
function made(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function linkTo(href, text) {
  const link = made("a", "small", text);
  link.href = href;
  return link;
}

function curl(url, body) {
  return `curl ${url} \\
  -H "Authorization: Bearer $TOKENHUB_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`;
}

// Values without true, false and null are written alike in JSON and Python.
function python(value) { return JSON.stringify(value); }
