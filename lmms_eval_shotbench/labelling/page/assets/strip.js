// Stills whose clip plays under the pointer, and the film strip: the current shot among its neighbours in time.
const strip = document.querySelector(".strip");
const FRAME = 112; // width of a frame of the strip in pixels, as in page.css
const frames = new Map(); // shot index -> its frame in the strip

// Stills are loaded when they come into view.
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    target.src = target.dataset.src;
  }
});

function frameOf(shot) {
  const frame = make("span", { className: "frame" });
  frame.dataset.shot = shot.index;
  if (!shot.still) {
    frame.append(make("span", { className: "absent" }, "no still"));
    return frame;
  }
  const image = make("img", { alt: "", decoding: "async" });
  image.dataset.src = shot.still;
  observer.observe(image);
  frame.append(image);
  return frame;
}

// --- a clip plays while the pointer is on its shot

function clipOf(shot) {
  const clip = make("video", { src: shot.clip, muted: true, loop: true, playsInline: true, disableRemotePlayback: true });
  clip.tabIndex = -1;
  clip.ariaHidden = "true";
  return clip;
}

function play(clip) {
  clip.play().catch(() => {}); // it was removed, or the browser refuses: the still is shown
}

function playUnderPointer(event) {
  const frame = event.target.closest(".sheet-row, .strip button")?.querySelector(".frame") ?? null;
  if (frame?.querySelector("video")) return;
  for (const clip of document.querySelectorAll(".frame video")) clip.remove();
  const shot = shots[frame?.dataset.shot];
  if (!shot?.clip || !playing.checked) return;
  const clip = clipOf(shot);
  frame.append(clip);
  play(clip);
}
document.addEventListener("pointerover", playUnderPointer);

// --- the strip

function showStrip(shot) {
  const fitting = Math.max(1, Math.floor(strip.clientWidth / FRAME));
  const film = shots.filter((one) => one.film === shot.film);
  const first = Math.min(Math.max(0, film.indexOf(shot) - Math.floor(fitting / 2)), Math.max(0, film.length - fitting));
  const near = film.slice(first, first + fitting);
  for (const index of frames.keys()) if (Math.abs(index - shot.index) > 3 * fitting) frames.delete(index);
  strip.replaceChildren(...near.map((one) => {
    if (!frames.has(one.index)) frames.set(one.index, stripFrame(one));
    const frame = frames.get(one.index);
    frame.classList.toggle("now", one === shot);
    frame.querySelector(".label").textContent = visible(labelShown(cellOf(one, cursor.column)));
    return frame;
  }));
}

function stripFrame(shot) {
  const time = shot.start === null ? "still" : clock(shot.start);
  const frame = make("button", { type: "button", tabIndex: -1 }, frameOf(shot),
    make("span", { className: "text" }, make("strong", {}, String(shot.number)), ` ${time}`), make("span", { className: "text label" }));
  frame.addEventListener("click", () => goTo(shot));
  return frame;
}
