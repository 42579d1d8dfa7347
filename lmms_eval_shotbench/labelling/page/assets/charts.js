// Rhythm, distributions and the comparison of films. They are drawn after the start, and after a correction when they
// come into view, so that they never keep a key waiting.
const WIDTH = 1000; // of a rhythm chart, in its own units
const LENGTHS = 90; // height of the lane of shot lengths
const LEVEL = 13; // height of a shot size in the lane below
const MOST_FILMS = 30; // with a column each in the distributions
const TICKS = [1, 2, 5, 10, 20, 60, 300]; // seconds
const sizeColumn = dimensions.findIndex((dimension) => dimension.slug === data.sizes);
const rhythms = new Map(); // film -> { line, scale }

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function timedShots(film) {
  return shots.filter((shot) => shot.film === film && shot.start !== null);
}

function drawRhythm() {
  rhythms.clear();
  const figures = films.map(rhythmOf).filter(Boolean);
  const place = document.querySelector(".rhythms");
  place.replaceChildren(...(figures.length ? figures : [make("p", {}, "These are stills, which have no rhythm.")]));
  if (screened) markTime(screened);
}

function rhythmOf(film) {
  const timed = timedShots(film);
  if (!timed.length) return null;
  const end = Math.max(...timed.map((shot) => shot.end));
  const longest = Math.max(...timed.map(secondsOf), 1);
  const x = (seconds) => (seconds / end) * WIDTH;
  const height = (seconds) => Math.sqrt(seconds / longest) * LENGTHS;
  const levels = sizeColumn === -1 ? [] : dimensions[sizeColumn].terms.map((term) => term.name);
  const total = LENGTHS + (levels.length ? levels.length * LEVEL + 14 : 0);
  const bars = timed.map((shot) => {
    const gap = Math.min(1, x(secondsOf(shot)) / 4);
    const up = `v${-height(secondsOf(shot)).toFixed(2)}`;
    return `M${x(shot.start).toFixed(2)} ${LENGTHS}${up}H${(x(shot.end) - gap).toFixed(2)}V${LENGTHS}z`;
  });
  const ticks = TICKS.filter((seconds) => seconds < longest).flatMap((seconds) => {
    const y = LENGTHS - height(seconds);
    return [svg("path", { d: `M0 ${y}H${WIDTH}`, class: "tick" }), svg("text", { x: WIDTH + 6, y: y + 4 }, `${seconds} s`)];
  });
  const line = svg("path", { class: "now", d: `M0 0V${total}` });
  const lengths = `median ${median(timed.map(secondsOf)).toFixed(1)} s, longest ${longest.toFixed(1)} s`;
  const description = `Rhythm of ${visible(film)}: ${count(timed.length)} shots, ${lengths}`;
  const picture = svg("svg", { viewBox: `-118 -6 ${WIDTH + 165} ${total + 26}`, role: "img", class: "rhythm" },
    svg("title", {}, description), ...ticks, svg("path", { d: bars.join(""), class: "bars" }),
    svg("text", { x: -8, y: LENGTHS / 2, class: "end" }, "length"),
    ...levels.flatMap((name, level) => sizeLevel(timed, name, LENGTHS + 14 + level * LEVEL, x)), line,
    svg("text", { x: 0, y: total + 16 }, "0:00"), svg("text", { x: WIDTH, y: total + 16, class: "end" }, clock(end)));
  picture.addEventListener("click", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    goTo(timed.find((shot) => x(shot.end) >= at.x) ?? timed.at(-1));
  });
  rhythms.set(film, { line, x });
  return make("figure", {}, make("figcaption", {}, make("bdi", {}, ...breakable(visible(film)))), picture);
}

// One row of the lane of sizes: solid where the label counts, thin where it is a guess.
function sizeLevel(timed, name, y, x) {
  const paths = { sure: [], guess: [] };
  for (const shot of timed) {
    const cell = cellOf(shot, sizeColumn);
    if (!cell || !termsOf(cell.label).has(name)) continue;
    const width = Math.max(x(secondsOf(shot)), 0.8).toFixed(2);
    if (cell.status === LABELLED) paths.sure.push(`M${x(shot.start).toFixed(2)} ${y}h${width}v${LEVEL - 4}h-${width}z`);
    else paths.guess.push(`M${x(shot.start).toFixed(2)} ${y + LEVEL / 2 - 2}h${width}`);
  }
  return [
    svg("path", { d: `M0 ${y + LEVEL - 2}H${WIDTH}`, class: "tick" }), svg("text", { x: -8, y: y + LEVEL - 3, class: "end" }, name),
    svg("path", { d: paths.sure.join(""), class: "bars" }), svg("path", { d: paths.guess.join(""), class: "guess" }),
  ];
}

function markTime(shot) {
  for (const { line } of rhythms.values()) line.setAttribute("transform", "translate(-999)");
  const { line, x } = rhythms.get(shot.film) ?? {};
  if (line && shot.start !== null) line.setAttribute("transform", `translate(${x((shot.start + shot.end) / 2)})`);
}

// --- tables

function table(head, rows) {
  const cell = (tag, scope) => (content) => (content instanceof Element ? content : make(tag, scope ? { scope } : {}, content));
  return make("table", {},
    make("thead", {}, make("tr", {}, ...head.map(cell("th", "col")))),
    make("tbody", {}, ...rows.map(([first, ...rest]) => make("tr", {}, cell("th", "row")(first), ...rest.map(cell("td"))))));
}

function drawDistribution() {
  const form = document.querySelector(".distribution-form");
  const column = Number(form.elements.column.value);
  const weigh = form.elements.measure.value === "time" ? secondsOf : () => 1;
  const groups = films.length > 1 ? [...(films.length > MOST_FILMS ? [] : films), null] : films; // null: all films
  const sums = groups.map((film) => distributionOf(shots.filter((shot) => film === null || shot.film === film), column, weigh));
  const names = [...dimensions[column].terms.map((term) => term.name), NONE, UNSURE];
  const rows = names.map((name) => [name, ...sums.map(({ by, all }) => shareCell(by.get(name) ?? 0, all, weigh === secondsOf))]);
  const heads = groups.map((film) => (film === null ? "All films" : visible(film)));
  document.querySelector(".distribution").replaceChildren(table([dimensions[column].name, ...heads], rows));
}

function distributionOf(group, column, weigh) {
  const by = new Map();
  let all = 0;
  for (const shot of group) {
    const cell = cellOf(shot, column);
    if (!cell) continue;
    all += weigh(shot);
    for (const name of cell.status === LABELLED ? termsOf(cell.label) : [cell.status]) {
      by.set(name, (by.get(name) ?? 0) + weigh(shot));
    }
  }
  return { by, all };
}

function shareCell(part, all, inSeconds) {
  const share = all ? part / all : 0;
  const number = make("small", {}, inSeconds ? clock(part) : count(part));
  const cell = make("td", { className: "share" }, ...(part ? [make("strong", {}, percent(share)), " ", number] : ["–"]));
  cell.style.setProperty("--share", share);
  return cell;
}

function drawComparison() {
  const head = ["Film", "Shots", "Length", "Average shot", "Median", "Shortest", "Longest", "Cuts a minute", "To ask", "By a person"];
  const rows = films.map((film) => {
    const all = shots.filter((shot) => shot.film === film);
    const timed = all.filter((shot) => shot.start !== null);
    const lengths = timed.map(secondsOf);
    const cells = all.flatMap((shot) => dimensions.map((_, column) => cellOf(shot, column))).filter(Boolean);
    const sum = lengths.reduce((one, other) => one + other, 0);
    const seconds = (value) => (lengths.length ? `${value.toFixed(1)} s` : "–");
    const name = make("th", { scope: "row" }, make("bdi", {}, ...breakable(visible(film))));
    return [name, count(all.length), lengths.length ? clock(sum) : "–", seconds(sum / lengths.length), seconds(median(lengths)),
      seconds(Math.min(...lengths)), seconds(Math.max(...lengths)),
      sum ? (((timed.length - 1) / sum) * 60).toFixed(1) : "–", count(cells.filter(needsPerson).length),
      count(cells.filter((cell) => cell.source === PERSON).length)];
  });
  document.querySelector(".comparison").replaceChildren(table(head, rows));
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}

let isStale = true;
let redrawing = 0;

function drawCharts() {
  const inView = document.querySelector("#rhythm").getBoundingClientRect().top < innerHeight;
  if (isStale && inView) drawAll();
}

function drawAll() {
  isStale = false;
  drawRhythm();
  drawDistribution();
  drawComparison();
}

function redrawCharts() {
  isStale = true;
  clearTimeout(redrawing);
  redrawing = setTimeout(drawCharts, 500);
}

document.querySelector(".distribution-form").addEventListener("input", drawDistribution);
setTimeout(drawAll, 100);
addEventListener("scroll", drawCharts, { passive: true });
addEventListener("resize", drawCharts);
