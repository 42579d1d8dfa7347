// What the scripts of the page share. External text (responses, questions, names) is inserted as text nodes only.
"use strict";

function embedded(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

// --- text and elements

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Invisible and bidirectional control characters are shown by name.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

function visible(text) {
  return text.replace(/\r\n?/g, "\n").replace(HIDDEN, (sign) => {
    const code = sign.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

// Names are mostly words joined by characters at which browsers do not break lines.
function breakable(name) {
  return name.split(/(?<=[_./])/).flatMap((part, position) => (position ? [make("wbr"), part] : [part]));
}

// --- pictures: stills, strips of a clip's frames, or a drawn frame where there is none

function pictureOf(thumbnail, kind, itemName, small) {
  const [uri, frames] = thumbnail ?? [null, 0]; // data URI and number of frames
  const what = kind === "clip" ? "Clip" : "Still";
  const name = `${what} of ${visible(itemName)}`;
  if (!uri) return make("span", { className: "explorer-absent" }, `${what} not in this report`);
  const image = make("img", { src: uri, alt: small ? "" : frames > 1 ? `${name}: ${frames} frames, first to last` : name });
  const frame = make("span", { className: "explorer-picture" }, image);
  if (frames > 1) image.style.setProperty("--frames", frames);
  if (frames > 1) frame.classList.add(small ? "first-frame" : "strip");
  return frame;
}
