// Shots, their cells, and labels. The files of this folder are one script, in the order of `SCRIPTS` in page.py.
const LABELLED = "labelled";
const NONE = "none"; // the shot says nothing about the dimension
const UNSURE = "unsure"; // a person has to be asked
const PERSON = "person";
const CODE_ROW = 8; // terms with the same first digit, if a dimension has more than nine

const data = embedded("labels-data");
const addresses = embedded("labels-media"); // shot id -> [still, clip]
const { dimensions, films, sources, shots } = data;

for (const [index, shot] of shots.entries()) {
  shot.index = index;
  [shot.still, shot.clip] = (addresses[shot.id] ?? ["", ""]).map(mediaAddress);
  shot.cells = shot.cells.map((cell) => {
    if (!cell) return null;
    const [status, label, confidence, agreement, source, alternatives, contradictions] = cell;
    return { status, label, confidence, agreement, source: sources[source], alternatives, contradictions };
  });
}
const rules = new Map(data.rules.map(([one, other, reason]) => [[one, other].sort().join(" "), reason]));
const shotNamed = new Map(shots.map((shot) => [shot.id, shot]));

for (const dimension of dimensions) {
  const single = dimension.terms.length <= 9;
  for (const [index, term] of dimension.terms.entries()) {
    term.code = single ? String(index + 1) : `${Math.floor(index / CODE_ROW) + 1}${(index % CODE_ROW) + 1}`;
  }
}

// Data URIs stay; of paths, each part is encoded: a folder may be called "50%".
function mediaAddress(address) {
  return address.startsWith("data:") ? address : address.split("/").map(encodeURIComponent).join("/");
}

// --- labels: steps in time order, each with the terms that are true at the same time

function stepsOf(label) {
  if (!label) return [];
  const steps = label.startsWith("Firstly ") ? label.slice("Firstly ".length).split(", then ") : [label];
  return steps.map((step) => step.split(", "));
}

function termsOf(label) {
  return new Set(stepsOf(label).flat());
}

// The same text as `str(dimension.canonical(label))` in vocabulary.py.
function labelText(dimension, steps) {
  const texts = steps
    .map((step) => dimension.terms.map((term) => term.name).filter((name) => step.includes(name)).join(", "))
    .filter((step, index, all) => step && step !== all[index - 1]);
  return texts.length > 1 ? `Firstly ${texts.join(", then ")}` : texts.join("");
}

// A label with another term. Terms of one facet exclude each other; an added term that is there already is removed.
function withTerm(dimension, label, name, mode) {
  const steps = mode === "replace" ? [] : stepsOf(label);
  if (mode === "then" || !steps.length) return labelText(dimension, [...steps, [name]]);
  const last = steps.pop();
  const facets = new Map(dimension.terms.map((term) => [term.name, term.facet]));
  const rest = last.filter((other) => facets.get(other) !== facets.get(name));
  return labelText(dimension, [...steps, last.includes(name) ? last.filter((other) => other !== name) : [...rest, name]]);
}

// --- cells as shown: the sheet's, or a correction

function cellOf(shot, column) {
  const stored = shot.cells[column];
  if (!editedShots.has(shot.id)) return stored;
  const edit = edits.get(keyOf(shot, column));
  if (!stored && !edit) return null;
  const cell = edit ? { ...stored, ...edit, confidence: null, agreement: null, source: PERSON, edited: true } : stored;
  return { ...cell, contradictions: contradictionsOf(shot, column) };
}

// The sentences of contradictions.py, about the labels as they are now.
function contradictionsOf(shot, column) {
  const labels = dimensions.map((_, other) => edits.get(keyOf(shot, other)) ?? shot.cells[other]);
  const stepsIn = (other) => (labels[other]?.status === LABELLED ? stepsOf(labels[other].label) : []);
  const here = dimensions[column];
  const found = new Set();
  for (const step of stepsIn(column)) {
    for (const [index, one] of step.entries()) {
      for (const other of step.slice(index + 1)) {
        const facets = [one, other].map((name) => here.terms.find((term) => term.name === name)?.facet);
        const reason =
          facets[0] === facets[1]
            ? `each says what the ${facets[0]} is, and only one can be right`
            : reasonAgainst(column, one, column, other);
        if (reason) found.add(`${one} and ${other}: ${reason}`);
      }
    }
  }
  for (const [position, dimension] of dimensions.entries()) {
    if (position === column) continue;
    for (const one of stepsIn(column).flat()) {
      for (const other of stepsIn(position).flat()) {
        const reason = reasonAgainst(column, one, position, other);
        const pair = [`${one} (${here.name.toLowerCase()})`, `${other} (${dimension.name.toLowerCase()})`];
        if (reason) found.add(`${(column < position ? pair : pair.reverse()).join(" and ")}: ${reason}`);
      }
    }
  }
  return [...found];
}

function reasonAgainst(column, one, otherColumn, other) {
  const pair = [`${dimensions[column].slug}/${one}`, `${dimensions[otherColumn].slug}/${other}`].sort();
  return rules.get(pair.join(" ")) ?? "";
}

// Labels of the model with their confidence, its own first; also of a cell that a person has set.
function modelLabels(shot, column) {
  const stored = shot.cells[column];
  if (!stored) return [];
  const own = stored.status === NONE ? NONE : stored.label;
  return stored.source === PERSON || !own ? stored.alternatives : [[own, stored.confidence ?? 0], ...stored.alternatives];
}

function needsPerson(cell) {
  return Boolean(cell) && cell.source !== PERSON && (cell.status === UNSURE || cell.contradictions.length > 0);
}

// How certain a cell is, to sort: what has to be asked comes first.
function certainty(cell) {
  if (!cell || cell.source === PERSON) return 2;
  return (cell.confidence ?? 0) - (needsPerson(cell) ? 1 : 0);
}

function labelShown(cell) {
  if (!cell) return "not asked";
  if (cell.status === NONE) return "none";
  return cell.label ? cell.label + (cell.status === UNSURE ? "?" : "") : "unsure";
}

// What stands below the label: who says it, how certain it is.
function noteOf(cell) {
  if (!cell) return "";
  const notes = [];
  if (cell.edited) notes.push("✎ corrected");
  else if (cell.source === PERSON) notes.push("✎ person");
  else if (cell.confidence !== null) notes.push(percent(cell.confidence));
  if (cell.status === UNSURE && cell.label) notes.push("unsure");
  if (cell.contradictions.length) notes.push("⚠ contradiction");
  return notes.join(" ");
}

// The same for screen readers, in words.
function spokenCell(dimension, cell) {
  if (!cell) return `${dimension.name}: not asked`;
  const parts = [cell.status === NONE ? "no label: the shot says nothing about it" : cell.label || "unsure"];
  if (cell.status === UNSURE && cell.label) parts.push("unsure");
  if (cell.source === PERSON) parts.push(cell.edited ? "corrected, not applied yet" : "set by a person");
  else if (cell.confidence !== null) parts.push(`confidence ${Math.round(cell.confidence * 100)} percent`);
  return `${dimension.name}: ${[...parts, ...cell.contradictions].join(", ")}`;
}

// --- numbers

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function count(number) {
  return number.toLocaleString("en");
}

function secondsOf(shot) {
  return shot.start === null ? 0 : shot.end - shot.start;
}

function clock(seconds) {
  const whole = Math.floor(seconds / 60);
  const rest = (seconds - whole * 60).toFixed(1).padStart(4, "0");
  return whole < 60 ? `${whole}:${rest}` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}:${rest}`;
}
