// Elements are made here and filled with text only: a run, a tag or a layer
// may be called anything, markup included.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (name === "style") {
      Object.assign(element.style, value);
    } else if (value === true && !name.startsWith("aria-")) {
      element.setAttribute(name, "");
    } else {
      // An empty aria-hidden would mean "not hidden".
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** Make an HTML element; strings among the children become text. */
export function html(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Whether an element can be seen: TensorBoard hides tabs, it keeps them. */
export function isVisible() {
  return !document.hidden && window.innerWidth > 0 && window.innerHeight > 0;
}

/** Colour that a custom property of the theme stands for. */
export function themeColor(name) {
  const style = getComputedStyle(document.documentElement);
  return style.getPropertyValue(`--${name}`).trim();
}

/** Give a canvas a size in CSS pixels; returns its context, in those. */
export function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}
