// The shot explorer.
(() => {
  const PAGE = 24; // cards
  const STATES = {
    right: "✓ Right",
    wrong: "✗ Wrong",
    undecided: "? Undecided",
    "not asked": "– Not asked",
  };

  const section = document.getElementById("explorer");
  const form = section.querySelector(".explorer-filters");
  const count = section.querySelector(".explorer-count");
  const cards = section.querySelector(".explorer-cards");
  const pages = section.querySelector(".explorer-pages");
  const dialog = section.querySelector("dialog");
  const keys = document.getElementById("explorer-keys");
  const { runs, dimensions, items } = embedded("explorer-items");
  const thumbnails = new Map(Object.entries(embedded("explorer-thumbnails"))); // medium -> [data URI, frames]
  const controls = [...form.elements].filter((control) => control.name);
  const termGroups = [...form.elements.term.querySelectorAll("optgroup")];

  const named = new Map(); // an id has several items if runs have different questions
  for (const item of items) {
    item.name = item.item_id;
    for (let again = 2; named.has(item.name); again++) item.name = `${item.item_id} (${again})`;
    named.set(item.name, item);
  }

  let matches = items;
  let page = 0;
  let opened = null;

  function lettered(item, letter) {
    const option = item.options[letter.charCodeAt(0) - 65];
    return visible(option === undefined ? letter : `${letter}. ${option}`);
  }

  function stateOf(answer) {
    if (!answer) return "not asked";
    if (answer.letter === null) return "undecided";
    return answer.correct ? "right" : "wrong";
  }

  // Of several samples; none if a run has one response to each item.
  function samplesOf(answer) {
    return answer?.samples ?? [];
  }

  function rightOf(answer) {
    const samples = samplesOf(answer);
    return samples.length ? ` (${samples.filter((one) => one.correct).length} of ${samples.length} right)` : "";
  }

  function mark(state) {
    return make("span", { className: `explorer-mark ${state.replace(" ", "-")}` }, STATES[state]);
  }

  // --- filters

  const searched = new WeakMap(); // item -> its text, computed on the first search

  function textOf(item) {
    if (!searched.has(item)) {
      const responses = item.answers.flatMap((answer) => [answer, ...samplesOf(answer)]).map((one) => one?.response ?? "");
      searched.set(item, [item.item_id, item.question, ...item.options, ...responses].join("\n").toLowerCase());
    }
    return searched.get(item);
  }

  const TESTS = {
    dimension: (slug) => (item) => item.dimension === slug,
    term: (term) => (item) => item.terms.some((name) => `${item.dimension}/${name}` === term),
    prior: (state) => (item) => item.prior !== null && (item.prior === item.answer) === (state === "right"),
    differ: () => (item) => new Set(item.answers.filter(Boolean).map((answer) => answer.letter)).size > 1,
    undecided: () => (item) => item.answers.some((answer) => stateOf(answer) === "undecided"),
    q: (query) => {
      const words = query.toLowerCase().split(/\s+/).filter(Boolean);
      return (item) => words.every((word) => textOf(item).includes(word));
    },
  };

  function runTest(run, wanted) {
    const states = wanted === "missed" ? ["wrong", "undecided"] : [wanted];
    return (item) => states.includes(stateOf(item.answers[run]));
  }

  function filters() {
    return [...new FormData(form)].filter(([, value]) => value.trim() !== "");
  }

  function applyFilters() {
    const slug = form.elements.dimension.value;
    for (const group of termGroups) group.hidden = group.disabled = slug !== "" && group.label !== dimensions[slug];
    if (form.elements.term.selectedOptions[0]?.parentElement.disabled) form.elements.term.value = "";
    const tests = filters().map(([name, value]) =>
      name.startsWith("run") ? runTest(Number(name.slice(3)), value) : TESTS[name](value),
    );
    matches = items.filter((item) => tests.every((test) => test(item)));
    showPage(0);
  }

  function setFilters(asked) {
    for (const control of controls) {
      const value = asked.get(control.name) ?? "";
      if (control.type === "checkbox") control.checked = value !== "";
      else control.value = value;
      if (control.selectedIndex === -1) control.selectedIndex = 0; // not an option
    }
    applyFilters();
  }

  // --- the fragment: #item=… and the filters

  function fragment(item) {
    const asked = new URLSearchParams(filters());
    if (item) asked.set("item", item.name);
    return `#${asked}`;
  }

  function rememberFilters() {
    history.replaceState(null, "", fragment(opened));
  }

  function followFragment() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const ours = controls.some(({ name }) => asked.has(name)) || asked.has("item");
    if (!ours && location.hash !== "") return; // a link to another part of the page
    setFilters(asked);
    const item = named.get(asked.get("item"));
    if (item) open(item);
    else if (dialog.open) dialog.close();
    if (asked.has("item") && !item) count.textContent += ` There is no item ${visible(asked.get("item"))}.`;
  }

  // --- the list

  function showPage(number) {
    page = number;
    const shown = matches.slice(page * PAGE, (page + 1) * PAGE);
    const last = Math.max(1, Math.ceil(matches.length / PAGE));
    cards.replaceChildren(...shown.map(card));
    count.textContent = `${matches.length.toLocaleString("en")} of ${items.length.toLocaleString("en")} items.`;
    pages.querySelector("span").textContent = `Page ${page + 1} of ${last}`;
    const [before, after] = pages.querySelectorAll("button");
    before.disabled = page === 0;
    after.disabled = page + 1 >= last;
  }

  function card(item) {
    const states = item.answers.map((answer, run) => {
      const name = make("span", { className: "explorer-run" }, ...breakable(runs[run]));
      return make("span", {}, mark(stateOf(answer)), rightOf(answer), " ", name);
    });
    const link = make("a", { href: fragment(item) }, picture(item, true), make("strong", {}, dimensions[item.dimension]),
      make("span", {}, `Answer: ${lettered(item, item.answer)}`), ...states, make("small", {}, ...breakable(visible(item.name))));
    return make("li", {}, link);
  }

  function focusCard(position) {
    if (!matches.length) return;
    const wanted = Math.min(Math.max(position, 0), matches.length - 1);
    if (Math.floor(wanted / PAGE) !== page) showPage(Math.floor(wanted / PAGE));
    cards.children[wanted % PAGE].firstChild.focus();
  }

  function step(by) {
    const position = [...cards.children].findIndex((entry) => entry.contains(document.activeElement));
    focusCard(position === -1 ? page * PAGE : page * PAGE + position + by);
  }

  function picture(item, small) {
    return pictureOf(thumbnails.get(item.medium), item.kind, item.name, small);
  }

  function player(frame) {
    const button = make("button", { type: "button" }, "Play the clip");
    button.addEventListener("click", () => {
      const playing = frame.classList.toggle("playing");
      button.textContent = playing ? "Show its frames side by side" : "Play the clip";
    });
    return button;
  }

  // --- one item

  function open(item) {
    opened = item;
    const frame = picture(item, false);
    dialog.replaceChildren(
      itemButtons(item),
      make("h3", { id: "explorer-item-title" }, `${dimensions[item.dimension]}: ${visible(item.name)}`),
      frame,
      ...(frame.classList.contains("strip") ? [player(frame)] : []),
      make("p", { className: "explorer-question" }, visible(item.question) || "The question is not part of this report."),
      options(item),
      ...runs.map((name, run) => runAnswer(item, name, item.answers[run])),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function itemButtons(item) {
    const position = matches.indexOf(item);
    const button = (name, work, disabled = false) => {
      const element = make("button", { type: "button", disabled }, name);
      element.addEventListener("click", work);
      return element;
    };
    return make("div", { className: "explorer-buttons" },
      button("Previous item", () => turn(-1), position <= 0),
      button("Next item", () => turn(1), position + 1 >= matches.length),
      button("Close", () => dialog.close()));
  }

  function turn(by) {
    const next = matches[matches.indexOf(opened) + by];
    if (!next) return;
    const name = document.activeElement?.textContent;
    open(next);
    rememberFilters();
    [...dialog.querySelectorAll("button:enabled")].find((one) => one.textContent === name)?.focus();
    if (!dialog.contains(document.activeElement)) dialog.querySelector("button:enabled").focus();
  }

  function options(item) {
    const letters = item.options.map((_, position) => String.fromCharCode(65 + position));
    const list = make("ul", { className: "explorer-options" });
    for (const letter of letters.length ? letters : [item.answer]) {
      const remarks = runs.flatMap((name, run) => answeredBy(name, item.answers[run], letter));
      if (letter === item.prior) remarks.unshift("option prior");
      const gold = letter === item.answer ? make("strong", {}, " – right answer") : "";
      list.append(make("li", {}, lettered(item, letter), gold, remarks.length ? ` (${remarks.join(", ")})` : ""));
    }
    return list;
  }

  function answeredBy(name, answer, letter) {
    const samples = samplesOf(answer);
    const votes = samples.filter((one) => one.letter === letter).length;
    if (samples.length) return votes ? [`answered in ${votes} of ${samples.length} samples of ${name}`] : [];
    return answer?.letter === letter ? [`answered by ${name}`] : [];
  }

  function runAnswer(item, name, answer) {
    const letter = answer?.letter ? ` – ${lettered(item, answer.letter)}` : "";
    const samples = samplesOf(answer);
    const vote = samples.length ? `; majority of ${samples.length} samples${rightOf(answer)}` : "";
    return make("div", { className: "explorer-said" },
      make("h4", {}, name, " ", mark(stateOf(answer)), letter, vote),
      ...(samples.length ? samples.map((one, number) => sampleAnswer(item, number + 1, one)) : responseParts(answer)));
  }

  function sampleAnswer(item, number, answer) {
    const letter = answer.letter ? ` – ${lettered(item, answer.letter)}` : "";
    const summary = make("summary", {}, `Sample ${number} `, mark(stateOf(answer)), letter);
    return make("details", {}, summary, ...responseParts(answer));
  }

  function responseParts(answer) {
    const parts = [];
    const response = answer?.response;
    if (answer && response === null) parts.push(make("p", {}, "This run kept no responses."));
    else if (response === "") parts.push(make("p", {}, "No response."));
    else if (response) parts.push(make("pre", { dir: "auto" }, visible(response)));
    if (answer?.cut) {
      const shown = [...response].length.toLocaleString("en");
      parts.push(make("p", {}, `Cut: ${shown} characters are shown, ${answer.cut.toLocaleString("en")} more are not.`));
    }
    return parts;
  }

  dialog.addEventListener("close", () => {
    const position = matches.indexOf(opened);
    opened = null;
    rememberFilters();
    if (position !== -1) focusCard(position);
  });

  // --- keyboard

  const STEPS = { j: 1, ArrowDown: 1, ArrowRight: 1, k: -1, ArrowUp: -1, ArrowLeft: -1 };
  const OF_CARDS = ["ArrowDown", "ArrowUp"]; // in an open item these scroll

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = event.key.startsWith("Arrow");
    if (!arrow && !keys.checked) return; // single-key shortcuts can be disabled, as they may conflict with others
    if (event.key === "/" && !dialog.open) form.elements.q.focus();
    else if (!(event.key in STEPS)) return;
    else if (dialog.open && !OF_CARDS.includes(event.key)) turn(STEPS[event.key]);
    else if (!dialog.open && (!arrow || cards.contains(event.target))) step(STEPS[event.key]);
    else return;
    event.preventDefault();
  });

  // --- start

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    setFilters(new URLSearchParams());
    rememberFilters();
  });
  form.addEventListener("input", () => {
    applyFilters();
    rememberFilters();
  });
  for (const button of pages.querySelectorAll("button")) {
    button.addEventListener("click", () => showPage(page + Number(button.dataset.page)));
  }
  addEventListener("hashchange", followFragment);
  setFilters(new URLSearchParams()); // also if the page was opened at another section
  if (location.hash !== "") followFragment();
  performance.mark("explorer-ready");
})();
