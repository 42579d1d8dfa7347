// Buttons, keys and the start.
const announced = document.querySelector(".announced");
const dialog = document.querySelector(".keys");
const picker = document.getElementById("labels-file");
const onward = document.getElementById("labels-onward");
const singleKeys = document.getElementById("labels-keys");

function announce(text) {
  announced.textContent = text;
}

function showUnsaved() {
  const number = unsaved();
  const kept = isKept ? "" : " This browser keeps nothing: save the file before you close the page.";
  const text = number ? `${count(number)} unsaved` : edits.size ? "all saved" : "no corrections";
  document.querySelector(".unsaved").textContent = text + kept;
  document.querySelector("[data-work=undo]").disabled = past.length === 0;
  document.querySelector("[data-work=redo]").disabled = future.length === 0;
  document.querySelector("[data-work=save]").disabled = edits.size === 0 && number === 0;
}

function save() {
  if (!edits.size && !unsaved()) return announce("There is nothing to save.");
  saveFile();
  showUnsaved();
  announce(`Corrections saved in corrections.csv: ${count(edits.size)}.`);
}

// Show the cell that was undone or redone.
function step(keys, what) {
  if (!keys.length) return announce(`There is nothing to ${what}.`);
  const { shot, column } = cellNamed(keys[0]);
  cursor.column = column;
  goTo(shot);
  announce(`${what === "undo" ? "Undone" : "Done again"}: shot ${shot.number}, ${spokenCell(dimensions[column], cellOf(shot, column))}`);
}

async function load() {
  const [file] = picker.files;
  picker.value = "";
  if (!file) return;
  try {
    const { taken, moved, faults } = loadFile(await file.text());
    const byTime = moved ? ` Found by their times in shots of other numbers: ${count(moved)}.` : "";
    const left = faults.length ? ` Left out, ${count(faults.length)}: ${faults.slice(0, 5).join("; ")}${faults.length > 5 ? `; and ${faults.length - 5} more` : ""}.` : "";
    announce(`Corrections taken over from ${visible(file.name)}: ${count(taken)}.${byTime}${left}`);
  } catch (error) {
    announce(`${visible(file.name)} cannot be loaded: ${error.message}.`);
  }
}

const WORK = {
  save,
  load: () => picker.click(),
  undo: () => step(undo(), "undo"),
  redo: () => step(redo(), "redo"),
  next: goToNext,
  confirm: confirmLabel,
  unsure: () => setCell(UNSURE, ""),
  back: takeBack,
  play: togglePlaying,
  help: () => dialog.showModal(),
  close: () => dialog.close(),
};

document.addEventListener("click", (event) => WORK[event.target.closest("[data-work]")?.dataset.work]?.());
picker.addEventListener("change", load);
document.addEventListener("labels-edited", ({ detail: keys }) => {
  for (const key of keys) searched.delete(cellNamed(key).shot);
  refreshRows(keys.length ? new Set(keys.map((key) => cellNamed(key).shot)) : null);
  if (currentShot()) showTerms(currentShot(), cursor.column);
  if (currentShot()) showStrip(currentShot());
  showUnsaved();
  redrawCharts();
});

// --- keys

const PAGE_ROWS = 6;
const MOVES = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  PageUp: [-PAGE_ROWS, 0], PageDown: [PAGE_ROWS, 0], Home: [-Infinity, 0], End: [Infinity, 0],
};
const OF_CELLS = { Enter: WORK.confirm, Backspace: WORK.unsure, Delete: WORK.back, " ": WORK.play };
const SINGLE = {
  u: WORK.undo, r: WORK.redo, s: WORK.save, n: WORK.next, "?": WORK.help, "/": search, f: search,
  ">": () => {
    if (!dimensions[cursor.column].steps) return announce("Only movements follow each other.");
    setMode("then");
    announce("The next term follows in time.");
  },
};

function search() {
  form.elements.q.focus();
}

function digitOf(event) {
  const [, digit] = /^Digit(\d)$/.exec(event.code) ?? [];
  return digit ?? (/^\d$/.test(event.key) ? event.key : null); // with Shift, the key is another sign
}

function onKey(event) {
  if (dialog.open) return false;
  const command = event.ctrlKey || event.metaKey;
  if (event.target.closest("input:not([type=checkbox], [type=radio]), select, textarea")) return false;
  if (command && event.key.toLowerCase() === "z") return WORK[event.shiftKey ? "redo" : "undo"]() ?? true;
  if (command && event.key.toLowerCase() === "y") return WORK.redo() ?? true;
  if (command || event.altKey) return false;
  const inGrid = scroller.contains(event.target);
  const nowhere = event.target === document.body;
  if ((inGrid || nowhere) && event.key in MOVES) {
    const [rows, columns] = MOVES[event.key];
    return select(nowhere ? cursor.position : cursor.position + rows, cursor.column + (nowhere ? 0 : columns)) ?? true;
  }
  if (inGrid && event.key in OF_CELLS) return OF_CELLS[event.key]() ?? true;
  if (event.key === "Escape" && pending) return setPending("") ?? true;
  if (!inGrid && !singleKeys.checked) return false; // single keys can be switched off: they may conflict with others
  const digit = digitOf(event);
  if (digit !== null) return typeDigit(digit, event.shiftKey) ?? true;
  if (event.key in SINGLE) return SINGLE[event.key]() ?? true;
  return false;
}

document.addEventListener("keydown", (event) => {
  if (onKey(event)) event.preventDefault();
});

// --- start

restore();
applyFilters();
showUnsaved();
if (!isKept) announce("This browser keeps no corrections; save the file before you close the page.");
performance.mark("labels-ready");
