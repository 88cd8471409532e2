// The playground: calls /v1 by the console's relay and shows answers as they arrive. Nothing is kept.
"use strict";

const form = document.getElementById("playground");

function start() {
  const field = (id) => document.getElementById(id);
  const panes = [...form.querySelectorAll("[data-pane]")].map(makePane);
  const session = `playground-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  let underWay = null;

  const used = () => panes.filter((pane) => !pane.element.hidden);
  const parameters = () => {
    const found = { max_tokens: Number(field("max_tokens").value) || undefined };
    for (const name of ["temperature", "top_p"]) {
      if (field(name).value !== "") found[name] = Number(field(name).value);
    }
    if (field("sort").value) found.provider = { sort: field("sort").value };
    return found;
  };
  const system = () => {
    const text = field("system").value.trim();
    return text ? [{ role: "system", content: text }] : [];
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field("message").value.trim();
    if (!text || underWay) return;
    underWay = new AbortController();
    busy(true);
    field("message").value = "";
    await Promise.all(used().map((pane) => pane.ask({
      url: form.dataset.send,
      token: form.elements.csrfmiddlewaretoken.value,
      signal: underWay.signal,
      session,
      system: system(),
      text,
      parameters: parameters(),
    })));
    underWay = null;
    busy(false);
    showLeft();
    announce(used().map((pane) => pane.summary).join(" "));
    field("message").focus();
    showCode();
  });
  field("stop").addEventListener("click", () => underWay?.abort());
  field("clear").addEventListener("click", () => {
    underWay?.abort();
    for (const pane of panes) pane.clear();
    showCode();
    field("message").focus();
  });
  field("compare").addEventListener("change", () => {
    panes[1].element.hidden = !field("compare").checked;
    if (field("compare").checked) panes[1].differFrom(panes[0]);
  });
  listenToKeys(form, () => underWay?.abort());
  form.addEventListener("input", showCode);
  showCode();

  function busy(yes) {
    field("send").disabled = yes;
    field("stop").disabled = !yes;
    form.classList.toggle("busy", yes);
  }

  function showCode() {
    const pane = panes[0];
    const said = field("message").value.trim();
    const body = {
      model: pane.model,
      messages: [...system(), ...pane.messages, ...(said ? [{ role: "user", content: said }] : [])],
      ...parameters(),
    };
    if (!body.messages.length) body.messages.push({ role: "user", content: "Hello" });
    for (const [language, write] of Object.entries(WRITERS)) {
      field(`code-${language}`).textContent = write(body, form.dataset.base);
    }
  }
}

// One model and the conversation with it.
function makePane(element) {
  const part = (name) => element.querySelector(`[data-${name}]`);
  const hint = part("hint");
  const pane = {
    element,
    messages: [],
    summary: "",
    get model() { return part("model").value; },
    clear() {
      pane.messages = [];
      part("talk").replaceChildren(hint);
      for (const name of ["provider", "first", "tokens", "speed", "took", "cost"]) show(name, "–");
    },
    differFrom(other) {
      const options = [...part("model").options];
      if (pane.model === other.model) {
        part("model").value = (options.find((option) => option.value !== other.model) || options[0]).value;
      }
    },
    ask,
  };
  return pane;

  function show(name, ...content) { part(name).replaceChildren(...content); }

  function say(role, text) {
    hint.remove();
    const turn = made("div", `turn ${role}`);
    const words = made("p", "", text);
    turn.append(made("strong", "", role === "user" ? "You" : pane.model), words);
    part("talk").append(turn);
    return words;
  }

  async function ask({ url, token, signal, session, system, text, parameters }) {
    say("user", text);
    const words = say("assistant", "");
    const messages = [...pane.messages, { role: "user", content: text }];
    const body = {
      model: pane.model,
      messages: [...system, ...messages],
      ...parameters,
      stream: true,
      stream_options: { include_usage: true },
    };
    const began = performance.now();
    const seen = { text: "", first: null, usage: null, done: false, error: null, id: "", price: null };
    for (const name of ["first", "tokens", "speed", "took", "cost"]) show(name, "…");
    show("provider", "deciding…");
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": token, "X-Session-Id": session },
        body: JSON.stringify(body),
        signal,
      });
      seen.id = response.headers.get("x-request-id") || "";
      routed(response, seen);
      if (!response.ok || !response.body) throw await refusal(response);
      for await (const event of events(response.body)) {
        if (event === "[DONE]") { seen.done = true; continue; }
        read(JSON.parse(event), seen, words, began);
      }
      if (!seen.done && !seen.error) throw new Error("The answer was cut off.");
      if (seen.error) throw new Error(seen.error);
      pane.messages = [...messages, { role: "assistant", content: seen.text }];
      finished(seen, began);
    } catch (error) {
      failed(error, seen, words);
    }
  }

  function routed(response, seen) {
    const provider = response.headers.get("x-tokenhub-provider");
    if (!provider) return;
    const region = response.headers.get("x-tokenhub-region");
    const attempts = Number(response.headers.get("x-tokenhub-attempts") || 1);
    const tried = attempts > 1 ? `, ${attempts} attempts` : "";
    show("provider", `${provider} · ${region}${tried}`);
    const offering = `${pane.model.split("/").pop()} ${provider} ${region}`;
    seen.price = [...document.querySelectorAll("[data-offering]")].find((item) => item.dataset.offering === offering);
  }

  function read(chunk, seen, words, began) {
    if (chunk.error) { seen.error = chunk.error.message; return; }
    if (chunk.usage) seen.usage = chunk.usage;
    const delta = (chunk.choices || []).map((choice) => choice.delta?.content || "").join("");
    if (!delta) return;
    if (seen.first === null) {
      seen.first = performance.now() - began;
      show("first", `${Math.round(seen.first)} ms`);
    }
    const talk = part("talk");
    const follows = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 40;
    seen.text += delta;
    words.textContent = seen.text;
    if (follows) talk.scrollTop = talk.scrollHeight;
    // Until the provider counts them: about four letters a token.
    const about = Math.ceil(seen.text.length / 4);
    show("tokens", `≈ ${about} out`);
    if (seen.price) show("cost", `≈ ${usd(about * seen.price.dataset.output / 1e6 * (1 + form.dataset.feeBps / 1e4))}`);
  }

  function finished(seen, began) {
    const took = performance.now() - began;
    const { prompt_tokens: given, completion_tokens: made, cost_usd: cost } = seen.usage || {};
    show("tokens", seen.usage ? `${given} / ${made}` : "–");
    const streaming = Math.max(took - (seen.first || 0), 1);
    show("speed", seen.usage ? `${Math.round(made / streaming * 1000)} tokens/s` : "–");
    show("took", `${Math.round(took)} ms`);
    const link = document.createElement("a");
    link.href = `${form.dataset.requests}${seen.id}/`;
    link.textContent = cost === undefined ? "See the request" : `$${cost}`;
    show("cost", link);
    pane.summary = `${pane.model} answered: ${seen.text}`;
  }

  function failed(error, seen, words) {
    const stopped = error.name === "AbortError";
    const note = made("span", stopped ? "pill" : "pill bad", stopped ? "Stopped" : "Not billed");
    const why = made("span", "small");
    why.textContent = stopped
      ? " You stopped reading. The provider still completes the answer, and a complete answer is billed."
      : ` ${error.message || "The connection broke."}`;
    words.after(note, why);
    if (seen.id && !stopped) {
      const link = document.createElement("a");
      link.className = "small";
      link.href = `${form.dataset.requests}${seen.id}/`;
      link.textContent = "See the request";
      why.append(" ", link);
    }
    for (const name of ["tokens", "speed", "took"]) show(name, "–");
    show("cost", stopped ? "–" : "$0.00");
    if (seen.first === null) show("first", "–");
    if (part("provider").textContent === "deciding…") show("provider", "–");
    pane.summary = `${pane.model}: ${note.textContent}.${why.textContent}`;
  }
}

// The data of each server-sent event.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

function usd(amount) {
  return `$${amount.toFixed(amount < 0.01 ? 6 : 2)}`;
}

const WRITERS = {
  curl: (body, base) => curl(`${base}/v1/chat/completions`, body),
  python: (body, base) => {
    const { provider, ...known } = body;
    const lines = Object.entries(known).map(([name, value]) => `    ${name}=${python(value)},`);
    if (provider) lines.push(`    extra_body={"provider": ${python(provider)}},`);
    return `import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${base}/v1", api_key=os.environ["TOKENHUB_API_KEY"])
answer = client.chat.completions.create(\n${lines.join("\n")}\n)\nprint(answer.choices[0].message.content)`;
  },
  javascript: (body, base) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}/v1", apiKey: process.env.TOKENHUB_API_KEY });
const answer = await client.chat.completions.create(${JSON.stringify(body, null, 2)});
console.log(answer.choices[0].message.content);`,
};

if (form) start();
