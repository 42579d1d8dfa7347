// The browser of completions of training runs.
(() => {
  const PAGE = 20; // completions
  const section = document.getElementById("completions");
  const form = section.querySelector("form");
  const count = section.querySelector("[role=status]");
  const list = section.querySelector("ol");
  const pages = section.querySelector(".explorer-pages");
  const { runs, dimensions, remarks, items, completions } = embedded("completions-data");
  const thumbnails = new Map(Object.entries(embedded("completions-thumbnails"))); // medium -> [data URI, frames]

  const TESTS = {
    run: (run) => (one) => one.run === Number(run),
    kind: (kind) => (one) => one.kind === kind,
    step: (step) => (one) => one.step === Number(step),
    dimension: (slug) => (one) => items[one.item].dimension === slug,
    remark: (remark) => (one) => one.remarks.includes(remark),
  };
  const byQuestion = (one, other) => one.run - other.run || one.step - other.step || one.item - other.item || one.sample - other.sample;
  const ORDERS = {
    question: byQuestion,
    newest: (one, other) => other.step - one.step || byQuestion(one, other),
    lowest: (one, other) => one.score - other.score || byQuestion(one, other),
    highest: (one, other) => other.score - one.score || byQuestion(one, other),
    shortest: (one, other) => one.tokens - other.tokens || byQuestion(one, other),
    longest: (one, other) => other.tokens - one.tokens || byQuestion(one, other),
  };

  let matches = [];
  let page = 0;

  function applyFilters() {
    const asked = [...new FormData(form)].filter(([name, value]) => name in TESTS && value !== "");
    const tests = asked.map(([name, value]) => TESTS[name](value));
    matches = completions.filter((one) => tests.every((test) => test(one))).sort(ORDERS[form.elements.order.value]);
    showPage(0);
  }

  function showPage(number) {
    page = number;
    const last = Math.max(1, Math.ceil(matches.length / PAGE));
    list.replaceChildren(...matches.slice(page * PAGE, (page + 1) * PAGE).map(entry));
    count.textContent = `${matches.length.toLocaleString("en")} of ${completions.length.toLocaleString("en")} completions.`;
    pages.querySelector("span").textContent = `Page ${page + 1} of ${last}`;
    const [before, after] = pages.querySelectorAll("button");
    before.disabled = page === 0;
    after.disabled = page + 1 >= last;
  }

  function entry(one) {
    const item = items[one.item];
    const parts = Object.entries(one.rewards).map(([name, value]) => `${visible(name)} ${rounded(value)}`);
    const name = `${dimensions[item.dimension] ?? visible(item.dimension)}: ${visible(item.item_id)}`;
    const run = runs.length > 1 ? `${visible(runs[one.run])}, ` : "";
    const facts = `${run}${one.kind}, step ${one.step}, response ${one.sample + 1}, ${one.tokens.toLocaleString("en")} tokens`;
    const cut = one.cut ? [make("p", {}, `${one.cut.toLocaleString("en")} more characters are not shown.`)] : [];
    const conspicuous = one.remarks.map((remark) => make("span", { className: "completion-remark" }, remarks[remark]));
    return make("li", {},
      pictureOf(thumbnails.get(item.medium), item.kind, item.item_id, true),
      make("div", {},
        make("h3", {}, ...breakable(name)),
        make("p", {}, make("strong", {}, `Reward ${rounded(one.score)}`), parts.length ? ` (${parts.join(", ")})` : "", ` – ${facts}`),
        ...(conspicuous.length ? [make("p", {}, ...conspicuous)] : []),
        one.response ? make("pre", { dir: "auto" }, visible(one.response)) : make("p", {}, "An empty response."),
        ...cut,
        question(item)));
  }

  function question(item) {
    const options = item.options.map((text, position) => {
      const letter = String.fromCharCode(65 + position);
      const gold = letter === item.answer ? make("strong", {}, " – right answer") : "";
      return make("li", {}, visible(`${letter}. ${text}`), gold);
    });
    const summary = make("summary", {}, `Question (right answer ${visible(item.answer)})`);
    return make("details", {}, summary, make("p", {}, visible(item.question)), make("ul", { className: "explorer-options" }, ...options));
  }

  function rounded(value) {
    return String(Math.round(value * 1000) / 1000);
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", applyFilters);
  form.addEventListener("reset", () => setTimeout(applyFilters)); // after the controls are reset
  for (const button of pages.querySelectorAll("button")) {
    button.addEventListener("click", () => showPage(page + Number(button.dataset.page)));
  }
  applyFilters();
})();
