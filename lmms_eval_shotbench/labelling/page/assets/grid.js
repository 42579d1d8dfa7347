// The shot list: a grid of shots and dimensions of which only the rows in view exist.
const ROW = 84; // height in pixels, as in page.css
const SPARE = 4; // rows above and below those in view
const scroller = document.querySelector(".sheet");
const body = scroller.querySelector(".sheet-body");
const rowsShown = new Map(); // position -> row element
let view = shots; // shots that the filters leave, in order
const cursor = { position: 0, column: 0 };

function renderRows() {
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - SPARE);
  const last = Math.min(view.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW) + SPARE);
  for (const [position, row] of rowsShown) {
    const focused = row.contains(document.activeElement); // must stay, or the focus is lost
    if (!focused && (position < first || position >= last)) {
      row.remove();
      rowsShown.delete(position);
    }
  }
  for (let position = first; position < last; position++) {
    if (!rowsShown.has(position)) addRow(position);
  }
}

function addRow(position) {
  const shot = view[position];
  const row = make("div", { className: "sheet-row", role: "row", ariaRowIndex: String(position + 2) });
  row.style.transform = `translateY(${position * ROW}px)`;
  if (shot.index && shots[shot.index - 1].film !== shot.film) row.classList.add("first-of-film");
  row.append(shotCell(shot), ...dimensions.map((_, column) => fillCell(make("div", { role: "gridcell" }), shot, column)));
  row.dataset.position = position;
  rowsShown.set(position, row);
  const next = [...rowsShown.keys()].filter((other) => other > position);
  body.insertBefore(row, next.length ? rowsShown.get(Math.min(...next)) : null);
  if (position === cursor.position) markCursor();
}

function shotCell(shot) {
  const time = shot.start === null ? ["still"] : [clock(shot.start), make("br"), `${secondsOf(shot).toFixed(1)} s`];
  const film = films.length > 1 ? [make("br"), make("small", { className: "film", title: shot.film }, visible(shot.film))] : [];
  const facts = make("span", { className: "facts" }, make("strong", {}, `${shot.number}`), " ", ...time, ...film);
  return make("div", { className: "shot", role: "rowheader" }, frameOf(shot), facts);
}

function fillCell(element, shot, column) {
  const cell = cellOf(shot, column);
  element.className = ["cell", cell?.status ?? "absent", cell?.source === PERSON ? "by-person" : "", cell?.edited ? "edited" : "",
    cell?.contradictions.length ? "contradiction" : ""].join(" ").trim();
  element.tabIndex = -1;
  element.dataset.column = column;
  element.ariaColIndex = String(column + 2);
  element.ariaLabel = spokenCell(dimensions[column], cell);
  element.style.setProperty("--share", cell?.source === PERSON ? 0 : cell?.confidence ?? 0);
  element.replaceChildren(make("span", { className: "label" }, visible(labelShown(cell))), make("small", {}, noteOf(cell)));
  return element;
}

function elementAt(position, column) {
  return rowsShown.get(position)?.children[column + 1];
}

// --- the cursor

function select(position, column, focus = true) {
  if (!view.length) return showInspector(null);
  unmarkCursor();
  cursor.position = Math.min(Math.max(position, 0), view.length - 1);
  cursor.column = Math.min(Math.max(column, 0), dimensions.length - 1);
  const top = cursor.position * ROW;
  const head = scroller.querySelector(".sheet-head").offsetHeight;
  const bottom = top + 2 * ROW + head; // the next row stays in view
  if (top - ROW < scroller.scrollTop) scroller.scrollTop = top - ROW;
  else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
  renderRows();
  markCursor();
  if (focus) elementAt(cursor.position, cursor.column).focus({ preventScroll: true });
  showInspector(currentShot());
}

function currentShot() {
  return view[cursor.position];
}

function markCursor() {
  const element = elementAt(cursor.position, cursor.column);
  if (!element) return;
  element.tabIndex = 0;
  element.ariaSelected = "true";
  element.parentElement.classList.add("current");
}

function unmarkCursor() {
  const element = elementAt(cursor.position, cursor.column);
  if (!element) return;
  element.tabIndex = -1;
  element.ariaSelected = null;
  element.parentElement.classList.remove("current");
}

// Show another selection of shots; the cursor stays on its shot if that is still there.
function showView(shown) {
  const before = currentShot();
  view = shown;
  for (const row of rowsShown.values()) row.remove();
  rowsShown.clear();
  body.style.height = `${view.length * ROW}px`;
  document.querySelector("[role=grid]").ariaRowCount = String(view.length + 1);
  const position = view.indexOf(before);
  scroller.scrollTop = 0;
  select(Math.max(0, position), cursor.column, false);
  document.querySelector(".sheet-empty").hidden = view.length > 0;
}

// Write the cells of these shots again, as far as they are in view; of all shots for null.
function refreshRows(changed) {
  for (const [position, row] of rowsShown) {
    const shot = view[position];
    if (!changed || changed.has(shot)) dimensions.forEach((_, column) => fillCell(row.children[column + 1], shot, column));
  }
  markCursor();
}

scroller.addEventListener("scroll", renderRows, { passive: true });
addEventListener("resize", renderRows);
scroller.addEventListener("click", (event) => {
  const row = event.target.closest(".sheet-row");
  if (row) select(Number(row.dataset.position), Number(event.target.closest(".cell")?.dataset.column ?? cursor.column));
});

