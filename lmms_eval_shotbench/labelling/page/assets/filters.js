// Filters and orders of the shot list. They are applied when they are changed, not after each correction: no shot
// vanishes while it is being corrected.
const form = document.querySelector(".sheet-filters");
const matches = document.querySelector(".sheet-count");
const searched = new WeakMap(); // shot -> its text, dropped when it is corrected

function textOf(shot) {
  if (!searched.has(shot)) {
    const cells = dimensions.map((_, column) => cellOf(shot, column)).filter(Boolean);
    const labels = cells.map((cell) => `${cell.label} ${cell.status} ${cell.contradictions.join(" ")}`);
    const parts = [shot.id, shot.film, `shot ${shot.number}`, shot.timecode, shot.remark, ...labels];
    searched.set(shot, parts.join("\n").toLowerCase());
  }
  return searched.get(shot);
}

function columnsAsked() {
  const slug = form.elements.dimension.value;
  return [...dimensions.keys()].filter((column) => !slug || dimensions[column].slug === slug);
}

// Tests of a cell: a shot is shown if one of its cells passes all of them.
function cellTests() {
  const value = (name) => form.elements[name].value;
  const below = Number(value("below"));
  const [slug, term] = value("term").split("/ ");
  return [
    value("term") && ((cell, column) => dimensions[column].slug === slug && termsOf(cell.label).has(term)),
    value("status") === "person" && ((cell) => cell.source === PERSON),
    value("status") === "edited" && ((cell) => cell.edited),
    value("status") === "contradiction" && ((cell) => cell.contradictions.length > 0),
    [LABELLED, NONE, UNSURE].includes(value("status")) && ((cell) => cell.status === value("status")),
    value("below") !== "" && ((cell) => cell.source !== PERSON && (cell.confidence ?? 0) * 100 < below),
  ].filter(Boolean);
}

function applyFilters() {
  const columns = columnsAsked();
  const tests = cellTests();
  const film = form.elements.film.value;
  const words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
  const passes = (shot) => columns.some((column) => {
    const cell = cellOf(shot, column);
    return cell && tests.every((test) => test(cell, column));
  });
  const shown = shots
    .filter((shot) => film === "" || shot.film === films[film])
    .filter((shot) => words.every((word) => textOf(shot).includes(word)))
    .filter((shot) => !tests.length || passes(shot));
  if (form.elements.order.value === "certainty") {
    const least = (shot) => Math.min(...columns.map((column) => certainty(cellOf(shot, column))));
    const certainties = new Map(shown.map((shot) => [shot, least(shot)]));
    shown.sort((one, other) => certainties.get(one) - certainties.get(other) || one.index - other.index);
  }
  if (columns.length === 1) cursor.column = columns[0];
  for (const head of document.querySelectorAll("[role=columnheader][data-column]")) {
    head.classList.toggle("asked", columns.length === 1 && Number(head.dataset.column) === columns[0]);
  }
  matches.textContent = `${count(shown.length)} of ${count(shots.length)} shots`;
  showView(shown);
}

function clearFilters() {
  for (const control of form.elements) {
    if (control.name) control.value = control.tagName === "SELECT" ? control.options[0].value : "";
  }
  applyFilters();
}

// Show a shot, whatever is filtered.
function goTo(shot) {
  if (!view.includes(shot)) clearFilters();
  select(view.indexOf(shot), cursor.column);
}

// The next cell, in the order shown, that needs a person.
function goToNext() {
  const columns = columnsAsked();
  for (let position = cursor.position; position < view.length; position++) {
    const rest = columns.filter((one) => position > cursor.position || one > cursor.column);
    const column = rest.find((one) => needsPerson(cellOf(view[position], one)));
    if (column !== undefined) return select(position, column);
  }
  announce("No cell below needs a person.");
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", (event) => {
  event.preventDefault();
  clearFilters();
});
form.addEventListener("input", (event) => {
  applyFilters();
  if (event.target.name === "order" && view.length) goToFirst();
});

// The first shot; in the order of certainty, at its least certain cell.
function goToFirst() {
  const certain = (column) => certainty(cellOf(view[0], column));
  const [least] = columnsAsked().sort((one, other) => certain(one) - certain(other));
  select(0, form.elements.order.value === "certainty" ? least : cursor.column, false);
}
