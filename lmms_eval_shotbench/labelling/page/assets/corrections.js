// Corrections: kept by the browser under the identity of the sheet, undone and redone, saved and loaded as CSV.
const COLUMNS = ["shot_id", "dimension", "label", "status", "time", "film_id", "start", "end"];
const SAME_SHOT = 0.5; // minimum overlap of two ranges that are taken to be the same shot
const STORAGE = `shotbench-labels-${data.identity}`;
const edits = new Map(); // "shot_id dimension" -> { status, label, time }
let editedShots = new Set(); // their ids
let saved = new Map(); // the same keys -> time of the edit that is in the saved file
const past = []; // steps of several changes [key, before, after]
const future = [];
let isKept = true; // whether the browser keeps them

function keyOf(shot, column) {
  return `${shot.id} ${dimensions[column].slug}`;
}

function cellNamed(key) {
  const [id, slug] = key.split(" ");
  return { shot: shotNamed.get(id), column: dimensions.findIndex((dimension) => dimension.slug === slug) };
}

// Changes are [key, edit], where null restores the cell of the sheet.
function change(changes) {
  const step = changes.map(([key, after]) => [key, edits.get(key) ?? null, after]);
  past.push(step);
  future.length = 0;
  put(step.map(([key, , after]) => [key, after]));
}

function undo() {
  const step = past.pop();
  if (!step) return [];
  future.push(step);
  return put(step.map(([key, before]) => [key, before]));
}

function redo() {
  const step = future.pop();
  if (!step) return [];
  past.push(step);
  return put(step.map(([key, , after]) => [key, after]));
}

function put(changes) {
  for (const [key, edit] of changes) {
    if (edit) edits.set(key, edit);
    else edits.delete(key);
  }
  keep();
  const keys = changes.map(([key]) => key);
  document.dispatchEvent(new CustomEvent("labels-edited", { detail: keys }));
  return keys;
}

// Those whose last edit is not in a saved file; a saved one that was taken back counts as well.
function unsaved() {
  const changed = [...edits].filter(([key, edit]) => saved.get(key) !== edit.time).length;
  return changed + [...saved.keys()].filter((key) => !edits.has(key)).length;
}

function keep() {
  editedShots = new Set([...edits.keys()].map((key) => key.split(" ")[0]));
  try {
    localStorage.setItem(STORAGE, JSON.stringify({ edits: [...edits], saved: [...saved] }));
    isKept = true;
  } catch {
    isKept = false; // storage is switched off or full
  }
}

// Edits of an earlier visit, except those that are in the sheet by now, or that no version of this page wrote.
function restore() {
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem(STORAGE)) ?? {};
    saved = new Map(stored.saved);
  } catch {
    isKept = false;
  }
  for (const [key, edit] of Array.isArray(stored.edits) ? stored.edits : []) {
    const [id, slug] = key.split(" ");
    if (faultOf({ shot_id: id, dimension: slug, ...edit }) || isApplied(key, edit)) saved.delete(key);
    else edits.set(key, edit);
  }
  if (isKept) keep();
}

function isApplied(key, edit) {
  const { shot, column } = cellNamed(key);
  const cell = shot.cells[column];
  return cell?.source === PERSON && cell.status === edit.status && cell.label === edit.label;
}

// The same page in another window has changed them.
addEventListener("storage", ({ key }) => {
  if (key !== STORAGE) return;
  edits.clear();
  past.length = future.length = 0;
  restore();
  document.dispatchEvent(new CustomEvent("labels-edited", { detail: [] }));
});

// --- files

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function correctionsCsv() {
  const rows = [...edits].sort(([, one], [, other]) => (one.time < other.time ? -1 : 1)).map(([key, edit]) => {
    const { shot, column } = cellNamed(key);
    const times = shot.start === null ? ["", ""] : [shot.start.toFixed(6), shot.end.toFixed(6)];
    return [shot.id, dimensions[column].slug, edit.label, edit.status, edit.time, shot.film, ...times];
  });
  return [COLUMNS, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

function saveFile() {
  const link = make("a", { download: "corrections.csv" });
  link.href = URL.createObjectURL(new Blob([correctionsCsv()], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved = new Map([...edits].map(([key, edit]) => [key, edit.time]));
  keep();
}

function csvRows(text) {
  const rows = [[]];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  for (let found = cell.exec(text); found; found = cell.exec(text)) {
    rows.at(-1).push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[3] === "") return rows.filter((row) => row.length > 1 || row[0] !== "");
    if (found[3] !== ",") rows.push([]);
  }
  throw new Error("a quotation mark is not closed, or follows text; save the file as CSV");
}

// Take over the corrections of a file, as one step; of a cell that is corrected already, the later edit stays.
function loadFile(text) {
  const [header, ...rows] = csvRows(text.replace(/^\uFEFF/, ""));
  const missing = COLUMNS.slice(0, 5).filter((name) => !header?.includes(name));
  if (missing.length) throw new Error(`it has no column ${missing.join(", ")}`);
  const changes = new Map();
  const faults = [];
  let moved = 0; // lines whose shot has another id now
  for (const [index, row] of rows.entries()) {
    const cells = Object.fromEntries(header.map((name, position) => [name, row[position] ?? ""]));
    const shot = shotOf(cells);
    const fault = shot ? faultOf({ ...cells, shot_id: shot.id }) : noShotText(cells);
    if (fault) {
      faults.push(`line ${index + 2}: ${fault}`);
      continue;
    }
    if (shot.id !== cells.shot_id) moved += 1;
    const key = `${shot.id} ${cells.dimension}`;
    const earlier = changes.get(key) ?? edits.get(key);
    if (earlier && Date.parse(earlier.time) >= Date.parse(cells.time)) continue;
    changes.set(key, { status: cells.status, label: cells.label, time: cells.time });
  }
  if (changes.size) change([...changes]);
  return { taken: changes.size, moved, faults };
}

// The shot that a line is about, as in apply_corrections.py: that of its film which overlaps its times by at least half
// (intersection over union), wherever the film is cut now; without film or times, the one with its id.
function shotOf(cells) {
  const same = shotNamed.get(cells.shot_id);
  const named = same && (!cells.film_id || cells.film_id === same.film) ? same : undefined;
  if (!cells.film_id || !cells.start || !cells.end) return named;
  const range = [Number(cells.start), Number(cells.end)];
  if (named && overlap(named, range) > SAME_SHOT) return named;
  const ofFilm = shots.filter((shot) => shot.film === cells.film_id && shot.start !== null);
  const nearest = ofFilm.reduce((best, shot) => (!best || overlap(shot, range) > overlap(best, range) ? shot : best), null);
  return nearest && overlap(nearest, range) >= SAME_SHOT ? nearest : undefined;
}

function overlap(shot, [start, end]) {
  if (shot.start === null) return 0;
  const common = Math.min(shot.end, end) - Math.max(shot.start, start);
  const union = Math.max(shot.end, end) - Math.min(shot.start, start);
  return union > 0 ? Math.max(0, common) / union : 1;
}

function noShotText(cells) {
  if (!cells.film_id || !cells.start || !cells.end) return `there is no shot ${cells.shot_id}`;
  return `no shot of ${cells.film_id} is from ${clock(Number(cells.start))} to ${clock(Number(cells.end))}`;
}

function faultOf(cells) {
  const { shot, column } = cellNamed(`${cells.shot_id} ${cells.dimension}`);
  if (!shot) return `there is no shot ${cells.shot_id}`;
  if (column === -1) return `there is no dimension ${cells.dimension}`;
  if (![LABELLED, NONE, UNSURE].includes(cells.status)) return `${cells.status} is no status`;
  const written = labelText(dimensions[column], stepsOf(cells.label));
  if (written !== cells.label || (cells.label !== "") !== (cells.status === LABELLED)) return `${cells.label} is no label here`;
  return Number.isNaN(Date.parse(cells.time)) ? `${cells.time} is no time` : "";
}
