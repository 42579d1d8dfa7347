// The current shot, large, and the terms of the current dimension.
const inspector = document.querySelector(".inspector");
const screenBox = inspector.querySelector(".screen");
const facts = inspector.querySelector(".shot-facts");
const terms = inspector.querySelector(".terms");
const said = inspector.querySelector(".model-says");
const modes = inspector.querySelector(".modes");
const playing = document.getElementById("labels-play");
const PAUSE = 150; // milliseconds until the clip of a shot is loaded, so that passing by is fast
let screened = null; // shot on the screen
let pending = ""; // first digit of a code of two
let timer = 0;

if (matchMedia("(prefers-reduced-motion: reduce)").matches) playing.checked = false;

function showInspector(shot) {
  inspector.classList.toggle("nothing", !shot);
  if (!shot) return;
  setPending("");
  if (shot !== screened) showShot(shot);
  showTerms(shot, cursor.column);
  showStrip(shot);
}

function showShot(shot) {
  screened = shot;
  clearTimeout(timer);
  const image = shot.still
    ? make("img", { src: shot.still, alt: `Still of shot ${shot.number} of ${visible(shot.film)}` })
    : make("span", { className: "absent" }, "no still");
  screenBox.replaceChildren(image);
  if (shot.clip && playing.checked) timer = setTimeout(() => playShot(shot), PAUSE);
  const times = shot.start === null ? "still" : `${clock(shot.start)} – ${clock(shot.end)}, ${secondsOf(shot).toFixed(2)} s`;
  facts.replaceChildren(
    make("strong", {}, `Shot ${shot.number}`), " of ", make("bdi", {}, ...breakable(visible(shot.film))), make("br"),
    times, ...(shot.timecode ? [make("br"), `Timecode ${visible(shot.timecode)}`] : []),
    ...(shot.remark ? [make("br"), visible(shot.remark)] : []));
  markTime(shot);
}

function playShot(shot) {
  const clip = clipOf(shot);
  screenBox.append(clip);
  play(clip);
}

function togglePlaying() {
  const clip = screenBox.querySelector("video");
  if (!clip && screened?.clip) playShot(screened);
  else if (clip) clip.paused ? play(clip) : clip.pause();
}

function showTerms(shot, column) {
  const dimension = dimensions[column];
  const cell = cellOf(shot, column);
  const chosen = cell?.status === LABELLED ? termsOf(cell.label) : new Set();
  const shares = new Map(modelLabels(shot, column));
  if (terms.dataset.column !== String(column)) {
    terms.dataset.column = column;
    inspector.querySelector("h3").textContent = dimension.name;
    terms.replaceChildren(...dimension.terms.map((term) => termButton(term.code, term.name)), termButton("0", NONE));
    modes.querySelector("[value=then]").parentElement.hidden = !dimension.steps;
    setMode("replace");
  }
  for (const button of terms.querySelectorAll("button")) {
    const { term } = button.dataset;
    button.ariaPressed = String(term === NONE ? cell?.status === NONE : chosen.has(term));
    button.querySelector("small").textContent = shares.has(term) ? percent(shares.get(term)) : "";
  }
  said.replaceChildren(...notesOn(shot, column, cell).map((note) => make("li", {}, visible(note))));
}

function notesOn(shot, column, cell) {
  const stored = shot.cells[column];
  const [own] = modelLabels(shot, column);
  const notes = [`${labelShown(cell)}${noteOf(cell) ? ` (${noteOf(cell)})` : ""}`];
  if (cell?.source === PERSON && own) notes.push(`The model: ${own[0]}, ${percent(own[1])}`);
  else if (stored && stored.source !== PERSON) notes.push(`By ${stored.source}`);
  if (typeof stored?.agreement === "number") notes.push(`Agreement of views and models: ${percent(stored.agreement)}`);
  return [...notes, ...(cell?.contradictions ?? []).map((sentence) => `⚠ ${sentence}`)];
}

function termButton(code, name) {
  const text = make("span", {}, name === NONE ? "none: says nothing about it" : name);
  const button = make("button", { type: "button" }, make("kbd", {}, code), text, make("small"));
  button.dataset.term = name;
  button.dataset.code = code;
  button.addEventListener("click", (event) => chooseTerm(name, event.shiftKey ? "add" : mode()));
  return button;
}

function mode() {
  return modes.querySelector(":checked").value;
}

function setMode(name) {
  modes.querySelector(`[value=${name}]`).checked = true;
}

// --- choosing

function setCell(status, label) {
  const shot = currentShot();
  if (!shot) return;
  const dimension = dimensions[cursor.column];
  if (dimension.steps && shot.start === null) return announce(`A still has no ${dimension.name.toLowerCase()}.`);
  change([[keyOf(shot, cursor.column), { status, label, time: new Date().toISOString() }]]);
  announce(spokenCell(dimension, cellOf(shot, cursor.column)));
}

function chooseTerm(name, how) {
  const shot = currentShot();
  if (!shot) return;
  const cell = cellOf(shot, cursor.column);
  const before = cell?.status === LABELLED ? cell.label : "";
  const label = name === NONE ? "" : withTerm(dimensions[cursor.column], before, name, how);
  if (name === NONE) setCell(NONE, "");
  else setCell(label ? LABELLED : UNSURE, label);
  setMode("replace");
  if (how === "replace") goOnward();
}

// A person agrees with the label, or with the guess of an unsure cell.
function confirmLabel() {
  const cell = cellOf(currentShot(), cursor.column);
  if (!cell || (cell.status === UNSURE && !cell.label)) return announce("There is no label to confirm.");
  setCell(cell.status === NONE ? NONE : LABELLED, cell.status === NONE ? "" : cell.label);
  goOnward();
}

function goOnward() {
  if (onward.checked) select(cursor.position + 1, cursor.column, scroller.contains(document.activeElement));
}

function takeBack() {
  const key = keyOf(currentShot(), cursor.column);
  if (!edits.has(key)) return announce("This cell is not corrected.");
  change([[key, null]]);
  announce(`Taken back. ${spokenCell(dimensions[cursor.column], cellOf(currentShot(), cursor.column))}`);
}

function typeDigit(digit, add) {
  const dimension = dimensions[cursor.column];
  if (digit === "0" && !pending) return chooseTerm(NONE, "replace");
  const code = pending + digit;
  const term = dimension.terms.find((one) => one.code === code);
  const begun = dimension.terms.filter((one) => one.code.startsWith(code));
  setPending("");
  if (term) return chooseTerm(term.name, add ? "add" : mode());
  if (!begun.length) return announce(`${code} is no term of ${dimension.name}.`);
  setPending(code);
  announce(`${code}: ${begun.map((one) => `${one.code.slice(1)} ${one.name}`).join(", ")}`);
}

function setPending(digit) {
  pending = digit;
  terms.classList.toggle("pending", digit !== "");
  for (const button of terms.querySelectorAll("button")) {
    button.classList.toggle("begun", digit !== "" && button.dataset.code.startsWith(digit));
  }
}
