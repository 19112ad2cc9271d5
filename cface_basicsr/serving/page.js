"use strict";
const $ = id => document.getElementById(id);
const root = document.documentElement;
const systems = Array.from(document.querySelectorAll("#systems input"));
let photo = null;       // what /photos answered
let results = new Map();  // system -> what /photos/KEY answered
let references = [];
let opening = 0;        // answers to an earlier photo are dropped,
let turn = 0;           // and those to earlier settings
let looking = false;    // a photo is on its way

function say(text, busy = false) {
  $("status").textContent = text;
  document.body.classList.toggle("busy", busy);
}

function fail(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

function failToo(text) {
  const said = $("error").textContent;
  if (!said.includes(text)) fail(`${said} ${text}`.trim());
}

/** What a person does next takes the last error away. */
function anew(what) {
  return () => { fail(""); what(); };
}

async function ask(address, body) {
  let answer;
  try {
    answer = await fetch(address, {method: "POST", body});
  } catch {
    throw new Error("The program does not answer. Was it ended, or is the file too large?");
  }
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.error), {gone: content.gone});
  return content;
}

function upload(address, file) {
  const most = Number(root.dataset.mostBytes);
  if (file.size > most) throw new Error(`'${file.name}' has more than ${most / 1e6} MB. Save it smaller, or use the command.`);
  return ask(`${address}?name=${encodeURIComponent(file.name)}`, file);
}

// ---------------------------------------------------------------------------------------------------------- the photo

async function open(file) {
  const mine = ++opening;
  looking = true;
  turn++;
  fail("");
  say("Looking for faces. A large photo takes a while.", true);
  try {
    const found = await upload("/photos", file);
    if (mine !== opening) return;
    clearTimeout(later);
    photo = found;
    results = new Map();
    showPhoto();
  } catch (error) {
    if (mine !== opening) return;
    say("");
    fail(error.message);
  }
  looking = false;
  if (photo) enhance();  // after a refused one the photo before goes on
}

function showPhoto() {
  $("drop").hidden = true;
  $("result").hidden = false;
  $("stage").focus({preventScroll: true});
  $("before").src = photo.picture;
  $("frame").classList.add("alone");
  $("after").hidden = $("download").hidden = $("command").hidden = $("shown-label").hidden = true;
  sizeFrame();
  showMarks();
  showFaces();
}

function sizeFrame() {
  $("stage").classList.toggle("actual", $("actual").checked);
  const factor = $("actual").checked ? Number(systems.length ? $("upscale").value : 1) : 0;
  $("frame").style.width = factor ? `${photo.width * factor}px` : "";
  // A tall photo fits into the window, too.
  $("frame").style.maxWidth = factor ? "" : `${Math.round(photo.width / photo.height * 0.8 * innerHeight)}px`;
}

function showMarks() {
  const result = results.get($("shown").value);
  $("marks").replaceChildren(...photo.faces.map((face, number) => {
    const [left, top, right, bottom] = face.box;
    const mark = document.createElement("a");
    const skipped = result && result.faces[number].skipped;
    mark.className = "mark";
    mark.classList.toggle("left-out", Boolean(skipped));
    mark.classList.toggle("low", top < 0.08 * photo.height);
    mark.classList.toggle("far", right > 0.93 * photo.width);
    mark.href = `#face-${number + 1}`;
    mark.draggable = false;
    mark.style.left = `${100 * left / photo.width}%`;
    mark.style.top = `${100 * top / photo.height}%`;
    mark.style.width = `${100 * (right - left) / photo.width}%`;
    mark.style.height = `${100 * (bottom - top) / photo.height}%`;
    mark.append(Object.assign(document.createElement("span"), {textContent: `${Math.round(face.height)} px`}));
    mark.setAttribute("aria-label", `Face ${number + 1}, ${Math.round(face.height)} pixels high`);
    return mark;
  }));
}

// ------------------------------------------------------------------------------------------------------- the networks

function chosen() {
  return systems.filter(box => box.checked).map(box => box.value);
}

function wanted(system) {
  return {system, upscale: Number($("upscale").value), strength: Number($("strength").value),
    min_face: Number($("min-face").value), max_face: Number($("max-face").value),
    references: references.map(each => each.key), gate: references.length && $("gate").checked ? "keep" : "warn",
    half: Boolean($("half")?.checked)};
}

async function enhance() {
  if (looking) return;
  const mine = ++turn;
  for (const system of chosen()) {
    if (results.has(system)) continue;
    say(`Enlarging ${photo.faces.length === 1 ? "the face" : "the faces"} by ${system}.`, true);
    try {
      const result = await ask(`/photos/${photo.key}`, JSON.stringify(wanted(system)));
      if (mine !== turn) return;
      results.set(system, result);
    } catch (error) {
      if (mine !== turn) return;
      failToo(error.message);
      if (references.some(each => each.key === error.gone)) {
        references = references.filter(each => each.key !== error.gone);
        referencesChanged();
        return;
      }
      continue;
    }
    showResults();
  }
  showResults();
  const shown = results.get($("shown").value);
  const done = shown ? shown.faces.filter(face => !face.skipped && !face.kept).length : 0;
  const many = photo.faces.length === 1 ? "1 face found" : `${photo.faces.length} faces found`;
  say(shown ? `${many}, ${done} enlarged.` : `${many}.`);
}

function showResults() {
  const known = chosen().filter(system => results.has(system));
  const before = $("shown").value;
  $("shown").replaceChildren(...known.map(system => new Option(system)));
  if (known.includes(before)) $("shown").value = before;
  $("shown-label").hidden = known.length < 2;
  showAbout();
  showAfter();
  showFaces();
}

/** What is known about a network is open where it is chosen, or where auto gave it a face. */
function showAbout() {
  const faces = chosen().flatMap(system => results.get(system)?.faces ?? []);
  const used = new Set([...chosen(), ...faces.map(face => face.network)]);
  for (const about of document.querySelectorAll(".about")) about.open = used.has(about.dataset.network);
}

function showAfter() {
  const result = results.get($("shown").value);
  $("after").hidden = $("download").hidden = $("command").hidden = !result;
  $("frame").classList.toggle("alone", !result);
  if (result) {
    $("after").src = $("download").href = result.picture;
    $("download").download = result.file;
    $("command").querySelector("code").textContent = result.command;
  }
  showMarks();
}

// ---------------------------------------------------------------------------------------------------------- the faces

function showFaces() {
  document.body.classList.toggle("has-reference", references.length > 0);
  const known = chosen().filter(system => results.has(system));
  $("faces").replaceChildren(...photo.faces.map((face, number) => {
    const card = $("face-card").content.firstElementChild.cloneNode(true);
    card.id = `face-${number + 1}`;
    card.tabIndex = -1;
    const height = Object.assign(document.createElement("span"), {textContent: `· ${Math.round(face.height)} pixels high`});
    card.querySelector("h3").append(`Face ${number + 1} `, height);
    const made = known.map(system => [system, results.get(system).faces[number]]);
    card.querySelector(".versions").append(...versions(made));
    for (const reason of new Set(made.map(([, each]) => each.skipped).filter(Boolean))) {
      const by = made.filter(([, each]) => each.skipped === reason).map(([system]) => system);
      const text = `Left as it is${by.length < made.length ? ` by ${by.join(", ")}` : ""}: ${reason}.`;
      card.append(Object.assign(document.createElement("p"), {textContent: text}));
    }
    return card;
  }));
}

function versions(made) {
  const shown = [];
  let input = 0;
  for (const [system, face] of made.filter(([, face]) => !face.skipped)) {
    if (face.input !== input) shown.push(version(face.bicubic, "before", [`bicubic, from ${face.input}×${face.input} pixels`]));
    input = face.input;
    const words = face.kept ? [...face.words, "The bicubic face was put back."] : face.words;
    const title = face.network === system ? system : `${system}: ${face.network}`;
    shown.push(version(face.enhanced, title, words));
  }
  return shown;
}

function version(picture, title, words) {
  const figure = $("version").content.firstElementChild.cloneNode(true);
  figure.querySelector("img").src = picture;
  figure.querySelector("img").alt = `The face, ${title}`;
  figure.querySelector("figcaption").append(Object.assign(document.createElement("b"), {textContent: title}));
  for (const text of words)
    figure.querySelector("figcaption").append(Object.assign(document.createElement("span"), {textContent: text,
      className: text.startsWith("Bicubic is nearer") ? "nearer" : ""}));
  return figure;
}

// ---------------------------------------------------------------------------------------------------- the reference

async function addReferences(files) {
  fail("");
  let added = 0;
  for (const file of files) {
    say("Looking for the face.", true);
    try {
      references.push(await upload("/references", file));
      added++;
    } catch (error) {
      fail(error.message);
      break;
    }
  }
  if (added) referencesChanged();
  else enhance();  // which asks for nothing that is there, and says how things stand
}

function referencesChanged() {
  $("references").replaceChildren(...references.map(each => {
    const figure = document.createElement("figure");
    const remove = Object.assign(document.createElement("button"), {type: "button", textContent: "×", title: "Remove"});
    remove.setAttribute("aria-label", `Remove ${each.name}`);
    remove.addEventListener("click", anew(() => {
      references = references.filter(other => other !== each);
      referencesChanged();
    }));
    figure.append(Object.assign(new Image(), {src: each.face, alt: `The face of ${each.name}`}), remove);
    return figure;
  }));
  $("gate-label").hidden = !references.length;
  changed();
}

let later = 0;
function changed() {
  clearTimeout(later);
  say("Once more, with the new settings.", true);
  $("download").hidden = true;
  later = setTimeout(() => {
    results = new Map();
    sizeFrame();
    enhance();
  }, 300);
}

// ------------------------------------------------------------------------------------------------ keys, mouse, touch

for (const input of [$("photo"), $("photo-again")])
  input.addEventListener("change", () => {
    if (input.files.length) open(input.files[0]);
    input.value = "";
  });
addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});
addEventListener("paste", event => {
  if (event.clipboardData.files.length) open(event.clipboardData.files[0]);
});

const split = () => $("frame").style.setProperty("--split", `${$("split").value}%`);
$("split").addEventListener("input", split);
split();
for (const kind of ["pointerdown", "pointermove"])
  $("frame").addEventListener(kind, event => {
    if (kind === "pointermove" ? event.buttons !== 1 : event.target.closest(".mark")) return;
    const place = $("frame").getBoundingClientRect();
    $("split").value = 100 * (event.clientX - place.left) / place.width;
    split();
  });
$("boxes").addEventListener("change", () => $("frame").classList.toggle("unmarked", !$("boxes").checked));
$("actual").addEventListener("change", sizeFrame);
addEventListener("resize", () => { if (photo) sizeFrame(); });
$("shown").addEventListener("change", showAfter);
for (const box of systems) box.addEventListener("change", anew(enhance));
if (systems.length) {
  $("reference").addEventListener("change", () => {
    const files = Array.from($("reference").files);
    $("reference").value = "";
    addReferences(files);
  });
  $("gate").addEventListener("change", anew(changed));
  for (const name of ["upscale", "strength", "min-face", "max-face", "half"])
    $(name)?.addEventListener("change", anew(changed));
  $("strength").addEventListener("input", () => {
    $("strength-value").textContent = `${Math.round(100 * $("strength").value)} %`;
  });
}
