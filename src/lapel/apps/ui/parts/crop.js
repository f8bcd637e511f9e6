// A picture on which a part is chosen by dragging, by tapping what was found in it, or with the arrow keys.
//
// data: {picture, box, regions, texts}; box and regions are shares of the picture's sides. The chosen part comes back
// as the trigger "box": four shares, or null for all of the picture.

const LEAST = 0.05; // of a side: a smaller drag is a click

function shares(event, frame) {
  const at = frame.getBoundingClientRect();
  const inside = (value) => Math.min(1, Math.max(0, value));
  return [inside((event.clientX - at.left) / at.width), inside((event.clientY - at.top) / at.height)];
}

function place(element, box) {
  const [left, top, right, bottom] = box;
  Object.assign(element.style, {left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`});
}

export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".crop");
  root.innerHTML = ""; // drawn anew: it is one picture
  const frame = document.createElement("div");
  frame.className = "frame";
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");
  frame.setAttribute("aria-label", data.texts.label);
  const image = document.createElement("img");
  image.src = data.picture;
  image.alt = data.texts.picture;
  image.draggable = false;
  const chosen = document.createElement("div");
  chosen.className = "chosen";
  chosen.hidden = !data.box;
  if (data.box) place(chosen, data.box);
  frame.append(image, chosen);
  let box = data.box || null;
  const send = (value) => setTriggerValue("box", {box: value, at: Date.now()});

  for (const region of data.regions) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "region";
    button.title = region.label;
    button.tabIndex = -1; // the row of buttons below is for the keyboard
    button.setAttribute("aria-hidden", "true");
    place(button, region.box);
    button.addEventListener("click", () => send(region.box));
    frame.append(button);
  }

  let start = null;
  frame.addEventListener("pointerdown", (event) => {
    start = shares(event, frame);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = shares(event, frame);
    if (Math.abs(x - start[0]) < LEAST || Math.abs(y - start[1]) < LEAST) return;
    if (!frame.hasPointerCapture(event.pointerId)) frame.setPointerCapture(event.pointerId);
    box = [Math.min(x, start[0]), Math.min(y, start[1]), Math.max(x, start[0]), Math.max(y, start[1])];
    chosen.hidden = false;
    place(chosen, box);
    event.preventDefault();
  });
  const end = (event) => {
    const dragged = frame.hasPointerCapture(event.pointerId);
    start = null;
    if (dragged && box) send(box.map((side) => Math.round(side * 1000) / 1000));
  };
  frame.addEventListener("pointerup", end);
  frame.addEventListener("pointercancel", () => (start = null));
  // Arrow keys move the part, with Shift its lower right corner; Enter searches with it, Backspace with all.
  frame.addEventListener("keydown", (event) => {
    if (event.target !== frame) return;
    const step = {ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05]}[event.key];
    if (step) {
      event.preventDefault();
      const [left, top, right, bottom] = box || [0.25, 0.25, 0.75, 0.75];
      const next = event.shiftKey ? [left, top, right + step[0], bottom + step[1]] : [left + step[0], top + step[1], right + step[0], bottom + step[1]];
      if (next[0] < 0 || next[1] < 0 || next[2] > 1 || next[3] > 1 || next[2] - next[0] < LEAST || next[3] - next[1] < LEAST) return;
      box = next.map((side) => Math.round(side * 1000) / 1000);
      chosen.hidden = false;
      place(chosen, box);
    } else if (event.key === "Enter" && box) send(box);
    else if (event.key === "Backspace") send(null);
  });

  const row = document.createElement("div");
  row.className = "regions";
  for (const region of data.regions) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = region.label;
    button.setAttribute("aria-pressed", String(JSON.stringify(region.box) === JSON.stringify(data.box)));
    button.addEventListener("click", () => send(region.box));
    row.append(button);
  }
  if (data.box) {
    const all = document.createElement("button");
    all.type = "button";
    all.textContent = data.texts.all;
    all.addEventListener("click", () => send(null));
    row.append(all);
  }
  const help = document.createElement("p");
  help.textContent = data.texts.help;
  root.append(frame, row, help);
}
