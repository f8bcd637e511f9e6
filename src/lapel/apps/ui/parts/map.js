// The map of the catalogue in a frame of its own, and a link to the page of the product that was clicked in it.
//
// data: {source, texts: {title, open}}. The map tells which product was clicked by a message, see catalogue_map.py.

const frames = new WeakMap();

export default function ({data, parentElement}) {
  let state = frames.get(parentElement);
  if (!state) {
    const frame = document.createElement("iframe");
    const open = document.createElement("a");
    open.className = "open";
    open.hidden = true;
    state = {frame, open};
    state.listen = (event) => {
      const product = event.source === frame.contentWindow ? event.data?.lapel?.product : undefined;
      if (typeof product !== "string") return;
      open.href = `product?id=${encodeURIComponent(product)}`;
      open.textContent = `${state.texts.open}: ${product}`;
      open.hidden = false;
    };
    window.addEventListener("message", state.listen);
    parentElement.append(open, frame);
    frames.set(parentElement, state);
  }
  state.texts = data.texts;
  state.frame.title = data.texts.title;
  if (state.source !== data.source) {
    state.source = data.source;
    state.frame.src = data.source;
    state.open.hidden = true;
  }
  return () => {
    window.removeEventListener("message", state.listen);
    frames.delete(parentElement);
  };
}
