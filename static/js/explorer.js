// The API explorer: Swagger UI, in the reader's light or dark.
"use strict";

const place = document.getElementById("explorer");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function followTheme() {
  const theme = document.documentElement.dataset.theme;
  const dark = theme ? theme === "dark" : prefersDark.matches;
  document.documentElement.classList.toggle("dark-mode", dark);
}

followTheme();
prefersDark.addEventListener("change", followTheme);
new MutationObserver(followTheme).observe(document.documentElement, { attributeFilter: ["data-theme"] });

SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  validatorUrl: null,
  // Whoever is signed in may also try it without a key.
  requestInterceptor: (request) => {
    if (!request.loadSpec && (request.method || "GET") !== "GET") {
      request.headers["X-CSRFToken"] = place.dataset.csrf;
    }
    return request;
  },
});
