// The playground of image and video models: asks by the console's relay, and shows what comes of it.
"use strict";

const form = document.getElementById("playground");
const POLL_MS = 2000;
// How a picture begins in base64, and what it then is. What begins otherwise is not shown.
const KINDS = { iVBORw0KGgo: "png", "/9j/": "jpeg", UklGR: "webp", R0lGOD: "gif" };
const WORDS = { pending: "Waiting at the provider", running: "Being made" };

function start() {
  const field = (id) => document.getElementById(id);
  const hint = form.querySelector("[data-hint]");
  const images = form.dataset.kind === "image";
  let underWay = null;

  const request = () => ({
    model: field("model").value,
    prompt: field("prompt").value.trim() || field("prompt").placeholder,
    ...(images ? {
      ...(field("size").value ? { size: field("size").value } : {}),
      n: Number(field("n").value),
      response_format: "b64_json",
    } : {
      duration: Number(field("duration").value),
      resolution: field("resolution").value,
      ratio: field("ratio").value,
    }),
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (underWay || !field("prompt").value.trim()) return;
    underWay = new AbortController();
    busy(true);
    await ask(request(), underWay.signal);
    underWay = null;
    busy(false);
    showLeft();
  });
  field("stop").addEventListener("click", () => underWay?.abort());
  field("clear").addEventListener("click", () => {
    underWay?.abort();
    field("results").replaceChildren(hint);
    meter("–");
    field("prompt").value = "";
    field("prompt").focus();
    showCode();
  });
  listenToKeys(form, () => underWay?.abort());
  form.addEventListener("input", showCode);
  showCode();

  function busy(yes) {
    field("send").disabled = yes;
    field("stop").disabled = !yes;
  }

  function show(name, ...content) { field(name).replaceChildren(...content); }

  function meter(text) { for (const name of ["provider", "attempts", "took", "cost"]) show(name, text); }

  function showCode() {
    const write = images ? IMAGE_CODE : VIDEO_CODE;
    for (const language of Object.keys(write)) field(`code-${language}`).textContent = write[language](request(), form.dataset.base);
  }

  async function ask(body, signal) {
    hint.remove();
    const turn = made("article", "turn");
    const words = made("p", "", images ? "Being made…" : "Being begun…");
    turn.append(made("strong", "", `${body.model}: ${body.prompt}`), words);
    field("results").prepend(turn); // the newest is next to the form
    meter("…");
    const run = { turn, words, signal, began: performance.now(), id: "", task: "", told: false };
    try {
      const response = await fetch(form.dataset.send, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
        body: JSON.stringify(body),
        signal,
      });
      run.id = response.headers.get("x-request-id") || "";
      routed(response);
      if (!response.ok || response.redirected) {
        run.told = true;
        throw await refusal(response);
      }
      const answer = await response.json();
      if (images) pictures(run, answer, response.headers.get("x-tokenhub-cost-usd"), body.prompt);
      else await video(run, answer.id, response.headers.get("x-tokenhub-cost-usd"), body);
    } catch (error) {
      failed(run, error);
    }
  }

  function routed(response) {
    const provider = response.headers.get("x-tokenhub-provider");
    if (!provider) return;
    show("provider", `${provider} · ${response.headers.get("x-tokenhub-region")}`);
    show("attempts", response.headers.get("x-tokenhub-attempts") || "1");
  }

  function finished(run, cost) {
    show("took", `${((performance.now() - run.began) / 1000).toFixed(1)} s`);
    show("cost", linkTo(`${form.dataset.requests}${run.id}/`, `$${cost}`));
  }

  function pictures(run, answer, cost, prompt) {
    const shown = answer.data.map((picture, index) => framed(picture.b64_json || "", `${prompt} (${index + 1})`));
    const place = made("div", "pictures");
    place.append(...shown);
    const many = shown.length === 1 ? "1 picture" : `${shown.length} pictures`;
    run.words.replaceWith(place);
    finished(run, cost);
    announce(`${many}, $${cost}.`);
  }

  // Waits for the end of a task, which is followed whether or not anybody waits.
  async function video(run, task, quoted, body) {
    run.task = task;
    show("cost", `$${quoted} set aside`);
    showLeft();
    const asked = `${form.dataset.waiting}${task}/`;
    let before = "";
    for (;;) {
      const response = await fetch(asked, { signal: run.signal });
      if (!response.ok || response.redirected) throw await refusal(response);
      const found = await response.json();
      if (found.status === "failed") {
        run.told = true;
        throw new Error(found.error || "The provider made no video.");
      }
      if (found.status === "succeeded") {
        const link = linkTo(found.video_url, "Open the video");
        link.className = "button";
        link.target = "_blank";
        link.rel = "noreferrer noopener";
        run.words.replaceChildren("The video is there. ");
        run.words.after(...(found.video_url ? [...player(found.video_url, body), link] : []), toTask(task));
        finished(run, found.cost_usd);
        announce(`The video is there, for $${found.cost_usd}.`);
        return;
      }
      const said = WORDS[found.status];
      run.words.textContent = `${said}… ${Math.round((performance.now() - run.began) / 1000)} s`;
      if (said !== before) announce(said);
      before = said;
      await pause(run.signal);
    }
  }

  function toTask(task) { return linkTo(`${form.dataset.tasks}${task}/`, "See the task"); }

  // Only what was told to have failed is known to cost nothing: whoever stops, or loses the connection, knows no more.
  function failed(run, error) {
    const stopped = error.name === "AbortError";
    const pill = run.told ? made("span", "pill bad", "Not billed") : made("span", "pill warn", stopped ? "Stopped" : "Out of sight");
    const what = run.task ? "The video is still being made" : "What was asked for may still be made";
    const why = run.told
      ? error.message
      : `${stopped ? "You stopped waiting." : "The connection broke."} ${what}, and is billed when it is there.`;
    run.words.replaceChildren(pill, ` ${why}`);
    if (run.task) run.turn.append(toTask(run.task));
    else if (run.id) run.turn.append(linkTo(`${form.dataset.requests}${run.id}/`, "See the request"));
    show("took", "–");
    show("cost", run.told ? "$0.00" : "–");
    for (const name of ["provider", "attempts"]) if (field(name).textContent === "…") show(name, "–");
    announce(run.words.textContent);
  }
}

// A picture with a way to keep it.
function framed(content, what) {
  const frame = made("figure", "");
  const kind = Object.entries(KINDS).find(([beginning]) => content.startsWith(beginning))?.[1];
  if (!kind) {
    frame.append(made("p", "muted", "This picture is of a kind that the page does not show."));
    return frame;
  }
  const picture = document.createElement("img");
  picture.src = `data:image/${kind};base64,${content}`;
  picture.alt = what;
  const link = linkTo(picture.src, "Download");
  link.download = `picture.${kind}`;
  frame.append(picture, link);
  return frame;
}

// The video in the page, where its link is of this origin, which alone the page's policy lets it play, and the
// browser plays its kind: else the link beside it is the way.
function player(url, { prompt, ratio }) {
  if (new URL(url, location).origin !== location.origin) return [];
  const video = document.createElement("video");
  [video.width, video.height] = ratio.split(":");
  video.controls = true;
  video.preload = "metadata";
  video.setAttribute("aria-label", prompt);
  video.addEventListener("error", () => { if (video.readyState === HTMLMediaElement.HAVE_NOTHING) video.remove(); });
  video.src = url;
  return [video];
}

// Until the next look, or at once an AbortError where waiting is over.
function pause(signal) {
  return new Promise((resolve, reject) => {
    const over = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", over); resolve(); }, POLL_MS);
    if (signal.aborted) over();
    signal.addEventListener("abort", over, { once: true });
  });
}

const IMAGE_CODE = {
  curl: (body, base) => curl(`${base}/v1/images/generations`, body),
  python: (body, base) => `import base64\nimport os\n\nfrom openai import OpenAI\n
client = OpenAI(base_url="${base}/v1", api_key=os.environ["TOKENHUB_API_KEY"])
answer = client.images.generate(\n${Object.entries(body).map(([name, value]) => `    ${name}=${python(value)},`).join("\n")}\n)
with open("picture.png", "wb") as file:
    file.write(base64.b64decode(answer.data[0].b64_json))`,
  javascript: (body, base) => `import { writeFile } from "node:fs/promises";\nimport OpenAI from "openai";\n
const client = new OpenAI({ baseURL: "${base}/v1", apiKey: process.env.TOKENHUB_API_KEY });
const answer = await client.images.generate(${JSON.stringify(body, null, 2)});
await writeFile("picture.png", Buffer.from(answer.data[0].b64_json, "base64"));`,
};

const VIDEO_CODE = {
  curl: (body, base) => `${curl(`${base}/v1/video/generations`, body)}
# Then, with the id of the answer, until its status is "succeeded" or "failed":
curl ${base}/v1/video/tasks/$TASK -H "Authorization: Bearer $TOKENHUB_API_KEY"`,
  python: (body, base) => `import os\nimport time\n\nimport httpx\n
client = httpx.Client(
    base_url="${base}/v1",
    headers={"Authorization": f"Bearer {os.environ['TOKENHUB_API_KEY']}"},
)
body = ${python(body)}
task = client.post("/video/generations", json=body).raise_for_status().json()
while task["status"] in ("pending", "running"):
    time.sleep(2)
    task = client.get(f"/video/tasks/{task['id']}").json()
print(task["status"], task["output"])`,
  javascript: (body, base) => `const headers = {
  Authorization: \`Bearer \${process.env.TOKENHUB_API_KEY}\`,
  "Content-Type": "application/json",
};
const created = await fetch("${base}/v1/video/generations", {
  method: "POST",
  headers,
  body: JSON.stringify(${JSON.stringify(body, null, 2)}),
});
let task = await created.json();
while (task.status === "pending" || task.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 2000));
  task = await (await fetch(\`${base}/v1/video/tasks/\${task.id}\`, { headers })).json();
}
console.log(task.status, task.output);`,
};

if (form) start();
